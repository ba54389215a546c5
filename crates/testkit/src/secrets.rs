//! No test shows a secret in a log or an answer.
//!
//! The harness tells what is secret, and everything that is logged and answered: what the programs log in this process, the
//! output of those in processes of their own, and every answer that a client of the harness gets. When an environment ends
//! ([`crate::TestEnv::finish`]) the one is looked for in the other, so whatever test makes a program show a secret fails.
//!
//! One for the whole process, since the log of a process is one.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// What every hash of a password begins with.
const HASHES: [&str; 4] = ["$argon2", "$2a$", "$2b$", "$2y$"];
/// The only operations whose answers hold a token: those that issue it.
const ISSUERS: [&str; 2] = ["post /api/v1/users/login", "post /api/v1/users/refresh-token"];
/// The only operations whose answers hold the secret of a webhook begin so: those that make one.
const SIGNERS: &str = "post /api/v1/webhook-endpoints";
/// What a token begins with: `{"` in Base64.
const HEAD_OF_TOKEN: &str = "eyJ";
/// Shorter ones are no tokens, and an example in a text may be cut off.
const SHORTEST_TOKEN: usize = 30;
/// Of HMAC-SHA-256 in Base64. Without it, a token is only what it says.
const SIGNATURE: usize = 43;
/// Shorter ones would be found by chance.
const SHORTEST_SECRET: usize = 8;

static WATCH: LazyLock<Mutex<Watch>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Watch {
    secrets: Secrets,
    /// What was answered, with where it came from.
    seen: Vec<(String, String)>,
    /// What was logged in this process.
    log: Vec<u8>,
    /// Where other processes log.
    logs: Vec<PathBuf>,
}

/// What must not be shown.
#[derive(Debug, Default)]
struct Secrets {
    /// With what each one is.
    texts: BTreeMap<String, String>,
    signatures: HashSet<String>,
}

impl Secrets {
    fn keep(&mut self, what: &str, secret: &str) {
        if secret.len() >= SHORTEST_SECRET {
            self.texts.insert(secret.to_owned(), what.to_owned());
        }
    }

    fn keep_token(&mut self, token: &str) {
        let signature = token.rsplit('.').next().filter(|signature| signature.len() == SIGNATURE);
        self.signatures.extend(signature.map(str::to_owned));
    }

    /// The first line of a text that shows something, with what that is.
    fn find(&self, text: &str) -> Option<(String, String)> {
        text.lines().find_map(|line| Some((self.find_in_line(line)?, line.chars().take(2_000).collect())))
    }

    fn find_in_line(&self, line: &str) -> Option<String> {
        if HASHES.iter().any(|hash| line.contains(hash)) {
            return Some("the hash of a password".to_owned());
        }
        let text = self.texts.iter().find(|(secret, _)| line.contains(secret.as_str()));
        if let Some((_, what)) = text {
            return Some(what.clone());
        }
        let words = line.split(|char: char| !char.is_ascii_alphanumeric() && char != '-' && char != '_');
        let mut words = words.filter(|word| word.len() >= SHORTEST_TOKEN);
        words.find_map(|word| match word {
            _ if word.starts_with(HEAD_OF_TOKEN) => Some("a token".to_owned()),
            _ if self.signatures.contains(word) => Some("the signature of a token".to_owned()),
            _ => None,
        })
    }
}

/// Tells of a secret that no log and no answer may hold.
pub fn keep(what: &str, secret: &str) {
    watch().secrets.keep(what, secret);
}

/// Tells of a token that somebody has, by which it is known even without what it says.
pub fn keep_token(token: &str) {
    watch().secrets.keep_token(token);
}

/// Tells of an answer: to what method and path, its status, its headers as text, and its body. The tokens that it issues,
/// if that is what it is for, are secret from then on.
pub fn answered(operation: &str, status: u16, headers: &str, body: &[u8]) {
    // Otherwise it is a picture or a video, which a test has sent.
    let Ok(body) = std::str::from_utf8(body) else { return };
    let mut text = format!("{headers}\n{body}");
    let mut watch = watch();
    let operation = operation.to_ascii_lowercase();
    if status == 200 && ISSUERS.contains(&operation.trim_end_matches('/')) {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let issued = ["accessToken", "refreshToken"].map(|field| body["data"][field].as_str().unwrap_or_default());
        for token in issued.into_iter().filter(|token| !token.is_empty()) {
            watch.secrets.keep_token(token);
            text = text.replace(token, "…");
        }
    }
    if matches!(status, 200 | 201) && operation.starts_with(SIGNERS) {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        if let Some(secret) = body["data"]["secret"].as_str() {
            watch.secrets.keep("the secret of a webhook", secret);
            text = text.replace(secret, "…");
        }
    }
    watch.seen.push((format!("the answer {status} to {operation}"), text));
}

/// Tells where a process of its own is going to log. What another one has logged there is read now.
pub(crate) fn will_log(path: &Path) {
    let mut watch = watch();
    if let Ok(before) = std::fs::read(path) {
        watch.seen.push((format!("{}, of a program that was replaced", path.display()), lossy(&before)));
    } else {
        watch.logs.push(path.to_owned());
    }
}

/// What the programs that run in this process have logged, as far as that is looked through, since an environment ended here last.
/// Tests run in a process each, so it is of one test.
pub fn logged() -> String {
    lossy(&watch().log)
}

/// Looks for every secret that is known in everything that was seen since the last time.
pub(crate) fn assert_kept() {
    let shown = watch().shown();
    assert!(shown.is_empty(), "a secret was shown:\n{}", shown.join("\n"));
}

impl Watch {
    fn shown(&mut self) -> Vec<String> {
        let mut seen = mem::take(&mut self.seen);
        seen.push(("the log".to_owned(), lossy(&mem::take(&mut self.log))));
        for path in mem::take(&mut self.logs) {
            // Gone with its environment, if that has ended before this one.
            if let Ok(log) = std::fs::read(&path) {
                seen.push((path.display().to_string(), lossy(&log)));
                self.logs.push(path);
            }
        }
        let mut shown = Vec::new();
        for (place, text) in seen {
            if let Some((what, line)) = self.secrets.find(&text) {
                shown.push(format!("{what}, in {place}: {line}"));
            }
        }
        shown
    }
}

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where this process logs to, besides.
#[derive(Debug)]
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        watch().log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_found_wherever_it_stands() {
        let signature = "A-_4".repeat(11)[..SIGNATURE].to_owned();
        let mut secrets = Secrets::default();
        secrets.keep("a password", "correct horse");
        secrets.keep("too short to be told from chance", "abcd");
        secrets.keep_token(&format!("eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiIxIn0.{signature}"));
        for (line, what) in [
            ("user=ada password=\"correct horse\" ", Some("a password")),
            ("{\"password\":\"$argon2id$v=19$m=19456\"}", Some("the hash of a password")),
            ("$2b$10$abcdefghijklmnopqrstuv", Some("the hash of a password")),
            ("set-cookie: accessToken=eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.x;", Some("a token")),
            (&format!("bearer …{signature}, 401"), Some("the signature of a token")),
            ("correct house, abcd, eyJ0eXAi…, eyJ", None),
            ("steep-0123456789abcdef0123456789abcdef0123456789abcdef", None),
        ] {
            let text = format!("a first line\n{line}\na last one");
            assert_eq!(secrets.find(&text).map(|(what, _)| what).as_deref(), what, "{line}");
        }
    }
}
