//! The file with the spool's id.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use messages::{FileId, SpoolId};

use crate::Error;

const FILE: &str = "id";

/// The id of the spool in `root`: the stored one, else the given one, else a new one.
pub(crate) fn read_or_create(root: &Path, given: Option<SpoolId>) -> Result<SpoolId, Error> {
    let stored = match read(root)? {
        Some(stored) => stored,
        None => create(root, given.clone().unwrap_or_else(random))?,
    };
    match given {
        Some(given) if given != stored => Err(Error::IdDiffers { dir: root.to_owned(), stored, given }),
        _ => Ok(stored),
    }
}

pub(crate) fn read(root: &Path) -> Result<Option<SpoolId>, Error> {
    let path = root.join(FILE);
    let unusable = |cause| Error::Unusable { dir: root.to_owned(), cause };
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unusable(cause)),
    };
    let mut bytes = Vec::new();
    file.take(1024).read_to_end(&mut bytes).map_err(unusable)?;
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end().parse().map(Some).map_err(|cause| Error::IdUnreadable { path, cause })
}

/// Writes the id, or returns that of a faster program.
///
/// link(2) never replaces a name, and the file that it names is whole. So no program reads half an id, and all that
/// start together agree.
fn create(root: &Path, id: SpoolId) -> Result<SpoolId, Error> {
    let unusable = |cause| Error::Unusable { dir: root.to_owned(), cause };
    let draft = root.join(format!("id.{}", FileId::new()));
    let mut file = fs::File::create_new(&draft).map_err(unusable)?;
    let linked = writeln!(file, "{id}")
        .and_then(|()| file.sync_data())
        .and_then(|()| fs::hard_link(&draft, root.join(FILE)))
        .and_then(|()| fs::File::open(root)?.sync_all());
    fs::remove_file(&draft).map_err(unusable)?;
    match linked {
        Ok(()) => Ok(id),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(read(root)?.unwrap_or(id)),
        Err(cause) => Err(unusable(cause)),
    }
}

/// 48 random bits: short in a queue's name, and enough that no two spools of a broker share it.
fn random() -> SpoolId {
    let uuid = FileId::new().to_string();
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    #[allow(clippy::expect_used, reason = "hexadecimal digits are allowed in a spool's id")]
    digits.parse().expect("hexadecimal digits")
}
