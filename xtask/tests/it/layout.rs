//! The sources stay in folders that a person can take in.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that a folder may hold at most.
const MOST: usize = 14;

fn folders(folder: &Path, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.path().is_dir() && !hidden && entry.file_name() != "target" {
            folders(&entry.path(), found);
        }
    }
}

#[test]
fn no_folder_holds_more_sources_than_can_be_taken_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    for package in ["api", "worker", "messages", "xtask", "crates"] {
        folders(&root.join(package), &mut all);
    }
    let is_source = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    for folder in all {
        let sources = fs::read_dir(&folder).unwrap().flatten().filter(|entry| is_source(&entry.path())).count();
        assert!(sources <= MOST, "{} holds {sources} sources: group them by subject", folder.display());
    }
}
