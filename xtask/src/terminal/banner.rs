//! What `cargo xtask dev` says once everything runs.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::time::Duration;

/// All that is on the screen. Nothing in it is secret: addresses that somebody else gave us, which may hold a password, are
/// not repeated.
pub struct Banner<'a> {
    pub api: &'a str,
    pub worker: u16,
    /// `None`: the real Cloudinary.
    pub media: Option<u16>,
    /// `None`: given by a variable.
    pub rabbitmq: Option<&'a str>,
    pub management: Option<&'a str>,
    /// `None`: given by a variable.
    pub mongodb: Option<&'a str>,
    pub folder: &'a Path,
    pub sample: &'a Path,
    /// A user name that nobody has yet, so that the lines work as pasted on any day.
    pub user: &'a str,
    pub times: Times,
}

/// Where the time went.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub install: Duration,
    pub build: Duration,
    pub start: Duration,
    pub total: Duration,
}

impl Times {
    /// One a line, for people.
    pub fn lines(self) -> String {
        let parts = [("install", self.install), ("build", self.build), ("start", self.start), ("in all", self.total)];
        parts.iter().map(|(what, time)| format!("  {what:<8} {:>6.1} s\n", time.as_secs_f32())).collect()
    }
}

/// The password of the user in the example.
const PASSWORD: &str = "correct-horse-battery";

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        writeln!(f, "\nSteep is up.\n")?;
        writeln!(f, "  api        {}", self.api)?;
        writeln!(f, "  worker     http://127.0.0.1:{}/readyz", self.worker)?;
        let media = self.media.map_or_else(
            || "Cloudinary itself, as its variables say".to_owned(),
            |port| format!("http://127.0.0.1:{port}  (cloudinary-local, a stand-in for Cloudinary)"),
        );
        writeln!(f, "  media      {media}")?;
        writeln!(f, "  RabbitMQ   {}", self.rabbitmq.unwrap_or("as RABBITMQ_URL says"))?;
        if let Some(management) = self.management {
            writeln!(f, "             {management}  (its pages: user guest, password guest)")?;
        }
        writeln!(f, "  MongoDB    {}", self.mongodb.unwrap_or("as MONGODB_URI says"))?;
        writeln!(f, "  data       {folder}  (wipe with: cargo xtask dev --wipe)")?;
        writeln!(f, "  logs       {folder}/log  (shown here with: cargo xtask dev --logs)")?;

        let (answer, cookies) = (quoted(&self.folder.join("answer.json")), quoted(&self.folder.join("cookies")));
        let (user, api) = (self.user, self.api);
        writeln!(f, "\nRegister a user with a picture; the answer does not wait for its upload:\n")?;
        writeln!(
            f,
            "  curl -sS -F username={user} -F email={user}@example.com -F fullName='Ada Lovelace' -F password={PASSWORD} \
             -F avatar=@{} {api}/api/v1/users/register | tee {answer}; echo",
            quoted(self.sample)
        )?;
        writeln!(f, "\nSign in, and ask for the job that was in that answer (data.jobs[0].url):\n")?;
        writeln!(
            f,
            "  curl -sS -o /dev/null -c {cookies} -H 'Content-Type: application/json' -d '{{\"username\":\"{user}\",\"password\":\"{PASSWORD}\"}}' \
             {api}/api/v1/users/login; curl -sS -b {cookies} \
             \"$(grep -o 'http[^\"]*/jobs/[^\"]*' {answer} | head -n 1)\"; echo"
        )?;
        writeln!(f, "\nThe picture's address is now the media host's:\n")?;
        writeln!(f, "  curl -sS -b {cookies} {api}/api/v1/users/current-user; echo")?;

        let Times { install, build, start, total } = self.times;
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f32());
        writeln!(
            f,
            "\ninstall {}, build {}, start {}; ready after {}. Ctrl-C ends everything.",
            seconds(install),
            seconds(build),
            seconds(start),
            seconds(total)
        )
    }
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen<'a>(folder: &'a Path, rabbitmq: Option<&'a str>) -> Banner<'a> {
        let second = Duration::from_secs(1);
        Banner {
            api: "http://localhost:8000",
            worker: 8001,
            media: Some(8787),
            rabbitmq,
            management: rabbitmq.map(|_| "http://127.0.0.1:15673"),
            mongodb: None,
            folder,
            sample: Path::new("/repo/docs/sample.jpg"),
            user: "ada12ab",
            times: Times { install: second, build: second * 60, start: second * 2, total: second * 63 },
        }
    }

    #[test]
    fn addresses_commands_data_and_times_are_on_it() {
        let text = screen(Path::new("/repo/.steep/dev"), Some("amqp://guest:guest@127.0.0.1:5673")).to_string();
        for part in [
            "http://localhost:8000",
            "http://127.0.0.1:15673",
            "amqp://guest:guest@127.0.0.1:5673",
            "as MONGODB_URI says",
            "-F avatar=@/repo/docs/sample.jpg",
            "/repo/.steep/dev ",
            "--wipe",
            "install 1.0 s, build 60.0 s, start 2.0 s; ready after 63.0 s",
        ] {
            assert!(text.contains(part), "{part} is not on\n{text}");
        }
        assert!(text.lines().count() < 40, "it is one screen");
    }

    #[test]
    fn paths_with_spaces_and_quotes_survive_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        assert_eq!(quoted(Path::new("/repo/.steep/dev-1/x_y.json")), "/repo/.steep/dev-1/x_y.json");
    }
}
