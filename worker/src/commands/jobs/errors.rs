//! `worker jobs errors`: failures in groups.

use serde_json::json;
use store::{ErrorGroup, Store};

use crate::commands::print;

/// Groups that are asked for at once.
const AT_ONCE: u32 = 100;

pub(super) async fn list(store: &Store, kind: Option<&str>, limit: u32, json: bool) -> anyhow::Result<()> {
    let (mut found, mut after): (Vec<ErrorGroup>, _) = (Vec::new(), None);
    loop {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let page = store.error_groups().list(kind, after.as_ref(), left.min(AT_ONCE)).await?;
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return print::json(&found.iter().map(view).collect::<Vec<_>>());
    }
    let rows: Vec<[String; 6]> = found.iter().map(row).collect();
    print::table(["ID", "LAST SEEN", "COUNT", "KIND", "CODE", "ERROR"], &rows)
}

fn row(group: &ErrorGroup) -> [String; 6] {
    [
        group.id.to_string(),
        print::time(group.last_seen),
        group.count.to_string(),
        group.kind.clone(),
        group.code.clone(),
        group.message.clone(),
    ]
}

fn view(group: &ErrorGroup) -> serde_json::Value {
    json!({
        "id": group.id,
        "kind": group.kind,
        "code": group.code,
        "status": group.status,
        "message": group.message,
        "count": group.count,
        "firstSeen": print::time(group.first_seen),
        "lastSeen": print::time(group.last_seen),
        "example": { "job": group.example.job, "error": group.example.error, "worker": group.example.worker },
    })
}
