//! Admins: users who may see, and perhaps steer, what is everybody's. Whoever runs the system makes them so on the command line;
//! nothing that a client asks does.

use bson::{Bson, Document, RawDocumentBuf, doc};
use messages::UserId;
use serde::Deserialize;

use super::Users;
use crate::Error;
use crate::codec::{decode, object_id};

/// What an admin may do. The names are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminRole {
    /// See everything.
    ReadOnly,
    /// And change it.
    Full,
}

impl AdminRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Full => "full",
        }
    }

    /// What is stored of a user. A role that this version does not know is none.
    pub(super) fn read(stored: Option<&Bson>) -> Option<Self> {
        match stored?.as_str()? {
            "full" => Some(Self::Full),
            "read-only" => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

/// A user who is an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub id: UserId,
    pub username: String,
    pub role: AdminRole,
}

#[derive(Deserialize)]
struct AdminDocument {
    #[serde(rename = "_id")]
    id: bson::oid::ObjectId,
    username: Option<String>,
    steep: SteepDocument,
}

#[derive(Deserialize)]
struct SteepDocument {
    admin: Option<Bson>,
}

impl Users {
    /// Makes a user an admin, or gives an admin another role, from their next request on. `None`: nobody has that name. A second call
    /// changes nothing.
    pub async fn grant_admin(&self, username: &str, role: AdminRole) -> Result<Option<UserId>, Error> {
        // Not a plain $set, which cannot make a field in one that is null.
        self.change_admin(username, doc! { "$set": { "steep.admin": { "$literal": role.as_str() } } }).await
    }

    /// Makes an admin a user as any other, from their next request on. `None`: nobody has that name. A second call changes nothing.
    pub async fn revoke_admin(&self, username: &str) -> Result<Option<UserId>, Error> {
        self.change_admin(username, doc! { "$unset": "steep.admin" }).await
    }

    async fn change_admin(&self, username: &str, change: Document) -> Result<Option<UserId>, Error> {
        let Some(user) = self.by_name(username).await? else { return Ok(None) };
        let changing = self.documents.update_one(doc! { "_id": object_id(user.bytes()) }, vec![change]);
        let changed = self.connection.bounded(changing).await?;
        Ok((changed.matched_count == 1).then_some(user))
    }

    /// All admins, in the order of their names.
    pub async fn admins(&self) -> Result<Vec<Admin>, Error> {
        let query = self.documents.find(doc! { "steep.admin": { "$exists": true } });
        let query = query.projection(doc! { "username": 1, "steep.admin": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let mut admins = Vec::new();
        for user in &found {
            let AdminDocument { id, username, steep } = decode("user", user)?;
            let Some(role) = AdminRole::read(steep.admin.as_ref()) else { continue };
            admins.push(Admin { id: UserId::from_bytes(id.bytes()), username: username.unwrap_or_default(), role });
        }
        admins.sort_by(|one, other| one.username.cmp(&other.username));
        Ok(admins)
    }
}
