//! What clients were answered: promptly, with what they may be told, or not at all for a reason.

use std::collections::HashMap;

use crate::conductor::Struck;
use crate::fault::{Fault, Target};
use crate::ledger::{Entry, Millis, Op};

/// What an answer may take: as long as a client may stay silent. The programs stop waiting for a database long before.
pub const LIMIT: Millis = 30_000;

pub fn check(entries: &[Entry], struck: &[Struck]) -> Vec<String> {
    let mut found = Vec::new();
    let mut jobs: HashMap<&str, &str> = HashMap::new();
    for entry in entries {
        found.extend(wrong_status(entry));
        if entry.status.is_none() && entry.op != Op::Abort && !entry.hung_up && !was_away(entry, struck) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(status: Option<u16>) -> Entry {
        Entry { began: 100_000, took: 50, status, ..Entry::begin(Op::Media, "ada", 1) }
    }

    fn struck(fault: Fault, from: Millis, until: Millis) -> Struck {
        Struck { fault, from, until, pid: None }
    }

    #[test]
    fn only_an_answer_that_a_client_may_get_passes() {
        let unavailable = Entry { retry_after: true, ..entry(Some(503)) };
        assert!(check(&[entry(Some(202)), unavailable], &[]).is_empty());
        for status in [400, 401, 409, 500, 502, 503, 507] {
            assert_eq!(check(&[entry(Some(status))], &[]).len(), 1, "{status}");
        }
    }

    #[test]
    fn no_answer_passes_only_while_that_api_was_away() {
        let kill = |api, from| struck(Fault::Kill(Target::Api(api), Duration::ZERO), from, from + 500);
        assert!(check(&[entry(None)], &[kill(1, 99_800)]).is_empty());
        for kills in [vec![], vec![kill(0, 99_800)], vec![kill(1, 90_000)], vec![kill(1, 101_000)]] {
            assert_eq!(check(&[entry(None)], &kills).len(), 1, "{kills:?}");
        }
    }

    #[test]
    fn who_hangs_up_need_not_be_answered() {
        assert!(check(&[Entry { hung_up: true, ..entry(None) }], &[]).is_empty());
    }

    #[test]
    fn an_answer_may_be_as_late_as_its_api_was_stopped() {
        let late = Entry { took: LIMIT + 3_000, ..entry(Some(202)) };
        let stop = |time: Millis| struck(Fault::Stop(Target::Api(1), Duration::ZERO), 110_000, 110_000 + time);
        assert!(check(std::slice::from_ref(&late), &[stop(3_000)]).is_empty());
        assert_eq!(check(&[late], &[stop(2_000)]).len(), 1);
    }

    #[test]
    fn a_key_that_made_two_jobs_is_found() {
        let of = |job: &str| Entry { key: Some("k".into()), job: Some(job.into()), ..entry(Some(202)) };
        assert!(check(&[of("a"), of("a")], &[]).is_empty());
        assert_eq!(check(&[of("a"), of("b")], &[]).len(), 1);
    }
}
