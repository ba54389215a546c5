//! Showing log files as they grow.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// One log file, read from its end.
#[derive(Debug)]
pub struct Tail {
    name: String,
    path: PathBuf,
    offset: u64,
    /// A line whose end was not there yet.
    partial: Vec<u8>,
}

impl Tail {
    /// Follows the file at `path`, which need not exist yet, from its beginning.
    pub fn new(name: &str, path: &Path) -> Tail {
        Tail { name: name.to_owned(), path: path.to_owned(), offset: 0, partial: Vec::new() }
    }

    /// The complete lines that came since the last call, each with the program's name before it.
    pub fn lines(&mut self) -> Vec<String> {
        // Read errors are not worth a word here: the file is there for whoever wants to look.
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.offset)).is_ok()
            && let Ok(read) = file.read_to_end(&mut self.partial)
        {
            self.offset += read as u64;
        }
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.partial.split_off(end + 1);
        let complete = std::mem::replace(&mut self.partial, rest);
        String::from_utf8_lossy(&complete).lines().map(|line| format!("{:<7} {line}", self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_complete_lines_come_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.log");
        let mut follower = Tail::new("api", &path);
        assert!(follower.lines().is_empty());
        let append = |text: &str| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\ntw");
        assert_eq!(follower.lines(), ["api     one"]);
        append("o\nthree\n");
        assert_eq!(follower.lines(), ["api     two", "api     three"]);
        assert!(follower.lines().is_empty());
    }
}
