//! Settings in a file, as the system that Steep replaces has them.

use std::path::Path;

use crate::ConfigError;

/// Reads a file such as `.env`, if there is one. A variable that is set already stays as it is.
pub(crate) fn read(file: &Path) -> Result<(), ConfigError> {
    let refused = |expected| Err(ConfigError { variable: ".env", expected });
    match dotenvy::from_path(file) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // Its own words would repeat the value.
        Err(dotenvy::Error::LineParse(..)) => {
            let place = last_good(file)
                .map_or_else(|| "the first is none".to_owned(), |name| format!("what follows {name} is none"));
            refused(format!("lines such as NAME=value or NAME='a value', but {place}"))
        }
        Err(error) => refused(format!("a file that can be read, but {error}")),
    }
}

/// The last variable in front of what is malformed.
fn last_good(file: &Path) -> Option<String> {
    let lines = dotenvy::from_path_iter(file).ok()?;
    lines.map_while(Result::ok).last().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_line_is_located_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(".env");
        for content in ["s3cret", "A='s3cret", "A=s3cret with more", "export A=\"s3cret\" x"] {
            for (before, place) in
                [("", "the first is none"), ("# notes\nTEST_GOOD=1\n", "what follows TEST_GOOD is none")]
            {
                std::fs::write(&file, format!("{before}{content}\nTEST_AFTER=1\n")).expect("written");
                let line = read(&file).expect_err(content).to_string();
                assert_eq!(line, format!(".env: expected lines such as NAME=value or NAME='a value', but {place}"));
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_none_and_one_that_cannot_be_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(&folder.path().join(".env")).is_ok());
        let line = read(folder.path()).expect_err("a folder is no file").to_string();
        assert!(line.starts_with(".env: expected a file that can be read"), "{line}");
    }
}
