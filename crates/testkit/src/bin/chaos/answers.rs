//! What clients were answered: promptly, with what they may be told, or not at all for a reason.

use std::collections::HashMap;

use crate::conductor::Struck;
use crate::ledger::{Entry, Millis, Op};
use crate::schedule::{Fault, Target};

/// What an answer may take: as long as a client may stay silent. A database that is away is given up long before.
pub const LIMIT: Millis = 30_000;

/// Violations.
pub fn check(entries: &[Entry], struck: &[Struck]) -> Vec<String> {
    let mut found = Vec::new();
    let mut jobs: HashMap<&str, &str> = HashMap::new();
    for entry in entries {
        found.extend(wrong_status(entry));
        if entry.status.is_none() && entry.op != Op::Abort && !was_away(entry, struck) {
            found.push(format!("{}: no answer, and the api was there: {}", told(entry), entry.problem));
        }
        let allowed = LIMIT + frozen(entry, struck);
        if entry.took > allowed {
            found.push(format!("{}: took {} ms, where {allowed} are the most", told(entry), entry.took));
        }
        if let (Some(key), Some(job)) = (&entry.key, &entry.job)
            && jobs.insert(key, job).is_some_and(|before| before != job)
        {
            found.push(format!("{}: the key {key} made two jobs", told(entry)));
        }
    }
    found
}

fn wrong_status(entry: &Entry) -> Option<String> {
    let status = entry.status?;
    let fine = match status {
        200..300 => true,
        503 | 507 => entry.retry_after,
        _ => false,
    };
    (!fine).then(|| format!("{}: {status} {} (Retry-After: {})", told(entry), entry.problem, entry.retry_after))
}

/// Whether the api was killed, ended or held while the request was under way.
fn was_away(entry: &Entry, struck: &[Struck]) -> bool {
    let api = Target::Api(entry.api);
    struck.iter().any(|struck| struck.took_away() == Some(api) && struck.overlaps(entry.began, entry.ended()))
}

/// How long the api was stopped meanwhile.
fn frozen(entry: &Entry, struck: &[Struck]) -> Millis {
    let stops =
        struck.iter().filter(|struck| matches!(struck.fault, Fault::Stop(Target::Api(api), _) if api == entry.api));
    stops.map(|stop| (stop.until.min(entry.ended()) - stop.from.max(entry.began)).max(0)).sum()
}

fn told(entry: &Entry) -> String {
    format!("{:?} at {} by {} at api-{}", entry.op, entry.began, entry.user, entry.api)
}
