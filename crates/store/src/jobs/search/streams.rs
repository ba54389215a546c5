//! By which index a search goes.
//!
//! Ended jobs have indexes by everything that is asked for often, written once a job. Unfinished ones change all the time, and have
//! none but those by which the system works: if they are few, all of them are looked at, and otherwise jobs of any state from the newest
//! on, among which there are many then.

use std::collections::BTreeSet;

use bson::{Bson, DateTime, Document, doc};
use messages::Job;
use mongodb::IndexModel;

use super::Search;
use crate::codec::object_id;
use crate::indexes::{plain, where_present};
use crate::jobs::JobState;

/// Jobs that an index leads to.
#[derive(Debug)]
pub(super) struct Stream {
    /// What the index knows, but for the time.
    pub lead: Document,
    pub index: Document,
    /// Whether the index has them newest first. If it has not, they are few.
    pub is_sorted: bool,
    /// Whether they can be counted by the index alone.
    pub is_covered: bool,
    /// What is asked of each document.
    pub residual: Document,
}

/// Unfinished jobs.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// All of them, to be read if they are few.
    pub few: Stream,
    /// Jobs of any state, to be read otherwise.
    pub many: Stream,
}

/// What is to be read. Nothing: no job fits.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub unfinished: Option<Unfinished>,
    pub stream: Option<Stream>,
}

pub(super) fn indexes() -> Vec<IndexModel> {
    vec![
        plain(by_time()),
        where_present(by_state(), "finishedAt"),
        where_present(by_worker(), "finishedAt"),
        where_present(by_error_group(), "errorGroup"),
    ]
}

fn by_time() -> Document {
    doc! { "createdAt": -1, "_id": -1 }
}

/// The last field is what the index is limited to: so the server need not read a document to see that it has it.
fn by_state() -> Document {
    doc! { "state": 1, "kind": 1, "createdAt": -1, "_id": -1, "finishedAt": 1 }
}

/// Every worker that has made an attempt.
fn by_worker() -> Document {
    doc! { "attempts.worker": 1, "createdAt": -1, "_id": -1 }
}

fn by_error_group() -> Document {
    doc! { "errorGroup": 1, "createdAt": -1, "_id": -1 }
}

// Of the system's own.

fn by_asset() -> Document {
    doc! { "asset": 1 }
}

fn by_owner() -> Document {
    doc! { "owner": 1, "createdAt": -1, "_id": -1 }
}

fn by_owner_and_state() -> Document {
    doc! { "owner": 1, "state": 1, "kind": 1, "createdAt": -1, "_id": -1 }
}

fn unfinished_by_owner() -> Document {
    doc! { "owner": 1, "kind": 1 }
}

fn unfinished_by_state() -> Document {
    doc! { "state": 1, "dueAt": 1, "queue": 1, "runAt": 1, "leaseUntil": 1 }
}

impl Stream {
    fn new(lead: Document, index: Document, residual: Document) -> Self {
        Self { lead, index, is_sorted: true, is_covered: true, residual }
    }

    const fn unsorted(mut self) -> Self {
        self.is_sorted = false;
        self
    }

    const fn uncovered(mut self) -> Self {
        self.is_covered = false;
        self
    }
}

/// A search, as far as states, kinds and queues go.
struct Wanted<'a> {
    search: &'a Search,
    /// Empty: all.
    kinds: BTreeSet<&'a str>,
    /// If the kinds do not say it already.
    queue: Option<Bson>,
    /// As those that are asked for; all states if none are.
    ended: Vec<&'static str>,
    unfinished: Vec<&'static str>,
}

pub(super) fn plan(search: &Search) -> Plan {
    let Some(wanted) = Wanted::of(search) else { return Plan::default() };
    let only = |stream: Stream| Plan { unfinished: None, stream: Some(stream) };
    if let Some(asset) = search.asset {
        let mut residual = wanted.residual(&["owner", "errorGroup", "worker"]);
        wanted.state_in(&mut residual);
        let lead = doc! { "asset": object_id(asset.bytes()) };
        return only(Stream::new(lead, by_asset(), residual).unsorted());
    }
    if let Some(group) = &search.error_group {
        let mut residual = wanted.residual(&["owner", "worker"]);
        wanted.state_in(&mut residual);
        return only(Stream::new(doc! { "errorGroup": group.to_string() }, by_error_group(), residual));
    }
    if let Some(owner) = search.owner {
        return wanted.of_owner(doc! { "owner": object_id(owner.bytes()) });
    }
    if let Some(worker) = &search.worker {
        let lead = doc! { "attempts.worker": worker, "finishedAt": { "$exists": true } };
        let mut residual = wanted.residual(&[]);
        if !search.states.is_empty() {
            residual.insert("state", doc! { "$in": &wanted.ended });
        }
        // Each document has several workers, which an index cannot tell.
        let ended = Stream::new(lead, by_worker(), residual).uncovered();
        return wanted.both(doc! {}, by_time(), ended);
    }
    if search.states.is_empty() && wanted.kinds.is_empty() {
        return only(Stream::new(doc! {}, by_time(), wanted.residual(&[])));
    }
    let lead = wanted.ended_of(doc! { "finishedAt": { "$gt": DateTime::MIN } });
    let mut residual = wanted.residual(&[]);
    residual.remove("kind");
    wanted.both(doc! {}, by_time(), Stream::new(lead, by_state(), residual))
}

impl<'a> Wanted<'a> {
    /// None: nothing fits.
    fn of(search: &'a Search) -> Option<Self> {
        let mut kinds: BTreeSet<&str> = search.kinds.iter().map(String::as_str).collect();
        let mut queue = None;
        if let Some(name) = &search.queue {
            queue = Some(Bson::from(name));
            // A kind has a queue, or one for each spool. The name of all of them is none itself.
            let of_all = Job::QUEUES.iter().find(|(_, queue)| queue.name == name);
            if of_all.is_some() {
                queue = None;
            }
            if let Some(kind) = of_all.map(|(kind, _)| *kind).or_else(|| Job::kind_in(name)) {
                if !kinds.is_empty() && !kinds.contains(kind) {
                    return None;
                }
                kinds = BTreeSet::from([kind]);
            }
        }
        let of_these = |state: &JobState| search.states.is_empty() || search.states.contains(state);
        let (ended, unfinished): (Vec<_>, Vec<_>) =
            JobState::ALL.into_iter().filter(of_these).partition(|state| state.is_finished());
        let names = |states: Vec<JobState>| states.into_iter().map(JobState::as_str).collect();
        Some(Self { search, kinds, queue, ended: names(ended), unfinished: names(unfinished) })
    }

    /// What is asked of each document, but for its state and time: kind and queue, and these.
    fn residual(&self, names: &[&str]) -> Document {
        let mut residual = Document::new();
        if !self.kinds.is_empty() {
            residual.insert("kind", doc! { "$in": self.kinds.iter().copied().collect::<Vec<_>>() });
        }
        residual.extend(self.queue.clone().map(|queue| ("queue".to_owned(), queue)));
        for name in names {
            let Search { owner, error_group, worker, .. } = self.search;
            let asked = match *name {
                "owner" => owner.map(|owner| ("owner", Bson::from(object_id(owner.bytes())))),
                "errorGroup" => error_group.as_ref().map(|group| ("errorGroup", group.to_string().into())),
                _ => worker.as_ref().map(|worker| ("attempts.worker", worker.into())),
            };
            residual.extend(asked.map(|(field, value)| (field.to_owned(), value)));
        }
        residual
    }

    fn state_in(&self, residual: &mut Document) {
        if !self.search.states.is_empty() {
            let states: Vec<&str> = self.unfinished.iter().chain(&self.ended).copied().collect();
            residual.insert("state", doc! { "$in": states });
        }
    }

    /// For an index that has state and kind before the time: with all values of both the server merges as many sorted streams (at most
    /// 200), each of which it opens at its place, and sorts nothing.
    fn ended_of(&self, mut lead: Document) -> Document {
        lead.insert("state", doc! { "$in": &self.ended });
        let kinds: Vec<&str> = match self.kinds.is_empty() {
            true => Job::KINDS.to_vec(),
            false => self.kinds.iter().copied().collect(),
        };
        lead.insert("kind", doc! { "$in": kinds });
        lead
    }

    fn of_owner(&self, owner: Document) -> Plan {
        let mut residual = self.residual(&["worker"]);
        if self.search.states.is_empty() && self.kinds.is_empty() {
            return Plan { unfinished: None, stream: Some(Stream::new(owner, by_owner(), residual)) };
        }
        let mut lead = owner.clone();
        lead.insert("finishedAt", doc! { "$exists": true });
        let lead = self.ended_of(lead);
        residual.remove("kind");
        self.both(owner, by_owner(), Stream::new(lead, by_owner_and_state(), residual).uncovered())
    }

    /// What of both is wanted: ended jobs by a stream, and unfinished ones, which are read by another one if they are many.
    fn both(&self, all: Document, by_time: Document, ended: Stream) -> Plan {
        let mut residual = self.residual(&["worker"]);
        let states = doc! { "$in": &self.unfinished };
        let few = if all.is_empty() {
            let lead = doc! { "state": states.clone(), "dueAt": { "$gt": DateTime::MIN } };
            Stream::new(lead, unfinished_by_state(), residual.clone()).unsorted()
        } else {
            let mut lead = all.clone();
            lead.insert("dueAt", doc! { "$exists": true });
            let mut residual = residual.clone();
            residual.insert("state", states.clone());
            Stream::new(lead, unfinished_by_owner(), residual).unsorted().uncovered()
        };
        residual.insert("state", states);
        let many = Stream::new(all, by_time, residual);
        let unfinished = (!self.unfinished.is_empty()).then_some(Unfinished { few, many });
        Plan { unfinished, stream: (!self.ended.is_empty()).then_some(ended) }
    }
}
