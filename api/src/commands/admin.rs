//! `api admin`: who is an admin.

use messages::UserId;
use store::{Act, Actor, AdminRole, AuditOutcome, Store, Target};

use super::line;
use crate::Error;

/// Users who may see and steer what is everybody's.
#[derive(Debug, clap::Subcommand)]
pub enum Admin {
    /// Make a user an admin, or give an admin another role, from their next request on
    Grant {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        /// They may look at everything and change nothing
        #[arg(long)]
        read_only: bool,
    },
    /// Make an admin a user as any other, from their next request on
    Revoke {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// All admins: role, id, name
    List,
}

impl Admin {
    pub(super) async fn run(self, store: &Store) -> Result<(), Error> {
        match self {
            Self::Grant { name, read_only } => {
                let role = if read_only { AdminRole::ReadOnly } else { AdminRole::Full };
                audited(store, "admin.grant", &name, Some(role)).await?;
                line(&format!("{name} is an admin: {}", role.as_str()))
            }
            Self::Revoke { name } => {
                audited(store, "admin.revoke", &name, None).await?;
                line(&format!("{name} is no admin"))
            }
            Self::List => {
                for admin in store.users().admins().await? {
                    line(&format!("{}  {}  {}", admin.role.as_str(), admin.id, admin.username))?;
                }
                Ok(())
            }
        }
    }
}

/// Changes a user's role, with an entry in the audit that is there before anything is changed.
async fn audited(store: &Store, action: &'static str, name: &str, role: Option<AdminRole>) -> Result<(), Error> {
    let unknown = || Error::NoSuchUser { name: name.to_owned() };
    // Before the entry, which is of no use for a slip of the finger.
    let user = store.users().by_name(name).await?.ok_or_else(unknown)?;
    let detail = match role {
        Some(role) => format!("{name}: {}", role.as_str()),
        None => name.to_owned(),
    };
    let target = Some(Target::new("user", &user));
    let act = Act { by: Actor::command_line(), from: None, action, target, detail: Some(detail) };
    let entry = store.audit().begin(act).await?;
    let changed = change(store, name, role).await;
    let outcome = match &changed {
        Ok(Some(_)) => AuditOutcome::Done { count: 1 },
        Ok(None) => AuditOutcome::Failed { reason: "nobody has that name".to_owned() },
        Err(error) => AuditOutcome::Failed { reason: error.to_string() },
    };
    store.audit().end(entry, &outcome).await?;
    changed?.map(|_| ()).ok_or_else(unknown)
}

async fn change(store: &Store, name: &str, role: Option<AdminRole>) -> Result<Option<UserId>, store::Error> {
    match role {
        Some(role) => store.users().grant_admin(name, role).await,
        None => store.users().revoke_admin(name).await,
    }
}
