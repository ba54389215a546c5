//! Everything Steep keeps in MongoDB: users, assets, jobs, and the rules by which they change together.
//!
//! Methods are verbs of the domain; documents and queries stay inside. Each change that belongs together is one transaction
//! with majority, journaled write concern, so what a method answered is what a crash leaves behind. Every method is bounded
//! in time. Every change of a job is conditional: made a second time, it finds that it was made and does nothing.
//!
//! The collections of chai-backend (`users`, `subscriptions`) are read in place: our own state lives in a field (`steep`) and in
//! collections (`assets`, `jobs`, `sessions`, ...) of our own, and no migration is needed to start.

mod adoption;
mod audit;
mod batching;
mod bulk;
mod channels;
mod clock;
mod codec;
mod config;
mod connection;
mod controls;
mod counters;
mod error;
mod error_groups;
mod events;
mod gauges;
mod idempotency;
mod indexes;
mod jobs;
mod look_up;
mod media;
mod operator;
mod rollups;
mod spans;
mod transaction;
mod users;
mod webhooks;
mod workers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Document, Uuid, doc};
use futures_util::TryStreamExt;
use messages::{AssetId, SessionId, UserId};
use mongodb::IndexModel;
use time::OffsetDateTime;

use crate::channels::subscribers::SUBSCRIBERS;
use crate::connection::{Connection, Documents};

pub use adoption::{Adopting, Adoption, Finding};
pub use audit::{Act, Actor, Audit, AuditEntry, AuditId, AuditOutcome, AuditPage, AuditPosition, Target};
pub use bulk::{Batch, Bulk, BulkAction, BulkDecision, BulkPage, BulkPosition, BulkState, NewBulkAction, Step};
pub use channels::{
    Channel, Channels, Counts, Listed, Position, Profile, Standing, Subscription, SubscriptionPage, Wish, subscribers,
};
pub use config::Config;
pub use controls::{Control, Controlled, Controls, MAX_PAUSED_USERS, Orders, Steered};
pub use counters::{
    Checked, Counter, CounterKey, Counters, Drift, LastDrift, Numbers, Pace, Reconciliation, Recount, Waiting,
};
pub use error::{Error, Field};
pub use error_groups::{
    ErrorExample, ErrorGroup, ErrorGroupId, ErrorGroupPage, ErrorGroupPosition, ErrorGroups, NoErrorGroupId,
};
pub use events::Events;
pub use gauges::Gauges;
pub use idempotency::{Idempotency, IdempotencyKey, StoredAnswer};
pub use jobs::{
    Around, Attempt, AttemptOutcome, Behind, CancelReason, CatchUp, Change, Changed, Claim, ClaimRequest, Claimed,
    Counted, Discard, DiscardCode, Due, End, FailureCode, Feed, Fence, JobEvent, JobFilter, JobPage, JobPosition,
    JobRecord, JobState, Jobs, Line, Outcome, QueueAge, Record, Rescue, Retry, Search, SearchPage, Settle, TRANSITIONS,
    UploadPosition, UploadProgress, UploadSource,
};
pub use look_up::LookedUp;
pub use media::{
    Accepted, Asset, AssetState, Cancel, CancelRefusal, Cancelled, Failed, Incarnation, Media, MediaChange, MediaType,
    NewUpload, Notice, Noticed, Page, Published, Redrive, Refusal, ResourceType, Role, Spooled, StoredMedia, public_id,
};
pub use operator::{Decided, Operator, Refused, Retried};
pub use rollups::{COUNTED_WAITING, Ended, Latencies, Made, Rollup, Rollups, Snapshot, Stretch, WaitingIn, Window};
pub use users::{
    Admin, AdminRole, Credentials, Failure, Hits, Image, MAX_BCRYPT_COST, MAX_SESSIONS, NewSession, NewUser,
    PasswordHash, PasswordVersion, RateLimits, Renewal, Rotation, Session, Sessions, TokenHash, User, Users,
    normalised,
};
pub use webhooks::{
    ANY_EVENT, Delivery, DeliveryAttempt, DeliveryPage, DeliveryState, Disabled, Endpoint, EndpointChanges,
    EndpointPage, EndpointPosition, HappenedEvent, Holder, MAX_ENDPOINTS, NewEndpoint, RangeReplay, Recipient, Replay,
    Tried, Webhooks,
};
pub use workers::{RunningJob, Sign, SlotsOf, SpoolFill, Worker, WorkerPage, WorkerPosition, WorkerState, Workers};

/// How long a write may take that changes nothing.
const WRITE: Duration = Duration::from_secs(2);
/// How long saying goodbye may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Everything that is counted.
const COUNTERS: &[&Counter] = &[&SUBSCRIBERS];

/// The database. Cheap to clone; clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct Store(Arc<Families>);

struct Families {
    connection: Connection,
    events: Events,
    error_groups: ErrorGroups,
    idempotency: Idempotency,
    jobs: Jobs,
    users: Users,
    sessions: Sessions,
    rate_limits: RateLimits,
    media: Media,
    counters: Counters,
    channels: Channels,
    adoption: Adoption,
    audit: Audit,
    webhooks: Webhooks,
    workers: Workers,
    controls: Controls,
    rollups: Rollups,
    operator: Operator,
    bulk: Bulk,
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

/// A new id for an asset: 96 random bits, because whoever knows its address may look, and its name at Cloudinary is made of
/// it. It tells nothing of when it was made or of any other. The caller chooses it, because the asset's address is needed
/// before the asset is written.
pub fn new_asset_id() -> AssetId {
    // Version and variant of a random UUID are in the four bytes in its middle.
    let [a, b, c, d, e, f, _, _, _, _, g, h, i, j, k, l] = Uuid::new().bytes();
    AssetId::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l])
}

/// A new id for a user. No secret: it tells when it was made, and the next ones can be guessed.
pub fn new_user_id() -> UserId {
    UserId::from_bytes(ObjectId::new().bytes())
}

/// A new id for a session. No secret, as a user's. The caller chooses it, because the session's first token names it.
pub fn new_session_id() -> SessionId {
    SessionId::from_bytes(ObjectId::new().bytes())
}

impl Store {
    /// Prepares a connection. No server is asked yet but for the seed list of a `mongodb+srv` address, so a database that is away
    /// shows at the first call, as [`Error::Unavailable`], and every call connects anew by itself.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let connection = Connection::connect(config).await?;
        let idempotency = Idempotency::new(&connection);
        let events = Events::new(&connection);
        let error_groups = ErrorGroups::new(&connection);
        let jobs = Jobs::new(&connection, &events, &error_groups);
        let users = Users::new(&connection);
        let media = Media::new(&jobs, &users, &idempotency);
        let counters = Counters::new(&jobs, COUNTERS);
        let channels = Channels::new(&users, &counters);
        let webhooks = Webhooks::new(&jobs);
        let audit = Audit::new(&connection);
        let bulk = Bulk::new(&jobs, &media, &audit);
        Ok(Self(Arc::new(Families {
            sessions: Sessions::new(&users),
            rate_limits: RateLimits::new(&connection),
            adoption: Adoption::new(&channels),
            workers: Workers::new(&connection),
            controls: Controls::new(&connection),
            rollups: Rollups::new(&jobs, &counters),
            operator: Operator::new(&media, &webhooks, &bulk, &jobs),
            audit,
            bulk,
            webhooks,
            connection,
            events,
            error_groups,
            idempotency,
            jobs,
            users,
            media,
            counters,
            channels,
        })))
    }

    pub fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    pub fn events(&self) -> &Events {
        &self.0.events
    }

    pub fn error_groups(&self) -> &ErrorGroups {
        &self.0.error_groups
    }

    pub fn users(&self) -> &Users {
        &self.0.users
    }

    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub fn rate_limits(&self) -> &RateLimits {
        &self.0.rate_limits
    }

    pub fn media(&self) -> &Media {
        &self.0.media
    }

    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub fn channels(&self) -> &Channels {
        &self.0.channels
    }

    pub fn idempotency(&self) -> &Idempotency {
        &self.0.idempotency
    }

    pub fn adoption(&self) -> &Adoption {
        &self.0.adoption
    }

    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    pub fn bulk(&self) -> &Bulk {
        &self.0.bulk
    }

    pub fn operator(&self) -> &Operator {
        &self.0.operator
    }

    pub fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    pub fn workers(&self) -> &Workers {
        &self.0.workers
    }

    pub fn controls(&self) -> &Controls {
        &self.0.controls
    }

    pub fn rollups(&self) -> &Rollups {
        &self.0.rollups
    }

    /// Makes the indexes that are missing. Any number of processes may do so at once. An index that the data does not allow
    /// (two adopted users with one email address) is left out with a warning in the log.
    pub async fn ensure_indexes(&self) -> Result<(), Error> {
        let families = &self.0;
        let wanted = [
            families.users.indexes(),
            families.media.indexes(),
            families.jobs.indexes(),
            families.error_groups.indexes(),
            families.events.indexes(),
            families.idempotency.indexes(),
            families.rate_limits.indexes(),
            families.sessions.indexes(),
            families.counters.indexes(),
            families.channels.indexes(),
            families.webhooks.indexes(),
            families.audit.indexes(),
            families.workers.indexes(),
            families.rollups.indexes(),
            families.bulk.indexes(),
        ];
        let mut collections: BTreeMap<String, (Documents, Vec<IndexModel>)> = BTreeMap::new();
        for (documents, index) in wanted.into_iter().flatten() {
            let of_one = collections.entry(documents.name().to_owned()).or_insert_with(|| (documents, Vec::new()));
            of_one.1.push(index);
        }
        for (documents, indexes) in collections.into_values() {
            indexes::ensure(&documents, indexes).await?;
        }
        Ok(())
    }

    /// Asks the primary for a sign of life, and for its time: a program that runs for long does so every few seconds.
    pub async fn ping(&self) -> Result<(), Error> {
        self.0.connection.ping().await
    }

    /// The time by the server's clock, or a little less; whatever is compared with what another process wrote is compared with
    /// this. Asks the server only if it has never been asked.
    pub async fn now(&self) -> Result<OffsetDateTime, Error> {
        self.0.connection.now().await.map(Into::into)
    }

    /// By how much this machine's clock is ahead of the server's, milliseconds, as far as that is certain; less than nothing when
    /// it is behind. `None`: the server has not answered yet.
    pub fn clock_offset(&self) -> Option<i64> {
        self.0.connection.clock().offset()
    }

    /// Asks the primary for a write that changes nothing: it waits for the same locks and the same majority as any other, and
    /// leaves no trace. A database that answers [`Store::ping`] may take none, while it is locked for a backup for instance.
    pub async fn takes_writes(&self) -> Result<(), Error> {
        let nothing = doc! { "_id": "nobody's" };
        let update = doc! { "$unset": { "none": "" } };
        // The server stops waiting too, so that those who ask do not pile up behind a lock.
        let write = self.0.jobs.documents.find_one_and_update(nothing, update).max_time(WRITE);
        self.0.connection.bounded(write).await?;
        Ok(())
    }

    /// Closes the connections and ends what the server keeps for this program; every later call fails. A program that ends
    /// without it leaves that to a task of the driver, which panics if the runtime is gone before it.
    ///
    /// Bounded in time: a database that is away finds out by itself.
    pub async fn close(&self) {
        let counting = self.0.error_groups.flush();
        let _ = tokio::time::timeout(CLOSING, counting).await;
        let closing = self.0.connection.client().clone().shutdown().immediate(true);
        if tokio::time::timeout(CLOSING, closing.into_future()).await.is_err() {
            tracing::debug!("mongodb does not answer while the program closes its connections");
        }
    }

    /// Aborts the transactions that a dead program left open: until then nobody else can write to what it wrote there, and
    /// the server by itself waits for a minute. Says how many there were. A program that is alive runs its own again.
    ///
    /// `application` is the name that the program told the server.
    pub async fn end_transactions_of(&self, application: &str) -> Result<usize, Error> {
        let connection = &self.0.connection;
        let admin = connection.client().database("admin");
        // Those of our own account, for which no right is needed.
        let open = [
            doc! { "$currentOp": { "idleSessions": true } },
            doc! { "$match": { "type": "idleSession", "appName": application, "transaction": { "$exists": true } } },
            doc! { "$project": { "_id": 0, "id": "$lsid.id" } },
        ];
        let open: Vec<Document> =
            connection.bounded(async { admin.aggregate(open).await?.try_collect().await }).await?;
        if !open.is_empty() {
            connection.bounded(admin.run_command(doc! { "killSessions": open.as_slice() })).await?;
        }
        Ok(open.len())
    }

    /// Drops the database. For tests.
    #[doc(hidden)]
    pub async fn drop_database(&self) -> Result<(), Error> {
        self.0.connection.bounded(self.0.connection.database().drop()).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// ObjectIds of one process have nine bytes in common within a few minutes.
    #[test]
    fn nobody_can_tell_an_assets_id_from_another_one() {
        let ids: Vec<[u8; 12]> = (0..256).map(|_| new_asset_id().bytes()).collect();
        for place in 0..12 {
            let values: BTreeSet<u8> = ids.iter().filter_map(|id| id.get(place).copied()).collect();
            assert!(values.len() > 100, "byte {place} of 256 ids has {} values", values.len());
        }
    }
}
