//! Nobody compares what another process wrote with the clock of its own machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may ask the machine for the time of day, and what for.
const ALLOWED: [(&str, &str); 4] = [
    ("crates/store/src/connection.rs", "tells by how much the machine's clock is wrong"),
    ("crates/broker/src/consume/delivery.rs", "tells a person when a message was found dead"),
    ("messages/src/envelope.rs", "tells a person when a message was sent"),
    ("crates/cloudinary/src/request.rs", "signs requests, and follows the media host's clock when that refuses one"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Whether the part of a source that is no test asks for the time of day.
fn asks(source: &str) -> bool {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    ["SystemTime::now()", "OffsetDateTime::now_", "DateTime::now()", "Utc::now()"]
        .iter()
        .any(|call| product.contains(call))
}

#[test]
fn the_machines_clock_is_asked_only_where_nothing_is_compared_with_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    let crates = ["program", "store", "broker", "spool", "cloudinary", "outbound"].map(|name| format!("crates/{name}"));
    for package in ["api", "worker", "messages"].map(str::to_owned).into_iter().chain(crates) {
        sources(&root.join(package).join("src"), &mut all);
    }
    let asking: Vec<PathBuf> = all.into_iter().filter(|path| asks(&fs::read_to_string(path).unwrap())).collect();
    for path in &asking {
        let name = path.strip_prefix(root).unwrap();
        assert!(
            ALLOWED.iter().any(|(allowed, _)| Path::new(allowed) == name),
            "{} asks the machine for the time: compare by `$$NOW` or the store's `now()`",
            name.display()
        );
    }
    for (allowed, why) in ALLOWED {
        assert!(asking.contains(&root.join(allowed)), "{allowed} no longer {why}");
    }
}
