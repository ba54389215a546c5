//! Telling workers something, and taking it back.

use serde::{Deserialize, Serialize};
use store::{Control, Controlled, MAX_PAUSED_USERS, Steered};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::super::audited::{Acted, By, audited};
use crate::http::response::iso;
use crate::http::{Problem, ProblemKind};
use crate::state::App;

/// Characters of a reason.
const MAX_WHY: usize = 500;

/// Why something is told.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ControlForm)]
pub(crate) struct ControlForm {
    /// For others who look, at most 500 characters.
    #[serde(default)]
    #[schema(default = "", max_length = 500, example = "a deploy of the media host")]
    pub(crate) why: String,
}

/// What somebody told workers.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Control)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ControlView {
    /// Who told it.
    pub(crate) by: String,
    /// Why; empty if they did not say.
    pub(crate) why: String,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
}

impl ControlView {
    pub(crate) fn new(control: &Control) -> Self {
        Self { by: control.by.clone(), why: control.why.clone(), at: control.at }
    }
}

/// What came of telling workers something, or of taking it back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Steered)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SteeredView {
    /// The queue, the user or the worker.
    #[schema(example = "media.upload")]
    pub(crate) name: String,
    /// Whether this call has changed anything: a second one does not.
    pub(crate) changed: bool,
    /// What holds now; null if nothing does. Workers obey within a few seconds.
    #[schema(required)]
    pub(crate) control: Option<ControlView>,
}

/// Tells workers something, once.
pub(crate) async fn set(
    app: &App,
    by: &By,
    action: &'static str,
    what: Controlled,
    name: &str,
    ControlForm { why }: ControlForm,
) -> Result<SteeredView, Problem> {
    let why = why.trim().to_owned();
    if why.chars().count() > MAX_WHY {
        return Err(Problem::invalid("why", format!("must be at most {MAX_WHY} characters")));
    }
    let mut act = act(by, action, &what);
    act.detail = Some(if why.is_empty() { name.to_owned() } else { format!("{name}: {why}") });
    let (store, teller, name) = (app.store.clone(), by.name().to_owned(), name.to_owned());
    audited(app, act, async move {
        let changed = match store.controls().set(&what, &name, &teller, &why).await? {
            Steered::Done => true,
            Steered::AlreadySo => false,
            Steered::TooMany => {
                let refusal = format!("{MAX_PAUSED_USERS} users are paused, and no more can be: resume others first");
                return Err(Problem::new(ProblemKind::Conflict, refusal));
            }
        };
        let control = store.controls().find(&what).await?;
        let control = control.as_ref().map(ControlView::new);
        Ok(Acted { answer: SteeredView { name, changed, control }, count: u64::from(changed) })
    })
    .await
}

/// Takes back what workers were told. Jobs of a user go on at once.
pub(crate) async fn lift(
    app: &App,
    by: &By,
    action: &'static str,
    what: Controlled,
    name: &str,
) -> Result<SteeredView, Problem> {
    let mut act = act(by, action, &what);
    act.detail = Some(name.to_owned());
    let (store, name) = (app.store.clone(), name.to_owned());
    audited(app, act, async move {
        let changed = store.controls().lift(&what).await?;
        if let Controlled::User(user) = what {
            // Also of one who is not paused any more: whoever resumed them may have stopped halfway.
            store.jobs().resume_held(user).await?;
        }
        Ok(Acted { answer: SteeredView { name, changed, control: None }, count: u64::from(changed) })
    })
    .await
}

fn act(by: &By, action: &'static str, what: &Controlled) -> store::Act {
    match what {
        Controlled::Queue(name) => by.does_to(action, "queue", name),
        Controlled::User(id) => by.does_to(action, "user", id),
        Controlled::Worker(name) => by.does_to(action, "worker", name),
    }
}
