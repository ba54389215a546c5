use std::time::{Duration, Instant};

use crate::Error;
use crate::process::Process;

/// A program that ends sooner after its start than this is broken rather than killed ...
const QUICKLY: Duration = Duration::from_secs(5);
/// ... if it does so as often as this in a row.
const PATIENCE: u32 = 3;

/// A process that is started again when it ends without being asked to: a developer may kill it to see what becomes of its
/// work.
pub struct AutoRestart {
    start: Box<dyn Fn() -> Result<Process, Error>>,
    process: Process,
    started: Instant,
    quick_ends: u32,
}

impl std::fmt::Debug for AutoRestart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AutoRestart")
            .field("process", &self.process)
            .field("quick_ends", &self.quick_ends)
            .finish_non_exhaustive()
    }
}

impl AutoRestart {
    pub fn start(start: impl Fn() -> Result<Process, Error> + 'static) -> Result<AutoRestart, Error> {
        let process = start()?;
        Ok(AutoRestart { start: Box::new(start), process, started: Instant::now(), quick_ends: 0 })
    }

    /// The process as it runs now.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again if it has ended, and then says how it had.
    pub fn keep_running(&mut self) -> Result<Option<String>, Error> {
        let Err(died) = self.process.ensure_running() else { return Ok(None) };
        self.quick_ends = if self.started.elapsed() < QUICKLY { self.quick_ends + 1 } else { 0 };
        if self.quick_ends >= PATIENCE {
            return Err(died);
        }
        let status = self.process.ended().unwrap_or_default().to_owned();
        self.process = (self.start)()?;
        self.started = Instant::now();
        Ok(Some(status))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::process::Lifetime;

    fn kept(log: PathBuf, script: &'static str) -> AutoRestart {
        let start = move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Process::spawn("it", command, &log, Lifetime::Owned)
        };
        AutoRestart::start(start).unwrap()
    }

    /// What is said of its next end.
    fn next_end(kept: &mut AutoRestart) -> Result<String, Error> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = kept.keep_running()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end");
    }

    #[test]
    fn what_is_killed_is_started_again_and_what_was_asked_to_end_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = kept(folder.path().join("log"), "sleep 60");
        let first = kept.process().identity().clone();
        kept.process().kill();
        assert_eq!(next_end(&mut kept).unwrap(), "signal 9");
        assert!(kept.process().identity() != &first && kept.process().identity().alive());
        kept.process().stop(Duration::from_secs(5));
        assert_eq!(kept.keep_running().unwrap(), None);
        assert!(!kept.process().identity().alive());
    }

    #[test]
    fn what_ends_at_once_again_and_again_is_an_error_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = kept(folder.path().join("log"), "echo no such luck; exit 3");
        assert_eq!(next_end(&mut kept).unwrap(), "exit code 3");
        assert_eq!(next_end(&mut kept).unwrap(), "exit code 3");
        let ended = next_end(&mut kept).unwrap_err().to_string();
        assert!(ended.starts_with("it ended by itself (exit code 3)") && ended.contains("no such luck"), "{ended}");
    }
}
