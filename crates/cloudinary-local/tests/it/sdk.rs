//! Cloudinary's official SDKs against the built program.
//!
//! They are installed by name and version into `.steep/sdk` of the workspace, and found there the next time. A machine
//! without Node or Python sees the test reported as skipped, with the reason; everything else that goes wrong is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::restart::Program;

const NODE_SDK: &str = "2.11.0";
const PYTHON_SDK: &str = "1.46.3";

/// What the scripts expect of the server.
const ARGUMENTS: [&str; 7] = ["--admin", "--min-chunk", "1", "--preset", "open", "--oauth-token", "tok"];

fn sdk_folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = manifest.ancestors().nth(2).expect("the workspace is two folders up");
    let folder = workspace.join(".steep").join("sdk");
    std::fs::create_dir_all(&folder).expect("a folder for the SDKs");
    folder
}

/// Runs a command; why it failed is what it said last.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|error| format!("{name}: {error}"))?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    if status.success() { Ok(stdout) } else { Err(format!("{name}: {status}\n{stdout}{stderr}")) }
}

/// The folder in which `install` has put the SDK. It is filled under another name first, so that one that was interrupted
/// is never taken for complete.
fn installed(name: &str, install: impl Fn(&Path) -> Result<String, String>) -> Result<PathBuf, String> {
    let (parent, target) = (sdk_folder(), sdk_folder().join(name));
    if target.is_dir() {
        return Ok(target);
    }
    let temporary = TempDir::new_in(&parent).map_err(|error| error.to_string())?;
    install(temporary.path())?;
    let temporary = temporary.keep();
    // Another run may have been faster; its folder is as good.
    if std::fs::rename(&temporary, &target).is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    if target.is_dir() { Ok(target) } else { Err(format!("{} is missing", target.display())) }
}

fn skip(sdk: &str, reason: &str) {
    eprintln!("skipped: the {sdk} SDK was not tried: {reason}");
}

/// Runs a script against a server of its own and shows what it said.
fn drive(program: &str, script: &str, path_name: &str, path: &Path) {
    let folder = TempDir::new().expect("a folder");
    let server = Program::start(folder.path(), &ARGUMENTS);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("sdk").join(script);
    let mut command = Command::new(program);
    command.arg(script).env(path_name, path).env("CLOUDINARY_URL", &server.url).env("PYTHONDONTWRITEBYTECODE", "1");
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "CLOUDINARY_API_PROXY", "CLOUDINARY_CLOUD_NAME"]
    {
        command.env_remove(proxy);
    }
    match run(&mut command) {
        Ok(said) => println!("{said}"),
        Err(said) => panic!("{said}"),
    }
}

#[test]
fn the_node_sdk_works_unchanged() {
    for tool in ["node", "npm"] {
        if run(Command::new(tool).arg("--version")).is_err() {
            return skip("Node", &format!("{tool} is not on this machine"));
        }
    }
    let installed = installed(&format!("node-{NODE_SDK}"), |folder| {
        let package = format!("cloudinary@{NODE_SDK}");
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
            .arg(folder)
            .arg(package))
    });
    let folder = installed.unwrap_or_else(|reason| panic!("the Node SDK could not be installed: {reason}"));
    drive("node", "node.cjs", "NODE_PATH", &folder.join("node_modules"));
}

#[test]
fn the_python_sdk_works_unchanged() {
    if run(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        return skip("Python", "python3 with pip is not on this machine");
    }
    let installed = installed(&format!("python-{PYTHON_SDK}"), |folder| {
        let package = format!("cloudinary=={PYTHON_SDK}");
        run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(folder)
            .arg(package))
    });
    let folder = installed.unwrap_or_else(|reason| panic!("the Python SDK could not be installed: {reason}"));
    drive("python3", "python.py", "PYTHONPATH", &folder);
}
