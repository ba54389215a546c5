//! Judging an address: its spelling, and where its host leads.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::{Host, Url};

use crate::{Refusal, is_public};

/// Characters of the longest address.
pub const MAX_URL: usize = 2048;
/// How long a name server may take.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How long a look-up may wait for others to end. It is no part of the other time: nobody is to blame whose name was not asked for.
const TURN: Duration = Duration::from_secs(1);

/// How far requests may reach. Programs flatten it into their arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Reach {
    /// Whether webhooks may go to http addresses and to private networks, as in development
    #[arg(
        long = "webhook-allow-private",
        env = "WEBHOOK_ALLOW_PRIVATE",
        action = ArgAction::Set,
        default_value_t = false
    )]
    pub allow_private: bool,
}

/// The right to look one host up. Whoever does holds it until that has ended, also if nobody waits for it any more.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit);

/// Finds the addresses of a host.
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a host that name servers know.
    fn look_up(&self, host: &str, turn: Turn) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own name service. It blocks a thread, and nobody can stop it: slow name servers get so many threads and no more.
#[derive(Debug)]
struct System;

impl Lookup for System {
    fn look_up(&self, host: &str, turn: Turn) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        async move {
            let finding = tokio::task::spawn_blocking(move || {
                let _until_it_ends = turn;
                let found = (host.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            finding.await.map_err(io::Error::other)?
        }
        .boxed()
    }
}

/// Judges addresses, and looks up the hosts in them. Clones share what they look up with.
#[derive(Debug, Clone)]
pub struct Resolver {
    reach: Reach,
    lookup: Arc<dyn Lookup>,
    turns: Arc<Semaphore>,
}

impl Resolver {
    /// Asks the machine's own name service, for so many hosts at once.
    pub fn system(reach: Reach, at_once: usize) -> Self {
        Self::new(reach, Arc::new(System), at_once)
    }

    /// Asks another one, for so many hosts at once.
    pub fn new(reach: Reach, lookup: Arc<dyn Lookup>, at_once: usize) -> Self {
        Self { reach, lookup, turns: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Whether plain http and private networks are allowed.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Judges an address that a user gives: its spelling, and where its host leads now. Answers with how it is stored.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. [`Refusal::Unknown`] may pass by itself, and [`Refusal::Busy`] does.
    pub async fn admit(&self, text: &str) -> Result<Url, Refusal> {
        let url = self.judge(text)?;
        if let Some(Host::Domain(host)) = url.host() {
            self.addresses(host).await?;
        }
        Ok(url)
    }

    /// Judges the spelling of an address, and its host if that is no name.
    ///
    /// # Errors
    ///
    /// [`Refusal`], which never passes by itself.
    pub fn judge(&self, text: &str) -> Result<Url, Refusal> {
        if text.chars().count() > MAX_URL {
            return Err(Refusal::TooLong);
        }
        let url = Url::parse(text.trim()).map_err(|_| Refusal::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if self.reach.allow_private => {}
            _ => return Err(Refusal::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        // Parsing may have made it longer.
        if url.as_str().len() > MAX_URL {
            return Err(Refusal::TooLong);
        }
        match url.host() {
            None => return Err(Refusal::Malformed),
            // The parser knows every spelling of an address: 127.1, 0x7f000001, 2130706433.
            Some(Host::Ipv4(address)) => self.judge_address(address.into())?,
            Some(Host::Ipv6(address)) => self.judge_address(address.into())?,
            Some(Host::Domain(_)) => {}
        }
        Ok(url)
    }

    /// The addresses of a host, every one of them judged: if one is refused, all are.
    ///
    /// # Errors
    ///
    /// [`Refusal::Private`], [`Refusal::Unknown`] or, if so many names are looked up that none of them ends in time, [`Refusal::Busy`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::Busy) };
        let found = tokio::time::timeout(LOOK_UP, self.lookup.look_up(host, Turn(turn))).await;
        let Ok(Ok(addresses)) = found else { return Err(Refusal::Unknown) };
        if addresses.is_empty() {
            return Err(Refusal::Unknown);
        }
        addresses.iter().try_for_each(|address| self.judge_address(*address))?;
        Ok(addresses)
    }

    fn judge_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.reach.allow_private || is_public(address) { Ok(()) } else { Err(Refusal::Private) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A name server that answers one thing after the other, and the last one for ever.
    #[derive(Debug)]
    pub(crate) struct Scripted(pub Mutex<Vec<Vec<&'static str>>>);

    impl Scripted {
        pub(crate) fn new(answers: &[&[&'static str]]) -> Arc<Self> {
            Arc::new(Self(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())))
        }
    }

    impl Lookup for Scripted {
        fn look_up(&self, _: &str, _: Turn) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let mut answers = self.0.lock().expect("not poisoned");
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            let answer = answer.into_iter().map(|address| address.parse().expect("an address")).collect();
            std::future::ready(Ok(answer)).boxed()
        }
    }

    const STRICT: Reach = Reach { allow_private: false };
    const LAX: Reach = Reach { allow_private: true };

    fn strict(answers: &[&[&'static str]]) -> Resolver {
        Resolver::new(STRICT, Scripted::new(answers), 1)
    }

    #[tokio::test]
    async fn an_address_on_the_internet_is_admitted() {
        let resolver = strict(&[&["93.184.216.34", "2606:4700::1"]]);
        for (given, stored) in [
            ("https://example.com/hooks?token=1", "https://example.com/hooks?token=1"),
            (" HTTPS://Example.COM:8443 ", "https://example.com:8443/"),
            ("https://1.1.1.1/", "https://1.1.1.1/"),
            ("https://[2606:4700::1]/", "https://[2606:4700::1]/"),
        ] {
            assert_eq!(resolver.admit(given).await.map(String::from).as_deref(), Ok(stored));
        }
    }

    #[tokio::test]
    async fn whatever_is_spelled_wrongly_is_refused() {
        let resolver = strict(&[&["93.184.216.34"]]);
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        // Each is three times as long once it is parsed.
        let longer = format!("https://example.com/{}", "ä".repeat(MAX_URL / 4));
        for (given, refusal) in [
            ("", Refusal::Malformed),
            ("example.com", Refusal::Malformed),
            ("https://", Refusal::Malformed),
            ("https://exa mple.com/", Refusal::Malformed),
            ("https://example.com:99999/", Refusal::Malformed),
            ("http://example.com/", Refusal::Scheme),
            ("ftp://example.com/", Refusal::Scheme),
            ("file:///etc/passwd", Refusal::Scheme),
            ("gopher://127.0.0.1:5672/", Refusal::Scheme),
            ("https://user@example.com/", Refusal::Credentials),
            ("https://user:secret@example.com/", Refusal::Credentials),
            ("https://:secret@example.com/", Refusal::Credentials),
            ("https://example.com/#part", Refusal::Fragment),
            ("https://example.com/#", Refusal::Fragment),
            (&long, Refusal::TooLong),
            (&longer, Refusal::TooLong),
        ] {
            assert_eq!(resolver.admit(given).await, Err(refusal), "{given:.60}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_refused_in_every_spelling() {
        let resolver = strict(&[&["93.184.216.34"]]);
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "１２７.0.0.1",
            "127。0。0。1",
            "%31%32%37.0.0.1",
            "0",
            "0.0.0.0",
            "10.1.2.3",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[fe80::1]",
            "[fd00::1]",
            "[2001:db8::1]",
        ] {
            assert_eq!(resolver.admit(&format!("https://{host}/")).await, Err(Refusal::Private), "{host}");
        }
    }

    #[tokio::test]
    async fn one_private_address_among_those_of_a_name_refuses_it() {
        for answer in [&["10.0.0.1"][..], &["93.184.216.34", "127.0.0.1"], &["2606:4700::1", "::ffff:10.0.0.1"]] {
            assert_eq!(strict(&[answer]).admit("https://example.com/").await, Err(Refusal::Private), "{answer:?}");
        }
        assert_eq!(strict(&[&[]]).admit("https://example.com/").await, Err(Refusal::Unknown));
    }

    #[tokio::test]
    async fn this_machines_own_names_lead_nowhere() {
        let resolver = Resolver::system(STRICT, 1);
        assert_eq!(resolver.admit("https://localhost/").await, Err(Refusal::Private));
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_the_second_time_is_refused_then() {
        let resolver = strict(&[&["93.184.216.34"], &["127.0.0.1"]]);
        assert!(resolver.admit("https://example.com/").await.is_ok());
        assert_eq!(resolver.addresses("example.com").await, Err(Refusal::Private));
    }

    #[tokio::test]
    async fn development_may_reach_everything_but_what_is_malformed() {
        let resolver = Resolver::new(LAX, Scripted::new(&[&["127.0.0.1"]]), 1);
        for given in ["http://127.0.0.1:8080/hook", "http://localhost/", "https://[::1]/"] {
            assert!(resolver.admit(given).await.is_ok(), "{given}");
        }
        assert_eq!(resolver.admit("http://user@127.0.0.1/").await, Err(Refusal::Credentials));
        assert_eq!(resolver.admit("ftp://127.0.0.1/").await, Err(Refusal::Scheme));
    }

    /// A name server that answers for one host, and keeps whoever asks for another one.
    #[derive(Debug, Default)]
    struct Hanging(Mutex<Vec<Turn>>);

    impl Lookup for Hanging {
        fn look_up(&self, host: &str, turn: Turn) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            if host == "quick.example" {
                return std::future::ready(Ok(vec![IpAddr::from([93, 184, 216, 34])])).boxed();
            }
            // As a thread does that nobody can stop.
            self.0.lock().expect("not poisoned").push(turn);
            std::future::pending().boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_does_not_answer_is_not_waited_for() {
        let resolver = Resolver::new(STRICT, Arc::<Hanging>::default(), 1);
        assert_eq!(resolver.admit("https://example.com/").await, Err(Refusal::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_hang_make_others_wait_and_not_unknown() {
        let hanging = Arc::<Hanging>::default();
        let resolver = Resolver::new(STRICT, Arc::clone(&hanging) as Arc<dyn Lookup>, 2);
        assert!(resolver.admit("https://quick.example/").await.is_ok());
        let slow = [(); 2].map(|()| resolver.admit("https://slow.example/"));
        assert_eq!(futures_util::future::join_all(slow).await, [Err(Refusal::Unknown), Err(Refusal::Unknown)]);
        // Nobody waits for them any more, and they still hold their threads.
        assert_eq!(resolver.admit("https://quick.example/").await, Err(Refusal::Busy));
        assert_eq!(
            resolver.admit("https://127.0.0.1/").await,
            Err(Refusal::Private),
            "what needs no look-up is judged"
        );
        drop(hanging.0.lock().expect("not poisoned").pop());
        assert!(resolver.admit("https://quick.example/").await.is_ok());
    }
}
