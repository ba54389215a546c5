//! `worker reconcile` and `worker adopt`: stored counts against a recount, and what chai-backend left.

use store::{Finding, Pace, Store};

use super::print;
use crate::maintenance::adoption;
use crate::maintenance::reconciler::{self, Reconciled};
use crate::{Error, identity, start};

/// Findings that are printed. Whoever has more of them needs a query.
const FINDINGS: u32 = 1_000_000;

/// Compares the stored counts of a channel, or of everybody, with a recount, and mends what differs.
pub(super) async fn reconcile(store: store::Config, channel: Option<&str>) -> anyhow::Result<()> {
    let store = connect(store).await?;
    let found = compare(&store, channel).await;
    store.close().await;
    let found = found?;
    print::line(&format!(
        "compared {} users with a recount: {} had drifted and were mended",
        found.checked, found.drifted
    ))
}

/// Takes over the subscriptions of an adopted database once more, whatever was done before.
pub(super) async fn adopt(store: store::Config) -> anyhow::Result<()> {
    let store = connect(store).await?;
    let findings = take_over(&store).await;
    store.close().await;
    let findings = findings?;
    for finding in &findings {
        print::line(&finding.to_string())?;
    }
    print::line(&format!("{} findings; everybody is counted", findings.len()))
}

async fn connect(store: store::Config) -> Result<Store, Error> {
    start::connect(&store.check("steep-worker")?).await
}

async fn compare(store: &Store, channel: Option<&str>) -> Result<Reconciled, store::Error> {
    let pace = Pace::default();
    let Some(name) = channel else { return reconciler::everybody(store, &pace).await };
    let channel = store.users().by_name(name).await?.ok_or(store::Error::NotFound { what: "channel" })?;
    reconciler::compare(store, vec![store::subscribers(channel)], &pace).await
}

async fn take_over(store: &Store) -> Result<Vec<Finding>, store::Error> {
    store.adoption().repeat().await?;
    adoption::adopt(store, &identity::name(), &Pace::default()).await?;
    store.adoption().findings(FINDINGS).await
}
