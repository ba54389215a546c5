//! What clients sent and what they were answered, kept apart from it all, in memory and in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Milliseconds since 1970: the database, the programs and we share a clock.
pub type Millis = i64;

pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// What a client wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Register,
    Login,
    Media,
    Avatar,
    /// An upload that the client breaks off in the middle; never answered.
    Abort,
    Toggle,
    Subscribe,
    Unsubscribe,
    Look,
}

#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub began: Millis,
    pub took: Millis,
    /// Which api was asked.
    pub api: usize,
    pub op: Op,
    /// Who asked: a username.
    pub user: String,
    /// HTTP status; none when no answer came.
    pub status: Option<u16>,
    /// Whether the client hung up before the answer, as impatient ones do.
    pub hung_up: bool,
    /// The kind of problem, or why no answer came.
    pub problem: String,
    pub retry_after: bool,
    /// Whether the answer was that to an earlier request with the same key.
    pub replayed: bool,
    pub key: Option<String>,
    /// Of the file.
    pub md5: Option<String>,
    pub crc32: Option<u32>,
    pub bytes: usize,
    /// Of the accepted upload.
    pub job: Option<String>,
    /// The channel that was asked about.
    pub channel: Option<String>,
    /// Whether the answer said that one is subscribed.
    pub subscribed: Option<bool>,
}

impl Entry {
    /// One that is about to be sent.
    pub fn begin(op: Op, user: &str, api: usize) -> Self {
        Self {
            began: now(),
            took: 0,
            api,
            op,
            user: user.to_owned(),
            status: None,
            hung_up: false,
            problem: String::new(),
            retry_after: false,
            replayed: false,
            key: None,
            md5: None,
            crc32: None,
            bytes: 0,
            job: None,
            channel: None,
            subscribed: None,
        }
    }

    /// Whether the answer was a success.
    pub fn accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// When the answer, or the news that there is none, came.
    pub fn ended(&self) -> Millis {
        self.began + self.took
    }
}

/// A user that was registered.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    pub username: String,
    pub id: String,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    people: Vec<Person>,
    /// By subscriber and channel; none after a change whose outcome is not known.
    subscriptions: BTreeMap<(String, String), Option<bool>>,
    file: BufWriter<File>,
}

#[derive(Debug)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

impl Ledger {
    pub fn create(file: &Path) -> anyhow::Result<Self> {
        let file = BufWriter::new(File::create(file)?);
        let (entries, people, subscriptions) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { inner: Mutex::new(Inner { entries, people, subscriptions, file }) })
    }

    pub fn write(&self, entry: Entry) -> anyhow::Result<()> {
        let mut inner = self.inner();
        let line = serde_json::to_string(&entry)?;
        writeln!(inner.file, "{line}")?;
        inner.entries.push(entry);
        Ok(())
    }

    /// A new user, whose channel others may subscribe to.
    pub fn met(&self, person: Person) {
        self.inner().people.push(person);
    }

    /// Everybody who was registered.
    pub fn people(&self) -> Vec<Person> {
        self.inner().people.clone()
    }

    /// What a subscriber was told last.
    pub fn stands(&self, subscriber: &str, channel: &str, subscribed: Option<bool>) {
        self.inner().subscriptions.insert((subscriber.to_owned(), channel.to_owned()), subscribed);
    }

    /// What every subscriber was told last, by username and channel id.
    pub fn standings(&self) -> BTreeMap<(String, String), Option<bool>> {
        self.inner().subscriptions.clone()
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut inner = self.inner();
        let _ = inner.file.flush();
        inner.entries.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
