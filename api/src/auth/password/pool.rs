//! Hashes and checks passwords on threads of their own.
//!
//! A hash costs tens of milliseconds of one core and 19 MiB of memory, on purpose. Here it delays neither file I/O nor
//! other requests, and a burst of sign-ins is refused before it becomes an unbounded wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Params, PasswordHash, PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::argon::Hasher;
use crate::http::problem::{Problem, ProblemKind};

/// Argon2id as OWASP's Password Storage Cheat Sheet recommends first: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashing yields to whatever else wants a core (nice(2)): a request that takes half a millisecond must not wait for
/// one that takes thirty.
const NICENESS: i32 = 19;

/// The hash that an unknown user's password is checked against, so that the answer takes as long as for a known one.
/// Its parameters are those above; no password has it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3RlZXAtbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("too many passwords are being checked")]
    Busy,
    /// The library refused, for example for want of memory or random numbers.
    #[error("cannot hash a password: {0}")]
    Hash(argon2::password_hash::Error),
    /// The pool is gone, or the work panicked.
    #[error("the program is shutting down, or hashing panicked")]
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Hashed by chai-backend (bcrypt) or with other parameters: to be hashed anew.
    RightButOutdated,
}

/// A verdict, and the wait for a thread, which depends on how busy we are and not on whose password it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    pub(crate) waited: Duration,
}

type Task = Box<dyn FnOnce(&Hasher) + Send>;

/// Threads that do nothing but hash. They end when the pool is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    tasks: SyncSender<Task>,
}

impl Passwords {
    /// Starts `threads` threads, with room for `waiting` more requests than they work on.
    pub(crate) fn start(threads: usize, waiting: usize) -> std::io::Result<Self> {
        let (tasks, receiver) = sync_channel::<Task>(waiting);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = receiver.clone();
            thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&receiver))?;
        }
        Ok(Self { tasks })
    }

    pub(crate) async fn hash(&self, password: SecretString) -> Result<SecretString, Error> {
        self.run(move |hasher| {
            let hash = hasher.hash_password(password.expose_secret().as_bytes()).map_err(Error::Hash)?;
            Ok(SecretString::from(hash.to_string()))
        })
        .await?
    }

    /// Checks a password against a stored hash, or against nobody's, which takes as long as one of ours and is always
    /// wrong. A hash that cannot be read is a wrong password, not an error.
    pub(crate) async fn check(&self, password: SecretString, hash: Option<SecretString>) -> Result<Checked, Error> {
        let asked = Instant::now();
        self.run(move |hasher| {
            let waited = asked.elapsed();
            // An adopted user without a password has an empty hash.
            let hash = hash.as_ref().map(ExposeSecret::expose_secret).filter(|hash| !hash.is_empty());
            let known = hash.is_some();
            let hash = hash.unwrap_or(NOBODY);
            let verdict = check(hasher, password.expose_secret(), hash);
            Checked { verdict: if known { verdict } else { Verdict::Wrong }, waited }
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Hasher) -> T + Send + 'static) -> Result<T, Error> {
        let (reply, result) = oneshot::channel();
        let task: Task = Box::new(move |hasher| {
            // A client that has gone is not worth the time.
            if !reply.is_closed() {
                let _ = reply.send(work(hasher));
            }
        });
        self.tasks.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => Error::Stopped,
        })?;
        result.await.map_err(|_| Error::Stopped)
    }
}

fn work(tasks: &Mutex<Receiver<Task>>) {
    // Linux sets it for this thread alone. Without the permission everybody else waits a little longer.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "passwords are checked at the same priority as everything else");
    }
    #[allow(clippy::expect_used, reason = "the parameters are constants, and a test hashes with them")]
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constant parameters");
    let hasher = Hasher::new(params);
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        // The caller gets an error. The thread goes on: a hasher keeps nothing between two hashes.
        if catch_unwind(AssertUnwindSafe(|| task(&hasher))).is_err() {
            tracing::error!("hashing or checking a password panicked");
        }
    }
}

fn check(hasher: &Hasher, password: &str, hash: &str) -> Verdict {
    if is_bcrypt(hash) {
        return match bcrypt::verify(password, hash) {
            Ok(true) => Verdict::RightButOutdated,
            Ok(false) | Err(_) => Verdict::Wrong,
        };
    }
    let Ok(known) = PasswordHash::new(hash) else { return Verdict::Wrong };
    match hasher.verify_password(password.as_bytes(), &known) {
        Ok(()) if hash.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")) => Verdict::Right,
        Ok(()) => Verdict::RightButOutdated,
        Err(_) => Verdict::Wrong,
    }
}

/// The prefixes that bcrypt libraries have given their hashes; Node's `bcrypt` writes `$2b$`.
fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy => {
                Self::new(ProblemKind::Unavailable, "too many people sign in at the moment; try again in a moment")
                    .retry_after(2)
                    .because(error)
            }
            error => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    async fn verdict(passwords: &Passwords, password: &str, hash: Option<SecretString>) -> Verdict {
        passwords.check(secret(password), hash).await.expect("checked").verdict
    }

    #[tokio::test]
    async fn a_password_is_right_against_its_own_hash_only() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let hash = passwords.hash(secret("correct horse")).await.expect("a hash");
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(verdict(&passwords, "correct horse", Some(hash.clone())).await, Verdict::Right);
        assert_eq!(verdict(&passwords, "correct house", Some(hash)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_the_original_is_right_and_outdated() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let hash = bcrypt::hash("correct horse", 4).expect("a hash");
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = Some(secret(&hash.replacen("$2b$", prefix, 1)));
            assert_eq!(verdict(&passwords, "correct horse", hash).await, Verdict::RightButOutdated, "{prefix}");
        }
    }

    #[tokio::test]
    async fn nobody_has_a_password_and_a_broken_hash_has_none() {
        let passwords = Passwords::start(1, 4).expect("threads");
        assert_eq!(verdict(&passwords, "x", None).await, Verdict::Wrong);
        for broken in ["", "plain", "$argon2id$", "$2b$10$short"] {
            assert_eq!(verdict(&passwords, broken, Some(secret(broken))).await, Verdict::Wrong, "{broken}");
        }
    }

    #[test]
    fn nobodys_hash_is_one_that_takes_the_full_time_to_check() {
        let hash = PasswordHash::new(NOBODY).expect("a PHC string");
        assert_eq!(hash.params.get_decimal("m"), Some(MEMORY_KIB));
        assert_eq!(hash.hash.expect("a hash").len(), 32);
    }

    #[tokio::test]
    async fn the_wait_for_a_thread_is_told_apart_from_the_check() {
        let passwords = Passwords::start(1, 2).expect("threads");
        let (release, released) = std::sync::mpsc::channel::<()>();
        passwords
            .tasks
            .try_send(Box::new(move |_| {
                let _ = released.recv();
            }))
            .expect("room");
        let held = Duration::from_millis(50);
        let later = async {
            tokio::time::sleep(held).await;
            drop(release);
        };
        let began = Instant::now();
        let (checked, ()) = tokio::join!(biased; passwords.check(secret("x"), None), later);
        let waited = checked.expect("checked").waited;
        assert!(held <= waited && waited < began.elapsed(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_panic_is_one_callers_error_and_the_thread_goes_on() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let result = passwords.run::<()>(|_| panic!("what a test is about")).await;
        assert!(matches!(result, Err(Error::Stopped)));
        assert_eq!(verdict(&passwords, "x", None).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let passwords = Passwords::start(1, 1).expect("threads");
        let (started, busy) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let occupy: Task = Box::new(move |_| {
            started.send(()).expect("the test waits for it");
            let _ = released.recv();
        });
        passwords.tasks.try_send(occupy).expect("room");
        busy.recv().expect("the thread has begun");
        passwords.tasks.try_send(Box::new(|_| ())).expect("room for one that waits");
        assert!(matches!(passwords.hash(secret("one too many")).await, Err(Error::Busy)));
        drop(release);
    }
}
