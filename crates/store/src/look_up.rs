//! What a text is that somebody has met in a log, a message or a list.

use messages::{AssetId, JobId, UserId};

use crate::{Error, ErrorGroupId, Store};

/// Characters of the longest text that can be anything.
const LONGEST: usize = 200;

/// Something with this id or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    Job(JobId),
    Asset(AssetId),
    User { id: UserId, username: String },
    ErrorGroup(ErrorGroupId),
}

impl Store {
    /// What there is with this id or name: a job, an asset, a user or a group of errors by its id, a user by their name. Nothing, if
    /// nothing has it, and several only by a strange chance.
    pub async fn look_up(&self, text: &str) -> Result<Vec<LookedUp>, Error> {
        let text = text.trim();
        let mut found = Vec::new();
        if text.is_empty() || text.chars().count() > LONGEST {
            return Ok(found);
        }
        if let Ok(id) = text.parse::<JobId>()
            && self.jobs().find(id).await?.is_some()
        {
            found.push(LookedUp::Job(id));
        }
        if let Ok(id) = text.parse::<AssetId>()
            && self.media().find(id).await?.is_some()
        {
            found.push(LookedUp::Asset(id));
        }
        if let Ok(id) = text.parse::<ErrorGroupId>()
            && self.error_groups().find(id).await?.is_some()
        {
            found.push(LookedUp::ErrorGroup(id));
        }
        let mut users = Vec::new();
        users.extend(text.parse::<UserId>().ok());
        users.extend(self.users().by_name(text).await?);
        let users = if users.is_empty() { Vec::new() } else { self.users().find_all(&users).await? };
        found.extend(users.into_iter().map(|user| LookedUp::User { id: user.id, username: user.username }));
        Ok(found)
    }
}
