//! Databases as chai-backend leaves them, blemishes included.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};

/// Documents that are inserted at once.
const CHUNK: usize = 10_000;

/// What a database was filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    pub users: usize,
    /// Pairs of subscriber and channel, each counted once.
    pub pairs: usize,
    /// Subscriptions of a pair that stands there already.
    pub duplicates: usize,
    /// Subscriptions whose channel or subscriber does not exist.
    pub dangling: usize,
    /// Users whose email address has capital letters …
    pub mixed_case: usize,
    /// … and those of them whose address in small letters is another user's.
    pub taken: usize,
}

/// Fills the collections `users` and `subscriptions` as chai-backend does. The same numbers give the same subscriptions. Every
/// user subscribes to the first one.
pub async fn fill(database: &Database, users: usize, subscriptions: usize) -> mongodb::error::Result<Filled> {
    let mut filled = Filled { users, ..Filled::default() };
    let ids: Vec<ObjectId> = (0..users).map(|_| ObjectId::new()).collect();
    let mut inserter = Inserter { collection: database.collection("users"), waiting: Vec::new() };
    for (number, id) in ids.iter().enumerate() {
        let email = match number % 100 {
            // Also the address of the one before, as far as people can tell.
            1 if number % 1000 == 1 => format!("USER{}@example.com", number - 1),
            1 => format!("User{number}@Example.com"),
            _ => format!("user{number}@example.com"),
        };
        filled.mixed_case += usize::from(number % 100 == 1);
        filled.taken += usize::from(number % 1000 == 1);
        let now = DateTime::now();
        inserter
            .push(doc! {
                "_id": id, "username": format!("user{number}"), "email": email, "fullName": format!("User {number}"),
                "avatar": "http://res.example.com/a.png", "coverImage": "", "watchHistory": [], "password": "",
                "createdAt": now, "updatedAt": now, "__v": 0,
            })
            .await?;
    }
    inserter.flush().await?;

    let mut inserter = Inserter { collection: database.collection("subscriptions"), waiting: Vec::new() };
    for number in 0..subscriptions {
        let (turn, subscriber) = (number / users, number % users);
        let channel = if turn == 0 { 0 } else { 1 + (turn * 7919 + subscriber) % (users - 1) };
        let (mut from, mut to) = (ids[subscriber], ids[channel]);
        match number % 1000 {
            7 => from = ObjectId::new(),
            8 => to = ObjectId::new(),
            _ => {}
        }
        filled.dangling += usize::from(matches!(number % 1000, 7 | 8));
        filled.pairs += 1;
        inserter.push(subscription(from, to)).await?;
        if number % 500 == 5 {
            filled.duplicates += 1;
            inserter.push(subscription(from, to)).await?;
        }
    }
    inserter.flush().await?;
    Ok(filled)
}

fn subscription(subscriber: ObjectId, channel: ObjectId) -> Document {
    let now = DateTime::now();
    doc! { "subscriber": subscriber, "channel": channel, "createdAt": now, "updatedAt": now, "__v": 0 }
}

/// Subscribes so many people to a channel, none of whom is a user: enough for counting.
pub async fn subscribe_strangers(database: &Database, channel: ObjectId, count: usize) -> mongodb::error::Result<()> {
    let mut inserter = Inserter { collection: database.collection("subscriptions"), waiting: Vec::new() };
    for _ in 0..count {
        inserter.push(subscription(ObjectId::new(), channel)).await?;
    }
    inserter.flush().await
}

struct Inserter {
    collection: Collection<Document>,
    waiting: Vec<Document>,
}

impl Inserter {
    async fn push(&mut self, document: Document) -> mongodb::error::Result<()> {
        self.waiting.push(document);
        if self.waiting.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> mongodb::error::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.collection.insert_many(waiting).ordered(false).await?;
        }
        Ok(())
    }
}
