//! `cargo xtask bench peers`: Steep beside other job systems on the same job, on the same machine, in turns.
//!
//! The job: read a file of 200,000 bytes from a folder, upload it as a signed form to the media host (which keeps it in memory),
//! write the outcome into MongoDB with majority, remove the file, ack. Prints tables in Markdown.

mod command;
mod machine;
mod peer;
mod producer;
mod promises;
mod report;

use std::path::{Path, PathBuf};

use testkit::Services;
use uuid::Uuid;
use xtask::peers::{Options, System};

use crate::accept::{self, Accepted, Upload};
use crate::drain::{self, Drained};
use crate::media_host;
use crate::system::{self, Setup};

use peer::Peer;
use report::Line;

/// Bytes of a file that is accepted: small, since the peers accept none.
const SMALL: usize = 2_000;
/// Users whose turn it is to upload a media file.
const USERS: usize = 1_000;

/// What all turns share.
struct Stage<'a> {
    root: &'a Path,
    services: &'a Services,
    options: &'a Options,
}

/// Measures what can be measured, and prints the rest with the reason.
pub async fn measure(root: &Path, services: &Services, words: &[String]) -> anyhow::Result<()> {
    let options = Options::read(words)?;
    let stage = Stage { root, services, options: &options };
    let mut accepting = Vec::new();
    let mut draining = Vec::new();
    for system in options.systems() {
        if system == System::Steep {
            accepting.push(Line::new(system, "Steep, media of 2 KB", Upload::Media));
            draining.push(Line::new(system, "Steep, avatars", Upload::Avatar));
            draining.push(Line::new(system, "Steep, media", Upload::Media));
        } else {
            accepting.push(Line::new(system, command::accepts(system), Upload::Avatar));
            draining.push(Line::new(system, command::works(system), Upload::Avatar));
        }
    }
    // First, since files that were removed slow down whoever creates files next.
    for round in 1..=options.rounds {
        for line in &mut accepting {
            eprintln!("round {round}: accepting: {}", line.name);
            line.note(stage.accept(line.system, line.upload).await);
        }
    }
    for round in 1..=options.rounds {
        for line in &mut draining {
            eprintln!("round {round}: finishing: {}", line.name);
            line.note(stage.drain(line.system, line.upload).await);
        }
    }
    println!("{}\n", machine::describe(services, &options).await?);
    report::draining(&draining, stage.jobs());
    report::accepting(&accepting, stage.accepts());
    promises::print(&options.systems());
    Ok(())
}

impl Stage<'_> {
    fn jobs(&self) -> usize {
        self.options.jobs as usize
    }

    fn accepts(&self) -> usize {
        self.jobs() * 2
    }

    /// For all files of a turn, with some room.
    fn media_folder(&self) -> Option<PathBuf> {
        let bytes = (self.jobs() * drain::FILE * 5 / 4) as u64;
        media_host::folder_in_memory(&format!("steep-bench-{}", Uuid::new_v4().simple()), bytes)
    }

    async fn accept(&self, system: System, upload: Upload) -> anyhow::Result<Accepted> {
        if system == System::Steep {
            let mut steep = system::System::start(self.root, self.services, USERS).await?;
            // Whose work is what the other measurement is about.
            steep.worker.kill();
            let accepted = accept::accept(&steep, self.services, upload, SMALL, self.accepts()).await;
            steep.remove().await?;
            return accepted;
        }
        let peer = Peer::start(system, self).await?;
        let accepted = peer.accept(self.accepts()).await;
        peer.remove().await?;
        accepted
    }

    async fn drain(&self, system: System, upload: Upload) -> anyhow::Result<Drained> {
        if system == System::Steep {
            let setup = Setup { uploads: Some(drain::AT_ONCE), media: self.media_folder(), ..Setup::default() };
            let mut steep = system::System::start_with(setup, self.root, self.services, self.jobs()).await?;
            steep.worker.kill();
            accept::accept(&steep, self.services, upload, drain::FILE, self.jobs()).await?;
            let drained = drain::steep(&mut steep, self.services, self.jobs()).await;
            steep.remove().await?;
            return drained;
        }
        let mut peer = Peer::start(system, self).await?;
        let drained = peer.drain(self.jobs()).await;
        peer.remove().await?;
        drained
    }
}
