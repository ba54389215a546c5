//! `worker reconcile` and `worker adopt`: stored counts against a recount, and what chai-backend left.

use store::{Pace, Store};

use super::print;
use crate::identity;
use crate::maintenance::{adoption, reconciler};

/// Findings that are printed. Whoever has more of them needs a query.
const FINDINGS: u32 = 1_000_000;

/// Compares the stored counts of a channel, or of everybody, with a recount, and mends what differs.
pub(super) async fn reconcile(store: &Store, channel: Option<&str>) -> anyhow::Result<()> {
    let pace = Pace::default();
    let found = match channel {
        Some(name) => {
            let channel = store.users().by_name(name).await?.ok_or(store::Error::NotFound { what: "channel" })?;
            reconciler::compare(store, vec![store::subscribers(channel)], &pace).await?
        }
        None => reconciler::everybody(store, &pace).await?,
    };
    print::line(&format!(
        "compared {} users with a recount: {} had drifted and were mended",
        found.checked, found.drifted
    ))
}

/// Takes over the subscriptions of an adopted database once more, whatever was done before.
pub(super) async fn adopt(store: &Store) -> anyhow::Result<()> {
    store.adoption().repeat().await?;
    adoption::adopt(store, &identity::name(), &Pace::default()).await?;
    let findings = store.adoption().findings(FINDINGS).await?;
    for finding in &findings {
        print::line(&finding.to_string())?;
    }
    print::line(&format!("{} findings; everybody is counted", findings.len()))
}
