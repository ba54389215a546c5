//! Users who are signed in without a password being hashed.

use std::time::Duration;

use anyhow::Context;
use api::AccessTokens;
use messages::SessionId;
use mongodb::bson::{Document, doc, oid::ObjectId};
use secrecy::SecretString;
use store::{NewSession, NewUser, PasswordHash, Renewal, Session, Store, TokenHash, User};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ACCESS_TOKEN_SECRET;

/// What signs the access tokens of every API in a test.
pub fn access_tokens() -> AccessTokens {
    AccessTokens::new(&SecretString::from(ACCESS_TOKEN_SECRET), None, Duration::from_secs(3600))
}

/// Somebody of this name, whose password has this hash.
pub fn new_user(name: &str, hash: &str) -> NewUser {
    NewUser {
        id: store::new_user_id(),
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        full_name: "Test User".to_owned(),
        password_hash: PasswordHash::from(hash.to_owned()),
    }
}

/// Begins a session for a user, whose refresh token nobody has.
pub async fn session_of(store: &Store, user: &User) -> anyhow::Result<Session> {
    let known = store.users().find_credentials(user.id).await?.context("no such user")?;
    let mut token = [0; 32];
    token[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    let renewal = Renewal {
        token: TokenHash::from_bytes(token),
        lifetime: Duration::from_secs(3600),
        max_age: Duration::from_secs(3600),
        user_agent: "testkit".to_owned(),
        address: "127.0.0.1".to_owned(),
    };
    let new = NewSession { id: store::new_session_id(), user: user.id, renewal };
    store.sessions().begin(new, known.version).await?.context("the password was changed")
}

/// Many users, with the access token of each. They never sign in: hashing thousands of passwords is not what is measured.
pub async fn make_users(store: &Store, database: &mongodb::Database, count: usize) -> anyhow::Result<Vec<String>> {
    const AT_ONCE: usize = 16;
    let (tokens, session) = (access_tokens(), ObjectId::new());
    let now = store.now().await?;
    let session_ends = now + Duration::from_secs(3600);
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let (store, tokens) = (store.clone(), tokens.clone());
        tasks.spawn(async move {
            let mut made = Vec::new();
            for number in (first..count).step_by(AT_ONCE) {
                let user = new_user(&format!("user{number}"), "");
                let accepted = store.media().register(user, Vec::new(), None, None).await?;
                made.push(tokens.issue(&accepted.user, SessionId::from_bytes(session.bytes()), session_ends, now)?);
            }
            anyhow::Ok(made)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(made) = tasks.join_next().await {
        all.extend(made??);
    }
    // One session for all of them: only that it is on the list matters to a request.
    let listed = doc! { "$set": { "steep.sessions": [session] } };
    database.collection::<Document>("users").update_many(doc! {}, listed).await?;
    Ok(all)
}
