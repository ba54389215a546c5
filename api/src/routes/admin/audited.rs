//! Actions of admins: none without its entry in the audit.

use std::fmt::Display;

use messages::UserId;
use store::{Act, Actor, AuditId, AuditOutcome, Target};
use tracing::Instrument;

use crate::auth::{AdminWriter, ClientAddress};
use crate::http::Problem;
use crate::state::App;

/// Who acts, and from where.
#[derive(Debug, Clone)]
pub(crate) struct By {
    user: UserId,
    name: String,
    from: ClientAddress,
}

impl By {
    pub(crate) fn new(AdminWriter(caller): &AdminWriter, from: ClientAddress) -> Self {
        Self { user: caller.user.id, name: caller.user.username.clone(), from }
    }

    /// The admin's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// An action of theirs, by its permanent name, such as `job.retry`.
    pub(crate) fn does(&self, action: &'static str) -> Act {
        Act {
            by: Actor { user: Some(self.user), name: self.name.clone() },
            from: Some(self.from.0.to_string()),
            action,
            target: None,
            detail: None,
        }
    }

    /// An action of theirs upon one thing.
    pub(crate) fn does_to(&self, action: &'static str, kind: &str, id: &dyn Display) -> Act {
        Act { target: Some(Target::new(kind, id)), ..self.does(action) }
    }
}

/// What an action has come to.
#[derive(Debug)]
pub(crate) struct Acted<T> {
    /// What is answered.
    pub(crate) answer: T,
    /// How many things it has changed; none if all was so already.
    pub(crate) count: u64,
}

/// Acts, with an entry in the audit that is written before anything is done and completed afterwards. If it cannot be written nothing is
/// done. The action goes on to its end although the client goes away.
pub(crate) async fn audited<T: Send + 'static>(
    app: &App,
    act: Act,
    action: impl Future<Output = Result<Acted<T>, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let acting = noted(app.clone(), act, action).in_current_span();
    app.tasks.spawn(acting).await.map_err(Problem::internal)?
}

/// The same for an action that goes on after this: its entry, which `action` is given, is completed by whoever ends it. It is completed
/// here only if the action does not begin.
pub(crate) async fn audited_later<T: Send + 'static, F>(
    app: &App,
    act: Act,
    action: impl FnOnce(AuditId) -> F + Send + 'static,
) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let of = app.clone();
    let beginning = async move {
        let (name, by) = (act.action, act.by.name.clone());
        let entry = of.store.audit().begin(act).await?;
        let begun = action(entry).await;
        tracing::info!(action = name, by, audit = %entry, begun = begun.is_ok(), "an admin acts");
        if let Err(problem) = &begun {
            end(&of, entry, &AuditOutcome::Failed { reason: problem.detail().to_owned() }).await;
        }
        begun
    };
    app.tasks.spawn(beginning.in_current_span()).await.map_err(Problem::internal)?
}

async fn end(app: &App, entry: AuditId, outcome: &AuditOutcome) {
    if let Err(error) = app.store.audit().end(entry, outcome).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(audit = %entry, error, "an entry of the audit stays without its outcome");
    }
}

async fn noted<T>(app: App, act: Act, action: impl Future<Output = Result<Acted<T>, Problem>>) -> Result<T, Problem> {
    let (name, by) = (act.action, act.by.name.clone());
    let entry = app.store.audit().begin(act).await?;
    let acted = action.await;
    let outcome = match &acted {
        Ok(Acted { count, .. }) => AuditOutcome::Done { count: *count },
        Err(problem) => AuditOutcome::Failed { reason: problem.detail().to_owned() },
    };
    tracing::info!(action = name, by, audit = %entry, ?outcome, "an admin has acted");
    end(&app, entry, &outcome).await;
    acted.map(|acted| acted.answer)
}
