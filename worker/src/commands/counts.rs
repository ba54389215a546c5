//! `worker reconcile` and `worker adopt`: stored counts against a recount, and what the original left.

use store::StoreArgs;

use super::print;

/// Compares stored counts with a recount and mends what differs.
pub(super) async fn reconcile(store: StoreArgs, channel: Option<&str>) -> anyhow::Result<()> {
    let found = worker::reconcile(&config(store)?, channel).await?;
    print::line(&format!(
        "compared {} users with a recount: {} had drifted and were mended",
        found.checked, found.drifted
    ))
}

/// Takes over the subscriptions of an adopted database.
pub(super) async fn adopt(store: StoreArgs) -> anyhow::Result<()> {
    let findings = worker::adopt(&config(store)?).await?;
    for finding in &findings {
        print::line(&finding.to_string())?;
    }
    print::line(&format!("{} findings; everybody is counted", findings.len()))
}

fn config(store: StoreArgs) -> anyhow::Result<store::Config> {
    Ok(store::Config::from_args(store, "steep-worker")?)
}
