//! Telling workers something, and taking it back, with an entry in the audit.

use anyhow::bail;
use store::{Act, Actor, AuditOutcome, Controlled, Steered, Store, Target};

/// Tells workers something. `false`: it was so already.
pub(super) async fn set(
    store: &Store,
    action: &'static str,
    what: Controlled,
    name: &str,
    why: &str,
) -> anyhow::Result<bool> {
    let by = Actor::command_line();
    let detail = if why.is_empty() { name.to_owned() } else { format!("{name}: {why}") };
    audited(store, action, &what, detail, async {
        match store.controls().set(&what, name, &by.name, why).await? {
            Steered::Done => Ok(true),
            Steered::AlreadySo => Ok(false),
            Steered::TooMany => bail!("so many are paused that no other can be"),
        }
    })
    .await
}

/// Takes back what workers were told. `false`: it was not so.
pub(super) async fn lift(store: &Store, action: &'static str, what: Controlled, name: &str) -> anyhow::Result<bool> {
    audited(store, action, &what, name.to_owned(), async { Ok(store.controls().lift(&what).await?) }).await
}

/// Acts, with an entry that is written before: without it nothing is done.
async fn audited(
    store: &Store,
    action: &'static str,
    what: &Controlled,
    detail: String,
    work: impl Future<Output = anyhow::Result<bool>>,
) -> anyhow::Result<bool> {
    let target = match what {
        Controlled::Queue(name) => Target::new("queue", name),
        Controlled::User(id) => Target::new("user", id),
        Controlled::Worker(name) => Target::new("worker", name),
    };
    let (target, detail) = (Some(target), Some(detail));
    let entry = store.audit().begin(Act { by: Actor::command_line(), from: None, action, target, detail }).await?;
    let changed = work.await;
    let outcome = match &changed {
        Ok(changed) => AuditOutcome::Done { count: u64::from(*changed) },
        Err(error) => AuditOutcome::Failed { reason: format!("{error:#}") },
    };
    store.audit().end(entry, &outcome).await?;
    changed
}
