//! Where RabbitMQ and MongoDB are on this machine, and where ours is kept.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// The advice of every error about a missing service.
pub const WAYS_OUT: &str =
    "install it, run `docker compose up` instead, or point RABBITMQ_URL and MONGODB_URI to running services";

/// Where the real start script is when `rabbitmq-server` on the PATH is a wrapper that switches to the user `rabbitmq` (as
/// Debian's and RPM's are), and where Homebrew and the generic archive put it.
const RABBITMQ_PLACES: &[&str] = &[
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];

/// Where packages put `mongod` when it is not on the PATH of this shell.
const MONGODB_PLACES: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/mongodb/bin", "/opt/homebrew/bin"];

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map_or(package.clone(), Path::to_path_buf)
}

/// The git-ignored folder for everything that development and tests keep. Apart from the build folder, so that `cargo clean`
/// costs neither the downloaded `mongod` nor the data of `cargo xtask dev`.
pub fn steep_folder() -> PathBuf {
    workspace().join(".steep")
}

/// Where the MongoDB that we downloaded is kept.
pub fn downloaded_mongod() -> PathBuf {
    steep_folder().join("tools/mongodb-6.0.5/mongod")
}

/// RabbitMQ's start script: `STEEP_RABBITMQ_SERVER` if set, else the usual places, else the PATH.
pub fn rabbitmq_server() -> Option<PathBuf> {
    if let Some(named) = env::var_os("STEEP_RABBITMQ_SERVER") {
        return Some(named.into());
    }
    first_file(RABBITMQ_PLACES.iter().map(PathBuf::from).chain(path_folders()), "rabbitmq-server")
}

/// MongoDB's server: `STEEP_MONGOD` if set, else the PATH, else the usual places, else the one we downloaded.
pub fn mongod() -> Option<PathBuf> {
    if let Some(named) = env::var_os("STEEP_MONGOD") {
        return Some(named.into());
    }
    first_file(path_folders().into_iter().chain(MONGODB_PLACES.iter().map(PathBuf::from)), "mongod")
        .or_else(|| Some(downloaded_mongod()).filter(|file| file.is_file()))
}

/// Erlang's port mapper, which comes with every Erlang: `STEEP_EPMD` if set, else on the PATH, or inside Erlang's own folder.
pub fn epmd() -> Result<PathBuf, Error> {
    if let Some(named) = env::var_os("STEEP_EPMD") {
        return Ok(named.into());
    }
    let inside = ["/usr/lib/erlang", "/usr/lib64/erlang", "/usr/local/lib/erlang", "/opt/homebrew/lib/erlang"]
        .iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"erts-"))
        .map(|entry| entry.path().join("bin"));
    first_file(path_folders().into_iter().chain(inside), "epmd")
        .ok_or_else(|| Error::Missing { program: "epmd (part of Erlang)", advice: WAYS_OUT.into() })
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    first_file(path_folders(), program)
}

fn path_folders() -> Vec<PathBuf> {
    folders(env::var_os("PATH").as_deref())
}

/// The folders of a PATH, and those for administrators, which a normal user's PATH on Debian lacks.
fn folders(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path.map(|path| env::split_paths(path).collect()).unwrap_or_default();
    for more in ["/usr/sbin", "/sbin"] {
        if !folders.iter().any(|folder| folder == Path::new(more)) {
            folders.push(more.into());
        }
    }
    folders
}

fn first_file(folders: impl IntoIterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_path_is_searched_before_the_folders_for_administrators() {
        assert_eq!(
            folders(Some(OsStr::new("/home/me/bin:/sbin"))),
            ["/home/me/bin", "/sbin", "/usr/sbin"].map(PathBuf::from)
        );
        assert_eq!(folders(None), ["/usr/sbin", "/sbin"].map(PathBuf::from));
    }

    #[test]
    fn the_first_folder_that_has_the_file_wins_and_folders_of_that_name_do_not_count() {
        let (one, two, three) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(one.path().join("mongod")).unwrap();
        fs::write(two.path().join("mongod"), "").unwrap();
        fs::write(three.path().join("mongod"), "").unwrap();
        let all = [one.path(), two.path(), three.path()].map(Path::to_path_buf);
        assert_eq!(first_file(all.clone(), "mongod"), Some(two.path().join("mongod")));
        assert_eq!(first_file(all, "rabbitmq-server"), None);
    }

    #[test]
    fn the_workspace_is_the_folder_above_this_package() {
        assert!(workspace().join("xtask/src/services/locate.rs").is_file());
        assert!(steep_folder().ends_with(".steep"));
    }
}
