//! What MongoDB is asked for each upload, and how fast one worker finishes those that were accepted before.

use std::path::Path;

use testkit::Services;

use crate::accept::{self, Upload};
use crate::drain;
use crate::system::{Setup, System};
use crate::table::Row;

const COUNT: usize = 1000;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (upload, what, name) in [
        (Upload::Avatar, "finishing preloaded avatars of 200 KB, 32 at once", "an avatar"),
        (Upload::Media, "the same, media files", "a media file"),
    ] {
        let setup = Setup { uploads: Some(drain::AT_ONCE), ..Setup::default() };
        let mut system = System::start_with(setup, root, services, COUNT).await?;
        system.worker.kill();
        let accepted = accept::accept(&system, services, upload, drain::FILE, COUNT).await?;
        let drained = drain::steep(&mut system, services, COUNT).await?;
        system.remove().await?;
        println!("MongoDB commands to accept {name}: {}; to finish it: {}", accepted.commands, drained.commands);
        rows.push(Row {
            what,
            ours: format!("{:.0}/s", drained.per_second),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "",
            met: true,
        });
    }
    Ok(rows)
}
