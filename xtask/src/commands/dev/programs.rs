//! Our own programs, as `cargo xtask dev` runs them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Error;
use crate::process::restart::AutoRestart;
use crate::process::{Lifetime, Process, interrupt, last_lines};
use anyhow::Context as _;

use crate::services::{advice, locate, ports};
use crate::shell::variable;

/// What each program may take until it serves. They wait for their services themselves, and those are up.
const READY: Duration = Duration::from_secs(60);
/// What the programs are told to take at most for what they are doing, and what they get before SIGKILL. With the media host
/// and the services after them, everything ends within ten seconds.
const FINISH: &str = "3s";
const STOP: Duration = Duration::from_secs(4);
/// Its clients are gone by then.
const MEDIA_STOP: Duration = Duration::from_secs(1);

/// Where our programs listen.
#[derive(Debug, Clone, clap::Args)]
pub struct ProgramPorts {
    /// Port of the api
    #[arg(long, value_name = "PORT", env = "STEEP_API_PORT", default_value_t = 8000)]
    pub api_port: u16,
    /// Port of the worker's health pages
    #[arg(long, value_name = "PORT", env = "STEEP_WORKER_PORT", default_value_t = 8001)]
    pub worker_port: u16,
    /// Port of the local media host
    #[arg(long, value_name = "PORT", env = "STEEP_MEDIA_PORT", default_value_t = 8787)]
    pub media_port: u16,
}

impl ProgramPorts {
    /// Fails with one line if somebody else has one of them.
    pub fn ensure_free(&self, media_host: &MediaHost) -> Result<(), Error> {
        ports::ensure_free(self.api_port, "the api", &advice("--api-port", "STEEP_API_PORT"))?;
        ports::ensure_free(self.worker_port, "the worker", &advice("--worker-port", "STEEP_WORKER_PORT"))?;
        if *media_host == MediaHost::Local {
            ports::ensure_free(self.media_port, "the local media host", &advice("--media-port", "STEEP_MEDIA_PORT"))?;
        }
        Ok(())
    }

    /// Where clients reach the api.
    pub fn api_url(&self) -> String {
        format!("http://localhost:{}", self.api_port)
    }
}

/// Where finished uploads live.
#[derive(Debug, PartialEq, Eq)]
pub enum MediaHost {
    /// cloudinary-local, started by us.
    Local,
    /// The real service, named by the variables that the worker reads itself.
    Real,
}

impl MediaHost {
    /// The real one as soon as somebody named it.
    pub fn from_env() -> MediaHost {
        let named = ["CLOUDINARY_URL", "CLOUDINARY_CLOUD_NAME"].into_iter().any(|name| variable(name).is_some());
        if named { MediaHost::Real } else { MediaHost::Local }
    }
}

/// Secrets of a development installation, made at its first start. They are random even here: an api that listens for others
/// for a demonstration would otherwise accept tokens that anyone can sign.
pub struct Secrets {
    access_token: String,
    refresh_token: String,
    media: String,
}

impl Secrets {
    /// Reads them from `file`, or makes them and keeps them there for the owner's eyes only.
    pub fn load_or_make(file: &Path) -> anyhow::Result<Secrets> {
        if !file.exists() {
            let mut text = String::new();
            for _ in 0..3 {
                text.push_str(&random_hex(32).context("reading random bytes")?);
                text.push('\n');
            }
            let mut options = OpenOptions::new();
            let mut new = options.write(true).create_new(true).mode(0o600).open(file)?;
            new.write_all(text.as_bytes())?;
        }
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let mut lines = text.lines().map(str::to_owned);
        match (lines.next(), lines.next(), lines.next()) {
            (Some(access_token), Some(refresh_token), Some(media)) => {
                Ok(Secrets { access_token, refresh_token, media })
            }
            _ => anyhow::bail!("{} is not what it was; remove it for new secrets", file.display()),
        }
    }
}

/// `bytes` random bytes in hexadecimal.
pub fn random_hex(bytes: usize) -> std::io::Result<String> {
    let mut raw = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut raw)?;
    Ok(raw.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What runs.
#[derive(Debug)]
pub struct Programs {
    api: AutoRestart,
    worker: AutoRestart,
    /// `None`: the real Cloudinary is used.
    media: Option<AutoRestart>,
}

/// Everything that the programs are told.
pub struct Setting {
    /// Where cargo put them.
    pub programs: PathBuf,
    /// `.steep/dev`.
    pub folder: PathBuf,
    pub ports: ProgramPorts,
    pub media_host: MediaHost,
    pub rabbitmq_url: String,
    pub mongodb_url: String,
}

impl Programs {
    /// Starts the media host, the api and a worker, and waits until each says that it is ready.
    pub fn start(setting: Setting) -> anyhow::Result<Programs> {
        let secrets = Rc::new(Secrets::load_or_make(&setting.folder.join("secrets"))?);
        let setting = Rc::new(setting);
        let keep = |name, command: fn(&Setting, &Secrets) -> Command| {
            let (setting, secrets) = (Rc::clone(&setting), Rc::clone(&secrets));
            AutoRestart::start(move || setting.spawn(name, command(&setting, &secrets)))
        };
        let media = match setting.media_host {
            MediaHost::Local => Some(keep("media", Setting::media)?),
            MediaHost::Real => None,
        };
        let api = keep("api", Setting::api)?;
        let worker = keep("worker", Setting::worker)?;
        let mut programs = Programs { api, worker, media };
        programs.until_ready(&[("api", setting.ports.api_port), ("worker", setting.ports.worker_port)])?;
        Ok(programs)
    }

    /// Each program's name and log.
    pub fn logs(&mut self) -> Vec<(String, PathBuf)> {
        self.all().map(|kept| (kept.process().name().to_owned(), kept.process().log().to_owned())).collect()
    }

    /// Starts those again that have ended by themselves or were killed, and answers with a line about each. Fails when one
    /// ends again and again.
    pub fn keep_running(&mut self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for kept in self.all() {
            if let Some(status) = kept.keep_running()? {
                lines.push(format!("{} has ended ({status}) and was started again", kept.process().name()));
            }
        }
        Ok(lines)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut AutoRestart> {
        [&mut self.api, &mut self.worker].into_iter().chain(&mut self.media)
    }

    /// Ends them: those that use the media host before it.
    pub fn stop(&mut self) {
        let mut ours = [self.api.process(), self.worker.process()];
        ours.iter_mut().for_each(|process| process.terminate());
        let deadline = Instant::now() + STOP;
        for process in ours {
            process.stop(deadline.saturating_duration_since(Instant::now()));
        }
        if let Some(media) = &mut self.media {
            media.process().stop(MEDIA_STOP);
        }
    }

    fn until_ready(&mut self, pages: &[(&'static str, u16)]) -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(3)))
            .http_status_as_error(false)
            .build()
            .into();
        let begun = Instant::now();
        for (name, port) in pages {
            for page in ["healthz", "readyz"] {
                loop {
                    self.all().try_for_each(|kept| kept.process().ensure_running())?;
                    let state = match agent.get(&format!("http://127.0.0.1:{port}/{page}")).call() {
                        Ok(answer) if answer.status().is_success() => break,
                        Ok(mut answer) => answer.body_mut().read_to_string().unwrap_or_default(),
                        Err(error) => error.to_string(),
                    };
                    if begun.elapsed() > READY {
                        let log = self.logs().into_iter().find(|(of, _)| of == name).map(|(_, log)| log);
                        let log = log.unwrap_or_default();
                        let (seconds, tail) = (READY.as_secs(), last_lines(&log, 12));
                        return Err(Error::NotReady { program: (*name).into(), seconds, state, log, tail }.into());
                    }
                    interrupt::pause(Duration::from_millis(100))?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // Nothing is left to do after an orderly stop.
        self.stop();
    }
}

impl Setting {
    fn spawn(&self, name: &str, mut command: Command) -> Result<Process, Error> {
        let log = self.folder.join("log").join(format!("{name}.log"));
        // https://no-color.org: the log is a file, and is read with tools that show escape codes as they are.
        command.current_dir(locate::workspace()).env("NO_COLOR", "1");
        Process::spawn(name, command, &log, Lifetime::Owned)
    }

    fn api(&self, secrets: &Secrets) -> Command {
        let mut command = self.ours("api");
        command
            .env("PORT", self.ports.api_port.to_string())
            .env("PUBLIC_URL", self.ports.api_url())
            .env("ACCESS_TOKEN_SECRET", &secrets.access_token)
            .env("REFRESH_TOKEN_SECRET", &secrets.refresh_token)
            .env("SHUTDOWN_TIMEOUT", FINISH);
        if self.media_host == MediaHost::Local {
            command.env("CLOUDINARY_URL", self.account(secrets));
        }
        command
    }

    fn worker(&self, secrets: &Secrets) -> Command {
        let mut command = self.ours("worker");
        command
            .env("WORKER_HEALTH", format!("127.0.0.1:{}", self.ports.worker_port))
            .env("WORKER_SHUTDOWN_LIMIT", FINISH);
        if self.media_host == MediaHost::Local {
            command.env("CLOUDINARY_URL", self.account(secrets));
            command.env("CLOUDINARY_NOTIFICATION_URL", self.notification_url());
            // An account in a developer's .env must neither be used nor contradict.
            for name in ["CLOUD_NAME", "API_KEY", "API_SECRET", "UPLOAD_PREFIX"] {
                command.env(format!("CLOUDINARY_{name}"), "");
            }
        }
        command
    }

    fn media(&self, secrets: &Secrets) -> Command {
        let mut command = Command::new(self.programs.join("cloudinary-local"));
        command
            .args(["--listen", &format!("127.0.0.1:{}", self.ports.media_port), "--admin", "--data"])
            .arg(self.folder.join("media"))
            // Not as an argument, which every user of the machine could see.
            .env("CLOUDINARY_LOCAL_ACCOUNTS", format!("{MEDIA_CLOUD}:{MEDIA_KEY}:{}", secrets.media))
            .env("CLOUDINARY_LOCAL_NOTIFICATION_URL", self.notification_url());
        command
    }

    /// The account at the local media host. The api verifies its notifications by it.
    fn account(&self, secrets: &Secrets) -> String {
        let (secret, port) = (&secrets.media, self.ports.media_port);
        format!("cloudinary://{MEDIA_KEY}:{secret}@{MEDIA_CLOUD}?upload_prefix=http://127.0.0.1:{port}")
    }

    /// Where the local media host tells what has become of assets.
    fn notification_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/webhooks/cloudinary", self.ports.api_port)
    }

    fn ours(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("STEEP_ENV", "development")
            // Whoever develops a receiver of webhooks has it on this machine.
            .env("WEBHOOK_ALLOW_PRIVATE", "true")
            .env("RABBITMQ_URL", &self.rabbitmq_url)
            .env("MONGODB_URI", &self.mongodb_url)
            .env("SPOOL_DIR", self.folder.join("spool"));
        command
    }
}

/// The account at the local media host.
const MEDIA_CLOUD: &str = "demo";
const MEDIA_KEY: &str = "steep";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_for_the_owners_eyes_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        let first = Secrets::load_or_make(&file).unwrap();
        let second = Secrets::load_or_make(&file).unwrap();
        assert_eq!(first.access_token, second.access_token);
        assert_eq!(first.media, second.media);
        assert_eq!(first.access_token.len(), 64);
        assert_ne!(first.access_token, first.refresh_token);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "half").unwrap();
        assert!(Secrets::load_or_make(&file).is_err());
    }
}
