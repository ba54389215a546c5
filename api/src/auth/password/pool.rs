//! Hashes and checks passwords on threads of their own.
//!
//! A hash costs tens of milliseconds of one core and 19 MiB of memory, on purpose. Here it delays neither file I/O nor
//! other requests, and a burst of sign-ins is refused before it becomes an unbounded wait.
//!
//! The number of threads bounds their share of the cores from above. From below it is the share of any other thread: at a lower
//! priority whatever else keeps the machine busy would keep people from signing in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::{Params, PasswordHasher};
use secrecy::{ExposeSecret, SecretString};
use store::PasswordHash;
use tokio::runtime;
use tokio_util::task::AbortOnDropHandle;

use super::argon::Hasher;
use super::line::{Asker, Line};
use super::stored::{self, OURS};
use crate::http::problem::{Problem, ProblemKind};

/// What the library recommends, and OWASP's Password Storage Cheat Sheet first: Argon2id with 19 MiB, two passes, one
/// lane.
const HASHER: Hasher = Hasher(Params::DEFAULT);

/// How long an idle thread lives: a year, which is for good. Without any, work panics if the system refuses a thread.
const KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The hash that an unknown user's password is checked against, so that the answer takes as long as for a known one. No
/// password has it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3RlZXAtbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

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

/// Threads that do nothing but hash. 503 when too many passwords wait for them.
#[derive(Debug)]
pub(crate) struct Passwords {
    threads: runtime::Handle,
    line: Arc<Line>,
}

impl Passwords {
    /// At most `threads` threads, with room for `waiting` requests more than they work on.
    pub(crate) fn start(threads: usize, waiting: usize) -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_keep_alive(KEPT)
            .thread_name("password")
            .build()?;
        let threads_of_it = runtime.handle().clone();
        // With one thread alive, work waits for it when the system refuses another.
        runtime.spawn_blocking(|| ());
        // Dropping it would wait for its threads, which last as long as the process.
        std::mem::forget(runtime);
        Ok(Self { threads: threads_of_it, line: Line::new(threads, waiting) })
    }

    pub(crate) async fn hash(&self, asker: &Asker, password: SecretString) -> Result<PasswordHash, Problem> {
        let hash = self.run(asker, move || HASHER.hash_password(password.expose_secret().as_bytes())).await?;
        // For want of memory or random numbers.
        let hash = hash.map_err(|error| Problem::internal(format!("cannot hash a password: {error}")))?;
        Ok(hash.to_string().into())
    }

    /// Checks a password against a stored hash, or against nobody's, which takes as long as one of ours and is always
    /// wrong. A hash that cannot be read or costs too much is a wrong password, not an error.
    pub(crate) async fn check(
        &self,
        asker: &Asker,
        password: SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<Checked, Problem> {
        let asked = Instant::now();
        self.run(asker, move || {
            let waited = asked.elapsed();
            // An adopted user without a password has an empty hash.
            let known = hash.as_ref().map(PasswordHash::expose).filter(|hash| !hash.is_empty());
            let known = known.filter(|hash| is_affordable(hash));
            Checked { verdict: verdict(password.expose_secret(), known.unwrap_or(NOBODY)), waited }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        asker: &Asker,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(thread) = self.line.thread(asker).await else {
            let detail = "too many people sign in at the moment; try again in a moment";
            let problem = Problem::new(ProblemKind::Unavailable, detail).retry_after(2);
            return Err(problem.because("too many passwords wait, of others or of the same address"));
        };
        let task = self.threads.spawn_blocking(move || {
            let _thread = thread;
            work()
        });
        // Nothing is begun for a client that has gone.
        AbortOnDropHandle::new(task).await.map_err(Problem::internal)
    }
}

fn is_affordable(hash: &str) -> bool {
    let affordable = stored::is_affordable(hash);
    if !affordable {
        tracing::warn!("a stored password hash costs too much to check: its user cannot sign in until it is replaced");
    }
    affordable
}

fn verdict(password: &str, hash: &str) -> Verdict {
    match stored::verify(&HASHER, password, hash) {
        true if hash.starts_with(OURS) => Verdict::Right,
        true => Verdict::RightButOutdated,
        false => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn somebody() -> Asker {
        Asker { party: "192.0.2.1".to_owned(), is_known: true }
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    async fn verdict(passwords: &Passwords, password: &str, hash: Option<PasswordHash>) -> Verdict {
        passwords.check(&somebody(), secret(password), hash).await.expect("checked").verdict
    }

    #[tokio::test]
    async fn a_password_is_right_against_its_own_hash_only() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let hash = passwords.hash(&somebody(), secret("correct horse")).await.expect("a hash");
        assert!(hash.expose().starts_with(OURS));
        assert_eq!(verdict(&passwords, "correct horse", Some(hash.clone())).await, Verdict::Right);
        assert_eq!(verdict(&passwords, "correct house", Some(hash)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_chai_backend_is_right_and_outdated() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let hash = bcrypt::hash("correct horse", 4).expect("a hash");
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = Some(hash.replacen("$2b$", prefix, 1).into());
            assert_eq!(verdict(&passwords, "correct horse", hash).await, Verdict::RightButOutdated, "{prefix}");
        }
        let unknown = Some(hash.replacen("$2b$", "$2x$", 1).into());
        assert_eq!(verdict(&passwords, "correct horse", unknown).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_a_password_and_a_broken_hash_has_none() {
        let passwords = Passwords::start(1, 4).expect("threads");
        assert_eq!(verdict(&passwords, "x", None).await, Verdict::Wrong);
        for broken in ["", "plain", "$argon2id$", "$2b$10$short"] {
            assert_eq!(verdict(&passwords, broken, Some(broken.to_owned().into())).await, Verdict::Wrong, "{broken}");
        }
    }

    #[tokio::test]
    async fn a_hash_that_costs_too_much_is_a_wrong_password_at_the_usual_price() {
        let (passwords, asker) = (Passwords::start(1, 4).expect("threads"), somebody());
        // A little above the bound, and right.
        let costly = Hasher(Params::new(66_000, 1, 1, None).expect("parameters"));
        let hash = costly.hash_password(b"correct horse").expect("a hash").to_string();
        assert_eq!(verdict(&passwords, "correct horse", Some(hash.into())).await, Verdict::Wrong);
        // Far above it: hours, and 4 GiB.
        for hash in [
            "$2b$31$ABCDEFGHIJKLMNOPQRSTUuABCDEFGHIJKLMNOPQRSTUVWXYZabcde",
            "$argon2id$v=19$m=8,t=4294967295,p=1$c3RlZXAtbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=4194304,t=3,p=1$c3RlZXAtbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            let checking = passwords.check(&asker, secret("x"), Some(hash.to_owned().into()));
            let checked = tokio::time::timeout(Duration::from_secs(60), checking).await.expect(hash);
            assert_eq!(checked.expect("checked").verdict, Verdict::Wrong, "{hash}");
        }
    }

    #[test]
    fn nobodys_hash_is_one_that_takes_the_full_time_to_check() {
        let hash = argon2::PasswordHash::new(NOBODY).expect("a PHC string");
        assert_eq!(hash.params.get_decimal("m"), Some(19_456));
        assert_eq!(hash.hash.expect("a hash").len(), 32);
    }

    /// The quickest of some: what else the machine does may hold up the others.
    async fn time_of_a_check(passwords: &Passwords) -> Duration {
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(verdict(passwords, "x", None).await, Verdict::Wrong);
            quickest = quickest.min(began.elapsed());
        }
        quickest
    }

    /// Keeps every core busy twice over while something is done.
    async fn on_a_busy_machine<T>(work: impl Future<Output = T>) -> T {
        struct Done(Arc<AtomicBool>);
        impl Drop for Done {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let done = Done(Arc::default());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..2 * cores {
            let done = Arc::clone(&done.0);
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        work.await
    }

    #[tokio::test]
    async fn a_busy_machine_slows_a_check_down_and_does_not_starve_it() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let mut seen = Vec::new();
        // More than once: the machine may have become busy between the two.
        for _ in 0..3 {
            let alone = time_of_a_check(&passwords).await;
            let beside = on_a_busy_machine(time_of_a_check(&passwords)).await;
            if beside <= 4 * alone {
                return;
            }
            seen.push((alone, beside));
        }
        panic!("alone, and beside others: {seen:?}");
    }

    #[tokio::test]
    async fn the_wait_for_a_thread_is_told_apart_from_the_check() {
        let passwords = Passwords::start(1, 2).expect("threads");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let asker = somebody();
        let busy = passwords.run(&asker, move || released.recv());
        let held = Duration::from_millis(50);
        let later = async {
            tokio::time::sleep(held).await;
            drop(release);
        };
        let began = Instant::now();
        let (_, checked, ()) = tokio::join!(biased; busy, passwords.check(&asker, secret("x"), None), later);
        let waited = checked.expect("checked").waited;
        assert!(held <= waited && waited < began.elapsed(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_panic_is_one_callers_error_and_the_thread_goes_on() {
        let passwords = Passwords::start(1, 4).expect("threads");
        let result = passwords.run::<()>(&somebody(), || panic!("what a test is about")).await;
        assert_eq!(result.expect_err("a panic").kind(), ProblemKind::Internal);
        assert_eq!(verdict(&passwords, "x", None).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let passwords = Passwords::start(1, 1).expect("threads");
        let (started, busy) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let asker = somebody();
        let occupied = passwords.run(&asker, move || {
            started.send(()).expect("the test waits for it");
            let _ = released.recv();
        });
        let waiting = passwords.run(&asker, || ());
        let one_too_many = async {
            tokio::task::spawn_blocking(move || busy.recv()).await.expect("joined").expect("the thread has begun");
            let refused = passwords.hash(&asker, secret("one too many")).await;
            assert_eq!(refused.expect_err("no room").kind(), ProblemKind::Unavailable);
            drop(release);
        };
        let (occupied, waiting, ()) = tokio::join!(biased; occupied, waiting, one_too_many);
        assert!(occupied.is_ok() && waiting.is_ok());
    }
}
