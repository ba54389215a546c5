//! Programs whose machine has a wrong clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::tools;

/// The clock of a program's machine, wrong by as much as a test likes, and changed while the program runs. It lies to the
/// program alone, and not about how much time passes, as a clock that was set wrong does: files are dated by the volume's.
#[derive(Debug)]
pub struct FalseClock {
    library: String,
    file: PathBuf,
}

impl FalseClock {
    /// A clock that is so many seconds fast, or slow if they are less than nothing; it is kept in a folder. An error, in words: this
    /// machine has no faketime.
    pub fn new(folder: &Path, name: &str, seconds: i64) -> Result<Self, String> {
        // It knows where its library lies; and now and then it stumbles over what a process of its own number has left behind.
        let asked =
            || tools::run(Command::new("faketime").args(["-m", "-f", "+0", "sh", "-c", "echo \"$LD_PRELOAD\""]));
        let faketime = asked().or_else(|_| asked()).or_else(|_| asked());
        let library = faketime.map_err(|_| "faketime is not on this machine".to_owned())?.trim().to_owned();
        let clock = Self { library, file: folder.join(format!("{name}.clock")) };
        clock.set(seconds).map_err(|error| format!("{error:#}"))?;
        Ok(clock)
    }

    /// Sets it. The program follows within a second.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        // Renamed, so that nobody reads half of it.
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, format!("{seconds:+}\n"))?;
        std::fs::rename(&draft, &self.file).context("setting a clock")
    }

    /// The variables that make a program believe it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let on = || "1".to_owned();
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", on()),
            ("NO_FAKE_STAT", on()),
            // By both names that versions of it have for this.
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("DONT_FAKE_MONOTONIC", on()),
        ]
    }
}
