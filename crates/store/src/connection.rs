//! The connection.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::RawDocumentBuf;
use bson::oid::ObjectId;
use messages::{AssetId, SessionId, UserId};
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, SelectionCriteria, ServerMonitoringMode, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use secrecy::ExposeSecret;

use crate::batching::group_commit::GroupCommit;
use crate::batching::reads::{BatchedReads, LookUps};
use crate::users::username_cache::UsernameCache;
use crate::{Config, Error};

/// Documents are read and written as bytes and decoded here, so that a malformed one is reported by its id.
pub(crate) type Documents = Collection<RawDocumentBuf>;

/// How long saying goodbye may take.
const CLOSING: Duration = Duration::from_secs(2);

/// The database. Cheap to clone; clones share one connection pool.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    client: Client,
    database: Database,
    users: Documents,
    reads: BatchedReads,
    assets: Documents,
    jobs: Documents,
    job_notes: Documents,
    answers: Documents,
    sessions: Documents,
    attempts: Documents,
    subscriptions: Documents,
    intents: Documents,
    reported_kinds: Mutex<BTreeSet<String>>,
    group_commit: GroupCommit,
    usernames: UsernameCache,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.inner.database.name()).finish_non_exhaustive()
    }
}

/// The driver's own checks of an address. Waiting mends none of what they refuse, but for a name server that is away.
fn refused(error: mongodb::error::Error) -> Error {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::InvalidArgument { .. } | mongodb::error::ErrorKind::InvalidTlsConfig { .. } => {
            crate::config::malformed_uri()
        }
        _ => error.into(),
    }
}

/// A new id for an asset. The caller chooses it, because the asset's address is needed before the asset is written.
pub fn new_asset_id() -> AssetId {
    AssetId::from_bytes(ObjectId::new().bytes())
}

/// A new id for a user.
pub fn new_user_id() -> UserId {
    UserId::from_bytes(ObjectId::new().bytes())
}

/// A new id for a session. The caller chooses it, because the session's first token names it.
pub fn new_session_id() -> SessionId {
    SessionId::from_bytes(ObjectId::new().bytes())
}

impl Store {
    /// Prepares a connection. No server is asked for yet, so a database that is away shows at the first call, as
    /// [`Error::Unavailable`], and every call connects anew by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address cannot work, [`Error::Unavailable`] when the seed list of a `mongodb+srv` address
    /// cannot be resolved.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let parsing = ClientOptions::parse(config.uri.expose_secret());
        let options =
            tokio::time::timeout(config.timeout, parsing).await.map_err(|_| Error::timed_out(config.timeout))?;
        let mut options = options.map_err(refused)?;
        options.app_name = Some(config.application.clone());
        options.server_selection_timeout = Some(config.timeout / 2);
        options.connect_timeout = Some(config.timeout / 2);
        options.max_pool_size.get_or_insert(100);
        options.max_connecting.get_or_insert(8);
        options.server_monitoring_mode.get_or_insert(ServerMonitoringMode::Auto);
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary));
        // The server's own, local. Any that is named here goes before what a session wants, and the reads of a snapshot would be
        // of as many moments.
        options.read_concern = None;
        options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
        options.default_database.get_or_insert_with(|| config.database.clone());
        let client = Client::with_options(options).map_err(refused)?;
        let database = client.database(&config.database);
        let note = CollectionOptions::builder().write_concern(WriteConcern::nodes(1)).build();
        Ok(Self {
            inner: Arc::new(Inner {
                config: config.clone(),
                reads: BatchedReads::start(database.collection("users"), database.collection("subscriptions")),
                users: database.collection("users"),
                assets: database.collection("assets"),
                jobs: database.collection("jobs"),
                job_notes: database.collection_with_options("jobs", note.clone()),
                answers: database.collection("idempotency"),
                sessions: database.collection("sessions"),
                attempts: database.collection_with_options("attempts", note),
                subscriptions: database.collection("subscriptions"),
                intents: database.collection("subscription_intents"),
                client,
                database,
                reported_kinds: Mutex::default(),
                group_commit: GroupCommit::new(),
                usernames: UsernameCache::default(),
            }),
        })
    }

    /// Asks the primary for a sign of life.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.bounded(self.inner.database.run_command(bson::doc! { "ping": 1 })).await?;
        Ok(())
    }

    /// Ends what the server keeps for this program and closes the connections, once nothing else is going on; every later call fails.
    /// A program that ends without it leaves that to a task of the driver, which panics if the runtime is gone before it.
    ///
    /// Bounded in time: a database that is away finds out by itself.
    pub async fn close(&self) {
        let closing = self.inner.client.clone().shutdown().immediate(true);
        if tokio::time::timeout(CLOSING, closing.into_future()).await.is_err() {
            tracing::debug!("mongodb does not say goodbye");
        }
    }

    /// Drops the database. For tests.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    #[doc(hidden)]
    pub async fn drop_database(&self) -> Result<(), Error> {
        self.bounded(self.inner.database.drop()).await
    }

    /// Awaits an operation for as long as a call may take.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, Error> {
        let timeout = self.inner.config.timeout;
        let done = tokio::time::timeout(timeout, operation.into_future()).await;
        Ok(done.map_err(|_| Error::timed_out(timeout))??)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn users(&self) -> &Documents {
        &self.inner.users
    }

    /// Looks a document up together with others that are wanted at the same time.
    pub(crate) async fn look_up<K: Clone + Ord + Hash + Send + Sync + 'static>(
        &self,
        look_ups: fn(&BatchedReads) -> &LookUps<K>,
        key: K,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        Ok(self.look_up_all(look_ups, vec![key]).await?.pop().flatten())
    }

    /// Looks documents up in one query, and in their order.
    pub(crate) async fn look_up_all<K: Clone + Ord + Hash + Send + Sync + 'static>(
        &self,
        look_ups: fn(&BatchedReads) -> &LookUps<K>,
        keys: Vec<K>,
    ) -> Result<Vec<Option<RawDocumentBuf>>, Error> {
        let look_up = look_ups(&self.inner.reads).find(keys);
        let found = self.bounded(async { Ok(look_up.await) }).await?;
        let found = found.ok_or_else(|| Error::Unavailable("the program is ending".into()))?;
        Ok(found?)
    }

    /// Which user had a name when it was looked up last. A name is not kept for ever, and who has it is asked every time.
    pub(crate) fn usernames(&self) -> &UsernameCache {
        &self.inner.usernames
    }

    pub(crate) fn assets(&self) -> &Documents {
        &self.inner.assets
    }

    pub(crate) fn jobs(&self) -> &Documents {
        &self.inner.jobs
    }

    /// The jobs, for notes whose loss in a failover only costs a repetition: written without waiting for a majority.
    pub(crate) fn job_notes(&self) -> &Documents {
        &self.inner.job_notes
    }

    pub(crate) fn answers(&self) -> &Documents {
        &self.inner.answers
    }

    pub(crate) fn group_commit(&self) -> &GroupCommit {
        &self.inner.group_commit
    }

    pub(crate) fn sessions(&self) -> &Documents {
        &self.inner.sessions
    }

    /// Counts of attempts. Losing some in a failover lets somebody try a little more often, so they wait for no majority.
    pub(crate) fn attempts(&self) -> &Documents {
        &self.inner.attempts
    }

    pub(crate) fn subscriptions(&self) -> &Documents {
        &self.inner.subscriptions
    }

    /// Changes of subscriptions that no stored count has in it yet.
    pub(crate) fn intents(&self) -> &Documents {
        &self.inner.intents
    }

    /// Whether a kind of job is met for the first time, to report it once.
    pub(crate) fn first_sighting(&self, kind: &str) -> bool {
        self.inner.reported_kinds.lock().is_ok_and(|mut kinds| kinds.len() < 1000 && kinds.insert(kind.to_owned()))
    }
}
