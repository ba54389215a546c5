//! The connection, which knows no family of documents.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::error::ErrorKind;
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ReadPreference, SelectionCriteria, ServerMonitoringMode,
    WriteConcern,
};
use mongodb::{Client, ClientSession, Collection, Cursor, Database};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::codec::{milliseconds, whole};
use crate::config::malformed_uri;
use crate::error::MAX_TIME_EXPIRED;
use crate::{Config, Error};

/// Documents are read and written as bytes and decoded here, so that a malformed one is reported by its id.
pub(crate) type Documents = Collection<RawDocumentBuf>;

/// The client and what every family of documents needs of it. Clones share one pool of connections.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("database", &self.database().name()).finish_non_exhaustive()
    }
}

struct Inner {
    config: Config,
    client: Client,
    database: Database,
    clock: Clock,
}

/// The driver's own checks of an address. Waiting mends none of what they refuse, but for a name server that is away.
fn refused(error: mongodb::error::Error) -> Error {
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => malformed_uri(),
        _ => error.into(),
    }
}

impl Connection {
    pub(crate) async fn connect(config: &Config) -> Result<Self, Error> {
        let uri = config.uri.as_ref().ok_or_else(malformed_uri)?;
        let parsing = ClientOptions::parse(uri.expose_secret());
        let options =
            tokio::time::timeout(config.timeout, parsing).await.map_err(|_| Error::timed_out(config.timeout))?;
        let mut options = options.map_err(refused)?;
        options.app_name = Some(config.application.clone());
        options.server_selection_timeout = Some(config.timeout / 2);
        options.connect_timeout = Some(config.timeout / 2);
        options.max_pool_size.get_or_insert(100);
        options.max_connecting.get_or_insert(8);
        options.server_monitoring_mode.get_or_insert(ServerMonitoringMode::Auto);
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        // The server's own, local. Any that is named here goes before what a session wants, and the reads of a snapshot would be
        // of as many moments.
        options.read_concern = None;
        options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
        options.default_database.get_or_insert_with(|| config.database.clone());
        let client = Client::with_options(options).map_err(refused)?;
        let database = client.database(&config.database);
        Ok(Self(Arc::new(Inner { config: config.clone(), client, database, clock: Clock::default() })))
    }

    /// Asks the primary for a sign of life, and for its time.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let asked = Instant::now();
        // https://www.mongodb.com/docs/manual/reference/command/hello/
        let hello = self.bounded(self.database().run_command(doc! { "hello": 1 })).await?;
        if let Ok(shown) = hello.get_datetime("localTime") {
            // The one place that looks at our own clock, to tell how wrong it is.
            self.clock().learn(asked, *shown, DateTime::now());
        }
        Ok(())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The time by the server's clock, or a little less. Asks the server only if it has never been asked: whoever runs for long
    /// pings it.
    pub(crate) async fn now(&self) -> Result<DateTime, Error> {
        if let Some(now) = self.clock().now() {
            return Ok(now);
        }
        self.ping().await?;
        self.clock().now().ok_or_else(|| Error::Unavailable("the server does not say what time it is".into()))
    }

    /// Awaits an operation for as long as a call may take.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, Error> {
        let timeout = self.config().timeout;
        let done = tokio::time::timeout(timeout, operation.into_future()).await;
        Ok(done.map_err(|_| Error::timed_out(timeout))??)
    }

    /// All that a query finds.
    pub(crate) async fn collect<T: DeserializeOwned>(
        &self,
        query: impl IntoFuture<Output = mongodb::error::Result<Cursor<T>>>,
    ) -> Result<Vec<T>, Error> {
        self.bounded(async { query.await?.try_collect().await }).await
    }

    /// Makes several updates of a collection, each with its filter, in one command of a transaction. [`Error::Fenced`] unless
    /// each of them finds a document or inserts one.
    pub(crate) async fn update_all(
        &self,
        session: &mut ClientSession,
        documents: &Documents,
        updates: Vec<Document>,
    ) -> Result<(), Error> {
        let count = i64::try_from(updates.len()).unwrap_or(i64::MAX);
        if count == 0 {
            return Ok(());
        }
        // The driver has no method for that before MongoDB 8.
        let command = doc! { "update": documents.name(), "updates": updates };
        let reply = self.database().run_command(command).session(session).await?;
        // The driver leaves them to its caller.
        if let Some(errors) = reply.get("writeErrors") {
            return Err(Error::Database(mongodb::error::Error::custom(errors.to_string())));
        }
        if reply.get("n").and_then(whole) == Some(count) { Ok(()) } else { Err(Error::Fenced) }
    }

    /// Makes several updates of a collection in one command, each by itself, with a majority. Which of them failed or found
    /// nothing the documents tell. `false`: the server has stopped after `limit`, or did not have its majority by then.
    pub(crate) async fn update_each(
        &self,
        documents: &Documents,
        updates: Vec<Document>,
        limit: Duration,
    ) -> Result<bool, Error> {
        let command = doc! {
            "update": documents.name(),
            "updates": updates,
            "ordered": false,
            "maxTimeMS": milliseconds(limit),
            // The driver adds none to a command.
            "writeConcern": { "w": "majority", "j": true },
        };
        let reply = match self.bounded(self.database().run_command(command)).await {
            Err(error) if error.took_too_long() => return Ok(false),
            replied => replied?,
        };
        match reply.get_document("writeConcernError") {
            Ok(error) if error.get_i32("code").ok() == Some(MAX_TIME_EXPIRED) => Ok(false),
            Ok(error) => Err(Error::Unavailable(error.to_string().into())),
            Err(_) => Ok(true),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn collection(&self, name: &str) -> Documents {
        self.database().collection(name)
    }

    /// A collection for writes whose loss in a failover only costs a repetition: they wait for no majority.
    pub(crate) fn notes(&self, name: &str) -> Documents {
        let options = CollectionOptions::builder().write_concern(WriteConcern::nodes(1)).build();
        self.database().collection_with_options(name, options)
    }

    /// Takes documents that are due, the earliest first, by a change that moves the time at which they are due next. Of several
    /// who ask at the same time one gets a document.
    pub(crate) async fn take(
        &self,
        documents: &Documents,
        notes: &Documents,
        filter: Document,
        is_due: Document,
        limit: u32,
        mut change: Document,
    ) -> Result<Vec<RawDocumentBuf>, Error> {
        let mut due = filter.clone();
        due.extend(is_due);
        let found = documents.find(due.clone()).sort(doc! { "dueAt": 1 }).limit(i64::from(limit));
        let found = found.projection(doc! { "_id": 1 });
        let found = self.collect(found).await?;
        if found.is_empty() {
            return Ok(found);
        }
        let ids: Vec<Bson> = found.iter().filter_map(id).collect();
        // Marked with a value of this call's own, so that what another took at the same time is told apart.
        let mark = ObjectId::new();
        change.insert("hold", mark);
        due.insert("_id", doc! { "$in": &ids });
        self.bounded(notes.update_many(due, vec![doc! { "$set": change }])).await?;
        let mut taken = filter;
        taken.extend(doc! { "_id": { "$in": &ids }, "hold": mark });
        let mut taken = self.collect(documents.find(taken)).await?;
        // By the time at which they were due before.
        taken.sort_by_cached_key(|one| id(one).and_then(|id| ids.iter().position(|other| *other == id)));
        Ok(taken)
    }
}

/// What a document of any kind is found by.
pub(crate) fn id(document: &RawDocumentBuf) -> Option<Bson> {
    document.get("_id").ok()??.try_into().ok()
}
