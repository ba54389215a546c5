//! Jobs and their assets as the system writes them, of many users over sixty days. The same number gives the same job.

use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use uuid::Uuid;

/// How far back they go.
const AGES: Duration = Duration::from_secs(60 * 24 * 3600);
const DAY: i64 = 24 * 3_600_000;
/// How long events are.
const KEPT: i64 = 7 * DAY;
/// Of a thousand.
const DISCARDED: u64 = 40;
const CANCELLED: u64 = 30;
/// Workers that there were.
const WORKERS: u64 = 24;
/// Of the jobs that have an owner, the share of the first one, of a thousand, and of the second.
const OF_FIRST: u64 = 200;
const OF_SECOND: u64 = 10;
/// Groups of errors.
const GROUPS: u64 = 3_000;
/// What a media host says.
const ERRORS: [(&str, &str, i32); 8] = [
    ("the media host answered 503", "media-host-busy", 503),
    ("the media host answered 500: Internal error, request", "media-host-failed", 500),
    ("the media host answered 420: Rate Limit Exceeded, limit of 500 api operations", "media-host-rate-limited", 420),
    ("no connection to the media host: connection refused (os error 111)", "media-host-unreachable", 0),
    ("no answer of the media host within 30 s, request", "media-host-unreachable", 0),
    ("the file cannot be read: Input/output error (os error 5)", "file-unreadable", 0),
    ("the database is away: no primary within 5 s", "database", 0),
    ("the attempt took longer than 20 minutes", "attempt-too-long", 0),
];
const REFUSALS: [&str; 4] = [
    "the media host refuses the upload: 400 Invalid image file, asset",
    "the media host refuses the upload: 400 Unsupported video format or file, asset",
    "the media host refuses the upload: 400 File size too large, got",
    "the media host refuses the upload: 400 Image dimensions exceed the limit of 25 megapixels, asset",
];

/// What all of them have in common.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Milliseconds since 1970.
    pub now: i64,
    pub jobs: u64,
    /// Of the first that many are not finished.
    pub unfinished: u64,
    pub spool: String,
    /// Of the first of the owners.
    pub name: String,
    /// The first has a fifth of all jobs, the second a hundredth, the others few each.
    pub owners: Vec<ObjectId>,
}

/// A job, and its asset if it has one.
#[derive(Debug, Default)]
pub struct Made {
    pub job: Document,
    pub asset: Option<Document>,
    /// What it has announced, if that is kept still.
    pub event: Option<Document>,
}

/// What is known of one by its number alone.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    random: u64,
    pub created: i64,
    pub asset: ObjectId,
}

impl Scene {
    pub fn facts(&self, number: u64) -> Facts {
        let random = mix(number);
        let created = if number < self.unfinished {
            // Of the last hour.
            self.now - (random % 3_600_000).cast_signed()
        } else {
            self.now - (random % AGES.as_millis() as u64).cast_signed()
        };
        let mut asset = [0; 12];
        asset[..4].copy_from_slice(&u32::try_from(created / 1000).unwrap_or_default().to_be_bytes());
        asset[4..].copy_from_slice(&number.to_be_bytes());
        Facts { random, created, asset: ObjectId::from_bytes(asset) }
    }

    /// The id of a job.
    pub fn id(&self, number: u64) -> String {
        uuid(self.facts(number).created, number).to_string()
    }

    fn owner(&self, random: u64) -> ObjectId {
        let (others, place) = (self.owners.len() as u64 - 2, mix(random));
        let index = match place % 1000 {
            share if share < OF_FIRST => 0,
            share if share < OF_FIRST + OF_SECOND => 1,
            _ => 2 + mix(place) % others,
        };
        self.owners[usize::try_from(index).unwrap_or_default()]
    }

    pub fn make(&self, number: u64) -> Made {
        let facts = self.facts(number);
        let mut made = match facts.random / 7 % 100 {
            0..80 => self.upload(number, facts),
            80..88 => Made { job: self.deletion(facts), ..Made::default() },
            88..95 => Made { job: recount(facts), ..Made::default() },
            _ => Made { job: delivery(facts), ..Made::default() },
        };
        let id = uuid(facts.created, number).to_string();
        made.job.insert("_id", &id);
        if number < self.unfinished {
            begin(&mut made, number, facts, self.now);
        } else {
            end(&mut made, facts, self.now);
        }
        if let Some(asset) = &mut made.asset {
            asset.insert("job", id);
        }
        made
    }

    fn upload(&self, number: u64, facts: Facts) -> Made {
        let owner = self.owner(facts.random);
        let Facts { asset, random, created } = facts;
        let file = Uuid::from_u128((u128::from(mix(random)) << 64) | u128::from(number)).to_string();
        let public_id = format!("steep/media/{asset}");
        let bytes = (10_000 + random % 4_000_000).cast_signed();
        let crc32 = (mix(random) & 0xffff_ffff).cast_signed();
        let name = format!("IMG_{number}.jpg");
        let job = doc! {
            "kind": "media.upload.v1",
            "data": { "asset": asset.to_string(), "spool": &self.spool },
            "queue": format!("media.upload.{}", self.spool),
            "owner": owner,
            "asset": asset,
            "source": {
                "role": "media",
                "spool": { "id": &self.spool, "file": &file },
                "contentType": "image/jpeg", "resourceType": "image", "bytes": bytes, "crc32": crc32,
                "originalName": &name, "publicId": &public_id,
            },
        };
        let asset = doc! {
            "_id": asset, "owner": owner, "role": "media", "seq": 0_i64, "state": "pending",
            "spool": { "id": &self.spool, "file": &file },
            "contentType": "image/jpeg", "resourceType": "image", "bytes": bytes, "crc32": crc32, "md5": "",
            "originalName": name, "publicId": public_id,
            "createdAt": at(created), "updatedAt": at(created),
        };
        Made { job, asset: Some(asset), ..Made::default() }
    }

    fn deletion(&self, facts: Facts) -> Document {
        doc! {
            "kind": "media.delete.v1", "data": { "asset": facts.asset.to_string() }, "queue": "media.delete",
            "owner": self.owner(facts.random), "asset": facts.asset,
        }
    }
}

fn recount(facts: Facts) -> Document {
    let of = ObjectId::from_bytes(std::array::from_fn(|at| mix(facts.random).to_be_bytes()[at % 8]));
    let counter = format!("subscribers:{of}");
    let unique = format!("counter.recount.v1:{counter}");
    doc! {
        "kind": "counter.recount.v1", "data": { "counter": counter }, "queue": "counter.recount", "uniqueKey": unique,
    }
}

fn delivery(facts: Facts) -> Document {
    let event = uuid(facts.created, facts.random).to_string();
    let endpoint = format!("65a1b2c3d4e5f60718293b{:02x}", facts.random % 16);
    let unique = format!("webhook.deliver.v1:{endpoint}:{event}");
    doc! {
        "kind": "webhook.deliver.v1", "data": { "endpoint": endpoint, "event": event }, "queue": "webhook.deliver",
        "uniqueKey": unique,
    }
}

/// Unfinished jobs stay as they are: whatever looks at them finds that it is too early.
fn begin(made: &mut Made, number: u64, facts: Facts, now: i64) {
    let state = ["retryable", "retryable", "queued", "pending", "running"][usize::try_from(number % 5).unwrap_or(0)];
    let later = at(now + DAY + (facts.random % 10_000).cast_signed());
    let failures: i64 = if state == "retryable" { 1 + (facts.random % 5).cast_signed() } else { 0 };
    let mut attempts: Vec<Document> =
        (0..failures).map(|failure| failed(facts, failure + 1, facts.created + failure * 1000)).collect();
    let job = &mut made.job;
    if state == "running" {
        let worker = worker(facts.random);
        attempts.push(doc! { "number": 1_i64, "worker": &worker, "startedAt": at(facts.created + 5) });
        job.extend(doc! { "worker": worker, "leaseUntil": later });
    }
    job.extend(doc! {
        "state": state,
        "attempt": failures + i64::from(state == "running"), "failures": failures, "crashes": 0_i64, "maxAttempts": 150_i64,
        "runAt": later, "dueAt": later,
        "attempts": attempts,
        "replayable": false,
        "requestId": uuid(facts.created, facts.random).to_string(),
        "createdAt": at(facts.created), "updatedAt": at(facts.created + 10 + failures * 1000),
    });
    if failures > 0 {
        job.insert("errorGroup", group(error(facts)));
    }
}

fn end(made: &mut Made, facts: Facts, now: i64) {
    let Facts { random, created, .. } = facts;
    let (state, age) = (state(random), now - created);
    // Most are done at once, some have to be tried again for a while.
    let tries = if random / 11 % 100 < 12 { 1 + (random / 13 % 6).cast_signed() } else { 0 };
    let took = 5 + (random / 17 % 400).cast_signed() + tries * 1500;
    let finished = (created + took).min(now);
    let mut attempts: Vec<Document> = (0..tries).map(|one| failed(facts, one + 1, created + one * 1500)).collect();
    let job = &mut made.job;
    let number = tries + 1;
    let mut last = doc! {
        "number": number, "worker": worker(random / 19), "startedAt": at(created + took / 2), "endedAt": at(finished),
        "outcome": state,
    };
    let mut expires = now + DAY + (7 * DAY - age / 10).max(0);
    if state == "discarded" {
        let reason = refusal(facts);
        last.extend(doc! { "error": &reason, "code": "refused", "status": 400_i32 });
        job.extend(doc! { "reason": reason, "code": "refused" });
        // They are kept the longest.
        expires = now + 31 * DAY - age / 4;
    } else if state == "cancelled" {
        job.extend(doc! { "reason": "superseded by a newer upload", "code": "superseded" });
    }
    attempts.push(last);
    job.extend(doc! {
        "state": state,
        "attempt": number, "failures": tries, "crashes": 0_i64, "maxAttempts": 150_i64,
        "runAt": at(created + tries * 1500),
        "attempts": attempts,
        "replayable": state == "discarded",
        "traceparent": format!("00-{:032x}-{random:016x}-01", mix(random)),
        "requestId": uuid(created, random).to_string(),
        "createdAt": at(created), "updatedAt": at(finished), "finishedAt": at(finished), "expireAt": at(expires),
    });
    if state == "discarded" {
        job.insert("errorGroup", group(error_kinds() + random % REFUSALS.len() as u64));
    } else if tries > 0 {
        job.insert("errorGroup", group(error(facts)));
    }
    let Some(asset) = &mut made.asset else { return };
    if state != "cancelled" {
        let kind = if state == "completed" { "media.ready.v1" } else { "media.failed.v1" };
        let event = uuid(finished, random).to_string();
        job.insert("events", vec![event.clone()]);
        let data = doc! { "asset": facts.asset.to_string(), "job": job.get("_id").cloned() };
        let kept = doc! {
            "_id": event, "kind": kind, "data": data, "owner": job.get("owner").cloned(), "createdAt": at(finished),
            "expireAt": at(finished + KEPT),
        };
        made.event = (age < KEPT - DAY).then_some(kept);
    }
    asset.insert("updatedAt", at(finished));
    let becomes = match state {
        "completed" => "ready",
        "discarded" => "failed",
        _ => "superseded",
    };
    asset.insert("state", becomes);
    if becomes == "ready" {
        asset.remove("spool");
        let id = facts.asset;
        asset.insert(
            "stored",
            doc! {
                "url": format!("https://res.example.com/demo/image/upload/v1700000000/steep/media/{id}.jpg"),
                "version": 1_700_000_000_i64, "assetId": id.to_string(), "width": 640_i64, "height": 480_i64,
                "format": "jpg",
            },
        );
    } else if becomes == "failed" {
        asset.insert("reason", refusal(facts));
    }
}

fn state(random: u64) -> &'static str {
    match random / 3 % 1000 {
        share if share < DISCARDED => "discarded",
        share if share < DISCARDED + CANCELLED => "cancelled",
        _ => "completed",
    }
}

fn error(facts: Facts) -> u64 {
    facts.random / 23 % error_kinds()
}

const fn error_kinds() -> u64 {
    ERRORS.len() as u64
}

fn failed(facts: Facts, number: i64, begun: i64) -> Document {
    let (text, code, status) = ERRORS[usize::try_from(error(facts)).unwrap_or_default()];
    let mut attempt = doc! {
        "number": number, "worker": worker(facts.random / 29 + number.unsigned_abs()),
        "startedAt": at(begun + 5), "endedAt": at(begun + 60),
        "outcome": "retry", "error": format!("{text} {:016x}", facts.random), "code": code,
    };
    if status > 0 {
        attempt.insert("status", status);
    }
    attempt
}

fn refusal(facts: Facts) -> String {
    let text = REFUSALS[usize::try_from(facts.random % REFUSALS.len() as u64).unwrap_or_default()];
    format!("{text} {}", facts.asset)
}

fn worker(random: u64) -> String {
    let number = random % WORKERS;
    format!("node-{}-{:08x}", number % 8, mix(number) & 0xffff_ffff)
}

/// The id of a group of errors.
pub fn group(number: u64) -> String {
    format!("{:016x}", mix(number))
}

/// Groups of errors: those that jobs name, and many that were.
pub fn groups(scene: &Scene) -> impl Iterator<Item = Document> {
    (0..GROUPS).map(|number| {
        let random = mix(number);
        let (text, code, _) = ERRORS[usize::try_from(random % error_kinds()).unwrap_or_default()];
        let (first, last) = (scene.now - 60 * DAY, scene.now - (random % 1_000_000_000).cast_signed());
        let kind = ["media.upload.v1", "media.delete.v1", "webhook.deliver.v1"];
        doc! {
            "_id": group(number), "kind": kind[usize::try_from(random % 3).unwrap_or_default()], "code": code,
            "message": format!("{text} <n>"), "count": (random % 100_000).cast_signed(),
            "firstSeen": at(first), "lastSeen": at(last),
            "example": { "job": scene.id(number % scene.jobs), "error": text, "worker": worker(random) },
            "expireAt": at(last + 30 * DAY),
        }
    })
}

/// A worker that has made attempts.
pub fn some_worker() -> String {
    worker(3)
}

fn at(milliseconds: i64) -> DateTime {
    DateTime::from_millis(milliseconds)
}

/// Version 7, of this moment.
fn uuid(milliseconds: i64, number: u64) -> Uuid {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&mix(number).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(milliseconds.unsigned_abs(), &random).into_uuid()
}

/// Splitmix64: a number that looks like chance, and another one for each.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_job_is_one_that_the_store_reads_and_no_two_are_alike() {
        let owners = (0..100_u8).map(|number| ObjectId::from_bytes([number; 12])).collect();
        let (spool, name) = ("here".to_owned(), "user0".to_owned());
        let scene = Scene { now: 1_764_000_000_000, jobs: 5_000, unfinished: 500, spool, name, owners };
        let (mut ids, mut states) = (HashSet::new(), HashSet::new());
        for number in 0..scene.jobs {
            let Made { job, asset, .. } = scene.make(number);
            let read: store::JobRecord = mongodb::bson::deserialize_from_document(job).expect("a job");
            assert_eq!(read.id.to_string(), scene.id(number));
            assert_eq!(read.state.is_finished(), read.finished_at.is_some(), "{read:?}");
            assert_eq!(read.state.is_finished(), number >= scene.unfinished);
            assert!(read.job().is_ok(), "{read:?}");
            states.insert(read.state);
            assert!(ids.insert(read.id));
            if let Some(asset) = asset {
                let asset: store::Asset = mongodb::bson::deserialize_from_document(asset).expect("an asset");
                assert_eq!((asset.job, Some(asset.id)), (read.id, read.asset));
            }
        }
        assert_eq!(states.len(), 7, "{states:?}");
    }
}
