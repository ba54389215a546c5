//! What became of uploads: every one that was accepted ended, with the client's bytes stored once, and nothing else is stored.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::StreamExt;
use md5::{Digest, Md5};

use crate::conductor::Struck;
use crate::fault::{Fault, Target};
use crate::ledger::{Entry, Op};
use crate::schedule::REFUSAL;
use crate::state::{Asset, Attempt, Job, State};

pub async fn check(entries: &[Entry], struck: &[Struck], workers: &[(i32, Target)], state: &State) -> Vec<String> {
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.accepted() && is_upload(entry.op)) {
        found.extend(accepted(entry, state));
    }
    for job in state.jobs.values() {
        found.extend(ended(job, struck, workers));
    }
    found.extend(from_nowhere(entries, state));
    found.extend(avatars(state));
    found.extend(stored(state));
    found.extend(delivered(state).await);
    found
}

/// Whether a request carries a file that is to be kept.
pub fn is_upload(op: Op) -> bool {
    matches!(op, Op::Register | Op::Media | Op::Avatar)
}

/// An accepted upload has its job and its asset, with the client's bytes, and if it was superseded then by a newer one.
fn accepted(entry: &Entry, state: &State) -> Option<String> {
    let told = format!("{:?} of {} at {}", entry.op, entry.user, entry.began);
    let Some(job) = entry.job.as_ref() else { return Some(format!("{told}: accepted without a job")) };
    let Some(job) = state.jobs.get(job) else { return Some(format!("{told}: job {job} is LOST")) };
    let Some(asset) = state.asset_of(job) else { return Some(format!("{told}: the asset of job {} is LOST", job.id)) };
    if Some(&asset.md5) != entry.md5.as_ref() || Some(asset.crc32) != entry.crc32.map(i64::from) {
        return Some(format!("{told}: asset {} has other bytes", asset.id));
    }
    let superseded = is_superseded(asset, state);
    match (job.state.as_str(), asset.state.as_str()) {
        ("completed", "ready") | ("discarded", "failed") => None,
        ("completed", "deleted") | ("cancelled", "superseded" | "deleted") if superseded => None,
        (job_state, asset_state) => {
            Some(format!("{told}: job {} is {job_state}, its asset {asset_state}, superseded: {superseded}", job.id))
        }
    }
}

fn is_superseded(asset: &Asset, state: &State) -> bool {
    let newer = |other: &Asset| other.owner == asset.owner && other.role == asset.role && other.seq > asset.seq;
    asset.role != "media" && state.assets.values().any(newer)
}

/// A job is discarded only for a reason that a fault explains.
fn ended(job: &Job, struck: &[Struck], workers: &[(i32, Target)]) -> Option<String> {
    match job.state.as_str() {
        "completed" | "cancelled" => None,
        "discarded" if job.reason.contains(REFUSAL) => None,
        "discarded" if job.reason.contains("vanished") => {
            let unexplained: Vec<_> =
                job.crashes().filter(|(attempt, next)| !was_struck(attempt, *next, struck, workers)).collect();
            let crashes = job.crashes().count();
            (crashes < 3 || !unexplained.is_empty()).then(|| {
                format!(
                    "job {} is discarded after {crashes} crashes, of which these never were: {unexplained:?}",
                    job.id
                )
            })
        }
        state => Some(format!("job {} {} is {state}: {}", job.id, job.kind, job.reason)),
    }
}

/// Whether the attempt's worker was killed, or kept from saying that it lives: stopped, or cut off. One that was asked to end gives its
/// jobs back, and one that lives takes back that it was thought to have crashed, whatever was wrong with the database or the broker.
fn was_struck(attempt: &Attempt, next: Option<i64>, struck: &[Struck], workers: &[(i32, Target)]) -> bool {
    let worker = workers.iter().find(|(pid, _)| attempt.ran_in(*pid)).map(|(_, worker)| *worker);
    // A lease that cannot be renewed ends five seconds later.
    let until = next.unwrap_or(attempt.started + 30_000);
    struck.iter().filter(|struck| struck.overlaps(attempt.started, until)).any(|one| match &one.fault {
        Fault::Kill(Target::Worker(_), _) | Fault::Stop(Target::Worker(_), _) => {
            one.pid.is_some_and(|pid| attempt.ran_in(pid))
        }
        Fault::Hold(link, _) => Some(link.from) == worker && link.to != Target::Media,
        _ => false,
    })
}

/// Nothing is there that no client sent, nothing twice, and nothing of uploads that were broken off.
fn from_nowhere(entries: &[Entry], state: &State) -> Vec<String> {
    let sent: HashMap<&str, Op> = entries.iter().filter_map(|entry| Some((entry.md5.as_deref()?, entry.op))).collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for asset in state.assets.values() {
        match sent.get(asset.md5.as_str()) {
            Some(Op::Abort) => found.push(format!("asset {} is an upload that was broken off", asset.id)),
            Some(_) if !seen.insert(&asset.md5) => found.push(format!("asset {} is DOUBLE: {}", asset.id, asset.md5)),
            Some(_) => {}
            None => found.push(format!("asset {} was sent by nobody", asset.id)),
        }
        if !state.jobs.contains_key(&asset.job) {
            found.push(format!("asset {} is without its job {}", asset.id, asset.job));
        }
        if !state.users.contains_key(&asset.owner) {
            found.push(format!("asset {} is without its owner {}", asset.id, asset.owner));
        }
    }
    found
}

/// The newest avatar that came through is shown: not one that was refused, and not one that a newer one cancelled, even if that
/// was refused afterwards. One that ended in any other way without a newer one had to come through.
fn avatars(state: &State) -> Vec<String> {
    let mut newest: BTreeMap<&str, &Asset> = BTreeMap::new();
    let had_to_be_shown = |asset: &&Asset| {
        let came_through = state.jobs.get(&asset.job).is_some_and(|job| job.state == "completed");
        came_through || (asset.state != "failed" && !is_superseded(asset, state))
    };
    for asset in state.assets.values().filter(|asset| asset.role == "avatar").filter(had_to_be_shown) {
        let known = newest.entry(&asset.owner).or_insert(asset);
        if asset.seq > known.seq {
            *known = asset;
        }
    }
    let mut found = Vec::new();
    for user in state.users.values() {
        if !user.pending.is_empty() {
            found.push(format!("{}: avatar {} is still on its way", user.username, user.pending));
        }
        let Some(asset) = newest.get(user.id.as_str()) else {
            // None has come through yet.
            if !user.avatar_url.is_empty() {
                found.push(format!("{}: shows {}, which is no asset", user.username, user.avatar_url));
            }
            continue;
        };
        if user.current != asset.id || asset.state != "ready" || asset.url.as_ref() != Some(&user.avatar_url) {
            found.push(format!(
                "{}: shows {} at {}, but the newest is {} ({})",
                user.username, user.current, user.avatar_url, asset.id, asset.state
            ));
        }
    }
    found
}

/// The media host has what is ready, once, with those bytes, and nothing else.
fn stored(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    let mut owned = HashSet::new();
    for asset in state.assets.values().filter(|asset| asset.state == "ready") {
        owned.insert(asset.public_id.as_str());
        match state.stored.get(&asset.public_id).map(Vec::as_slice) {
            None => found.push(format!("asset {} is ready, and LOST at the media host", asset.id)),
            Some([md5]) if *md5 == asset.md5 => {}
            Some(stored) => found.push(format!("asset {}: stored as {stored:?}, sent as {}", asset.id, asset.md5)),
        }
    }
    for public_id in state.stored.keys().filter(|public_id| !owned.contains(public_id.as_str())) {
        let known = state.assets.values().find(|asset| asset.public_id == *public_id);
        let owner = known.map(|asset| format!("asset {} is {}, job {}", asset.id, asset.state, asset.job));
        found.push(format!("the media host stores {public_id} for nobody: {}", owner.unwrap_or_default()));
    }
    found
}

/// Every address delivers the client's bytes.
async fn delivered(state: &State) -> Vec<String> {
    let http = reqwest::Client::new();
    let ready = state.assets.values().filter(|asset| asset.state == "ready");
    let fetched = futures_util::stream::iter(ready).map(|asset| {
        let http = http.clone();
        async move {
            let url = asset.url.as_deref().unwrap_or_default();
            let answer = async { http.get(url).send().await?.error_for_status()?.bytes().await };
            match answer.await {
                Ok(bytes) if hex::encode(Md5::digest(&bytes)) == asset.md5 => None,
                Ok(bytes) => Some(format!("asset {}: {url} delivers {} other bytes", asset.id, bytes.len())),
                Err(error) => Some(format!("asset {}: {url}: {error}", asset.id)),
            }
        }
    });
    fetched.buffer_unordered(8).filter_map(|found| async move { found }).collect().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::User;

    fn entry() -> Entry {
        let (status, md5, job) = (Some(202), Some("m".to_owned()), Some("j".to_owned()));
        Entry { status, md5, crc32: Some(7), job, ..Entry::begin(Op::Avatar, "ada", 0) }
    }

    /// One user with one avatar, as everything should be.
    fn sound() -> State {
        let job = Job {
            id: "j".into(),
            kind: "media.upload.v1".into(),
            state: "completed".into(),
            reason: String::new(),
            asset: "a".into(),
            attempts: Vec::new(),
        };
        let asset = Asset {
            id: "a".into(),
            owner: "u".into(),
            role: "avatar".into(),
            seq: 1,
            state: "ready".into(),
            md5: "m".into(),
            crc32: 7,
            public_id: "p".into(),
            url: Some("http://media/p".into()),
            job: "j".into(),
        };
        let user = User {
            id: "u".into(),
            username: "ada".into(),
            avatar_url: "http://media/p".into(),
            current: "a".into(),
            pending: String::new(),
            subscribers: 0,
            subscribed_to: 0,
        };
        let mut state = State::default();
        state.jobs.insert("j".into(), job);
        state.assets.insert("a".into(), asset);
        state.users.insert("u".into(), user);
        state.stored.insert("p".into(), vec!["m".into()]);
        state
    }

    fn violations(state: &State) -> usize {
        let entries = [entry()];
        let jobs = state.jobs.values().filter_map(|job| ended(job, &[], &[])).count();
        let own = entries.iter().filter_map(|entry| accepted(entry, state)).count();
        own + jobs + from_nowhere(&entries, state).len() + avatars(state).len() + stored(state).len()
    }

    #[test]
    fn whatever_is_lost_doubled_or_left_behind_is_found() {
        assert_eq!(violations(&sound()), 0);
        type Break = (&'static str, fn(&mut State));
        let breaks: [Break; 10] = [
            ("a lost job", |state| state.jobs.clear()),
            ("a lost file", |state| state.stored.clear()),
            ("other bytes", |state| drop(state.stored.insert("p".into(), vec!["x".into()]))),
            ("other bytes received", |state| state.assets.values_mut().for_each(|asset| asset.crc32 = 8)),
            ("stored twice", |state| drop(state.stored.insert("p".into(), vec!["m".into(), "m".into()]))),
            ("stored for nobody", |state| drop(state.stored.insert("q".into(), vec!["x".into()]))),
            ("a job that never ended", |state| state.jobs.values_mut().for_each(|job| job.state = "running".into())),
            ("discarded for nothing", |state| state.jobs.values_mut().for_each(|job| job.state = "discarded".into())),
            ("another avatar", |state| state.users.values_mut().for_each(|user| user.current = "b".into())),
            ("sent by nobody", |state| state.assets.values_mut().for_each(|asset| asset.md5 = "x".into())),
        ];
        for (what, spoil) in breaks {
            let mut state = sound();
            spoil(&mut state);
            assert_ne!(violations(&state), 0, "{what}");
        }
    }

    /// The avatar of [`sound`] and what became of two newer ones.
    fn after_two_more(newer: [(&str, &str); 2]) -> State {
        let mut state = sound();
        for (seq, (job_state, asset_state)) in (2..).zip(newer) {
            let (mut job, mut asset) = (state.jobs["j"].clone(), state.assets["a"].clone());
            (job.id, job.state, job.asset) = (format!("j{seq}"), job_state.into(), format!("a{seq}"));
            (asset.id, asset.seq, asset.state) = (job.asset.clone(), seq, asset_state.into());
            (asset.job, asset.url) = (job.id.clone(), None);
            state.jobs.insert(job.id.clone(), job);
            state.assets.insert(asset.id.clone(), asset);
        }
        state
    }

    #[test]
    fn the_newest_avatar_that_came_through_is_to_be_shown() {
        // The second was cancelled for the third, which the media host refused.
        for second in ["superseded", "deleted"] {
            assert_eq!(avatars(&after_two_more([("cancelled", second), ("discarded", "failed")])), [""; 0]);
        }
        for overtaken in [
            [("completed", "deleted"), ("discarded", "failed")],
            [("completed", "ready"), ("cancelled", "superseded")],
            [("cancelled", "superseded"), ("completed", "ready")],
            [("discarded", "failed"), ("cancelled", "superseded")],
        ] {
            assert_eq!(avatars(&after_two_more(overtaken)).len(), 1, "{overtaken:?}");
        }
    }

    #[test]
    fn a_discard_after_crashes_is_explained_only_by_as_many_hits() {
        let crashed = |started| Attempt { worker: "host-7-x".into(), started, outcome: "crashed".into() };
        let mut job = sound().jobs.remove("j").expect("there");
        (job.state, job.reason) = ("discarded".into(), "3 workers vanished while they ran it".into());
        job.attempts = [100_000, 200_000, 300_000].map(crashed).to_vec();
        let kill = |from, pid| {
            let fault = Fault::Kill(Target::Worker(0), Duration::ZERO);
            Struck { fault, from, until: from + 1_000, pid: Some(pid) }
        };
        let hits = [kill(101_000, 7), kill(201_000, 7), kill(301_000, 7)];
        let ended = |hits: &[Struck]| ended(&job, hits, &[(7, Target::Worker(0))]);
        assert_eq!(ended(&hits), None);
        assert!(ended(&hits[1..]).is_some());
        assert!(ended(&[kill(101_000, 7), kill(201_000, 8), kill(301_000, 7)]).is_some());
    }
}
