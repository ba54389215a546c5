//! `worker jobs list`, `count` and `search`.

use serde_json::json;
use store::{JobRecord, LookedUp, Store};

use super::filter::Filter;
use super::views::JobView;
use crate::commands::print;

/// Jobs that are asked for at once.
const AT_ONCE: u32 = 100;
/// How often it is asked. Each time the database looks at a few hundred jobs.
const TIMES: usize = 1_000;
/// Jobs that are counted.
const COUNTED: u64 = 10_000;

pub(super) async fn list(store: &Store, filter: Filter, limit: u32, json: bool) -> anyhow::Result<()> {
    let wanted = filter.search(store).await?;
    let (mut found, mut after, mut searched_to): (Vec<JobRecord>, _, _) = (Vec::new(), None, None);
    for _ in 0..TIMES {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let page = store.jobs().search(&wanted, after.as_ref(), left.min(AT_ONCE)).await?;
        found.extend(page.items);
        (after, searched_to) = (page.next, page.searched_to);
        if after.is_none() || found.len() >= limit as usize {
            break;
        }
    }
    if json {
        return print::json(&found.iter().map(JobView::new).collect::<Vec<_>>());
    }
    let rows: Vec<[String; 8]> = found.iter().map(row).collect();
    print::table(["ID", "ACCEPTED", "STATE", "KIND", "QUEUE", "ATTEMPTS", "WORKER", "ERROR"], &rows)?;
    match (after, searched_to) {
        (Some(_), Some(time)) => print::line(&format!("… looked at jobs accepted since {}", print::time(time))),
        (Some(_), None) => print::line("… there are more: --limit shows them"),
        (None, _) => Ok(()),
    }
}

fn row(job: &JobRecord) -> [String; 8] {
    let JobView { worker, error, reason, .. } = JobView::new(job);
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    [
        job.id.to_string(),
        print::time(job.created_at),
        job.state.to_string(),
        job.kind.clone(),
        job.queue.clone(),
        job.attempt.to_string(),
        or_none(worker),
        or_none(error.or(reason)),
    ]
}

pub(super) async fn count(store: &Store, filter: Filter, json: bool) -> anyhow::Result<()> {
    let counted = store.jobs().count(&filter.search(store).await?, COUNTED).await?;
    if json {
        return print::json(&json!({ "count": counted.count, "atLeast": counted.more }));
    }
    print::line(&format!("{}{}", if counted.more { "at least " } else { "" }, counted.count))
}

pub(super) async fn search(store: &Store, text: &str, json: bool) -> anyhow::Result<()> {
    let row = |found: LookedUp| match found {
        LookedUp::Job(id) => ["job".to_owned(), id.to_string(), "-".to_owned()],
        LookedUp::Asset(id) => ["asset".to_owned(), id.to_string(), "-".to_owned()],
        LookedUp::User { id, username } => ["user".to_owned(), id.to_string(), username],
        LookedUp::ErrorGroup(id) => ["errorGroup".to_owned(), id.to_string(), "-".to_owned()],
    };
    let found: Vec<[String; 3]> = store.look_up(text).await?.into_iter().map(row).collect();
    if json {
        let view = |[what, id, name]: &[String; 3]| {
            let name = (what == "user").then_some(name);
            json!({ "what": what, "id": id, "name": name })
        };
        return print::json(&found.iter().map(view).collect::<Vec<_>>());
    }
    if found.is_empty() {
        anyhow::bail!("nothing has this id or name");
    }
    print::table(["WHAT", "ID", "NAME"], &found)
}
