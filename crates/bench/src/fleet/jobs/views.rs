//! What is asked for: every list, filter, count and search, and every view.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Client;
use super::document::{self, Scene};

/// Pages of a list that are followed for their cursors.
const PAGES: usize = 12;
/// Jobs that are asked for one by one.
const SAMPLE: u64 = 500;
/// Places among the users: the admin, who has a fifth of all jobs, one with a hundredth, one with few.
const ADMIN: usize = 0;
const SOME: usize = 1;
const FEW: usize = 7;
const JOBS: &str = "/api/v1/admin/jobs";

/// One kind of request, by one user.
#[derive(Debug)]
pub struct View {
    pub what: &'static str,
    /// Place among the users.
    pub user: usize,
    /// One after the other.
    pub paths: Vec<String>,
}

/// A user's own lists. Each is followed, page by page.
const OWN: &[(&str, usize, &str)] = &[
    ("own jobs, a fifth of all, 100 at a time", ADMIN, "?limit=100"),
    ("own jobs, 20 at a time", ADMIN, ""),
    ("own discarded jobs", ADMIN, "?state=discarded&limit=100"),
    ("own unfinished jobs", ADMIN, "?state=pending,queued,running,retryable&limit=100"),
    ("own jobs of three states and a kind", ADMIN, "?state=completed,cancelled,running&kind=media.upload.v1"),
    ("own deletions", ADMIN, "?kind=media.delete.v1&limit=100"),
    ("own jobs, a hundredth of all", SOME, "?limit=100"),
    ("own jobs, few", FEW, "?limit=100"),
];

/// An operator's filters, listed page by page and counted. In braces is what [`filled`] knows.
const FILTERS: &[(&str, &str)] = &[
    ("all", ""),
    ("completed", "state=completed"),
    ("discarded", "state=discarded"),
    ("cancelled", "state=cancelled"),
    ("retryable", "state=retryable"),
    ("unfinished", "state=pending,queued,running,retryable"),
    ("completed and running", "state=completed,running"),
    ("a kind", "kind=media.delete.v1"),
    ("a kind without owners, discarded", "kind=webhook.deliver.v1&state=discarded"),
    ("a queue", "queue=media.upload"),
    ("a queue, retryable", "queue=media.upload&state=retryable"),
    ("a user with much", "user={much}"),
    ("a user with much, by name, discarded", "user={name}&state=discarded"),
    ("a user with few", "user={few}"),
    ("an error group", "errorGroup={group}"),
    ("an error group, completed", "errorGroup={group}&state=completed"),
    ("a worker", "worker={worker}"),
    ("a worker, discarded", "worker={worker}&state=discarded"),
    ("a worker, of a user with few", "worker={worker}&user={few}"),
    ("a worker that there was not", "worker=nobody-at-all"),
    ("a day a month ago", "from={from}&to={to}"),
    ("a day, discarded", "from={from}&to={to}&state=discarded"),
    ("a day, of a user and a worker", "from={from}&to={to}&user={much}&worker={worker}"),
    ("a group and a worker of a user, a kind", "errorGroup={group}&worker={worker}&user={much}&kind=media.upload.v1"),
    ("an asset", "asset={asset}"),
];

/// Whatever else there is.
const OTHERS: &[(&str, &str)] = &[
    ("error groups", "/api/v1/admin/errors?limit=100"),
    ("error groups of a kind", "/api/v1/admin/errors?kind=media.upload.v1"),
    ("an error group itself", "/api/v1/admin/errors/{group}"),
    ("overview", "/api/v1/admin/overview"),
    ("queues", "/api/v1/admin/queues"),
    ("workers", "/api/v1/admin/workers"),
    ("counters", "/api/v1/admin/counters"),
    ("dead letters", "/api/v1/admin/dead-letters"),
    ("webhook endpoints", "/api/v1/admin/webhook-endpoints"),
    ("bulk actions", "/api/v1/admin/jobs/actions"),
    ("audit", "/api/v1/admin/audit"),
    ("page: overview", "/dashboard"),
    ("page: jobs", "/dashboard/jobs"),
    ("page: discarded jobs", "/dashboard/jobs?state=discarded"),
    ("page: a job", "/dashboard/jobs/{job}"),
    ("page: errors", "/dashboard/errors"),
    ("page: fleet", "/dashboard/fleet"),
];

/// Everything that there is to ask for. Asks for pages of lists, to know their cursors.
pub async fn all(scene: &Scene, client: &mut Client) -> anyhow::Result<Vec<View>> {
    let mut views = own(scene, client).await?;
    for &(name, filter) in FILTERS {
        let filter = filled(filter, scene);
        let mark = if filter.is_empty() { "" } else { "&" };
        let list = format!("{JOBS}?limit=100{mark}{filter}");
        views.push(View {
            what: named(format!("jobs: {name}")),
            user: ADMIN,
            paths: pages(client, ADMIN, &list).await?,
        });
        let count = format!("{JOBS}/count?{filter}");
        views.push(View { what: named(format!("count: {name}")), user: ADMIN, paths: vec![count] });
    }
    let numbers = (0..SAMPLE.min(scene.jobs)).map(|one| one * (scene.jobs / SAMPLE.min(scene.jobs)));
    let numbers: Vec<u64> = numbers.collect();
    let search = |asked: String| format!("{JOBS}/search?q={asked}");
    let jobs = numbers.iter().map(|number| format!("{JOBS}/{}", scene.id(*number))).collect();
    views.push(View { what: "a job, any", user: ADMIN, paths: jobs });
    let ids = numbers.iter().map(|number| search(scene.id(*number))).collect();
    views.push(View { what: "search: a job's id", user: ADMIN, paths: ids });
    let ids = numbers.iter().map(|number| search(scene.facts(*number).asset.to_string())).collect();
    views.push(View { what: "search: an asset's id", user: ADMIN, paths: ids });
    let ids = scene.owners.iter().map(|owner| search(owner.to_string())).collect();
    views.push(View { what: "search: a user's id", user: ADMIN, paths: ids });
    let names = ["user17", "nobody-at-all", "%24where"].map(|name| search(name.to_owned()));
    views.push(View { what: "search: names, and nonsense", user: ADMIN, paths: names.into() });
    for &(name, path) in OTHERS {
        views.push(View { what: name, user: ADMIN, paths: pages(client, ADMIN, &filled(path, scene)).await? });
    }
    let mut there = Vec::with_capacity(views.len());
    for view in views {
        match view.paths.first() {
            Some(path) if client.knows(view.user, path).await? => there.push(view),
            _ => println!("left out, as there is no such route or nothing to ask for: {}", view.what),
        }
    }
    Ok(there)
}

async fn own(scene: &Scene, client: &mut Client) -> anyhow::Result<Vec<View>> {
    let mut views = Vec::new();
    for &(what, user, query) in OWN {
        let paths = pages(client, user, &format!("/api/v1/jobs{query}")).await?;
        views.push(View { what, user, paths });
    }
    let (mut jobs, mut of_assets) = (Vec::new(), Vec::new());
    for number in scene.jobs.saturating_sub(10 * SAMPLE)..scene.jobs {
        if scene.make(number).job.get_object_id("owner").is_ok_and(|owner| owner == scene.owners[ADMIN]) {
            jobs.push(format!("/api/v1/jobs/{}", scene.id(number)));
            of_assets.push(format!("/api/v1/jobs?asset={}", scene.facts(number).asset));
        }
    }
    views.push(View { what: "one of one's own jobs", user: ADMIN, paths: jobs });
    views.push(View { what: "own jobs of an asset", user: ADMIN, paths: of_assets });
    Ok(views)
}

/// With what this scene has.
fn filled(text: &str, scene: &Scene) -> String {
    const DAY: i64 = 24 * 3600;
    let ago = |days: i64| {
        let time = OffsetDateTime::from_unix_timestamp(scene.now / 1000 - days * DAY).ok();
        time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
    };
    let known = [
        ("{much}", scene.owners[ADMIN].to_string()),
        ("{few}", scene.owners[FEW].to_string()),
        ("{name}", scene.name.clone()),
        ("{group}", document::group(1)),
        ("{worker}", document::some_worker()),
        ("{from}", ago(31)),
        ("{to}", ago(30)),
        ("{job}", scene.id(scene.jobs - 1)),
        ("{asset}", scene.facts(scene.jobs - 1).asset.to_string()),
    ];
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// A name that is shown at the end, and so is kept until then.
fn named(name: String) -> &'static str {
    name.leak()
}

/// The addresses of the first pages of a list.
async fn pages(client: &mut Client, user: usize, path: &str) -> anyhow::Result<Vec<String>> {
    let mut paths = vec![path.to_owned()];
    if path.starts_with(super::PAGES) || !client.knows(user, path).await? {
        return Ok(paths);
    }
    while paths.len() < PAGES {
        let Some(last) = paths.last() else { break };
        let body = client.get(user, last).await?;
        let Some(cursor) = cursor(&body) else { break };
        let mark = if path.contains('?') { '&' } else { '?' };
        paths.push(format!("{path}{mark}cursor={cursor}"));
    }
    Ok(paths)
}

/// Where the next page begins: beside the data, or in them.
fn cursor(body: &Value) -> Option<&str> {
    let found = [&body["nextCursor"], &body["data"]["nextCursor"]];
    found.into_iter().find_map(Value::as_str)
}
