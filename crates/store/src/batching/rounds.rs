//! Statements of several changes that share a transaction, in one command.
//!
//! Each change is code of its own, which asks for a statement and goes on with what that found. They run side by side, in
//! rounds: once each of them waits for a statement or has ended, the statements of the round are made together.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use tokio::sync::oneshot;

use crate::Error;
use crate::connection::{Connection, Documents, id};

/// A transaction in which several changes run.
pub(crate) struct Rounds<'a> {
    connection: &'a Connection,
    /// For statements that nobody shares.
    pub session: tokio::sync::Mutex<&'a mut ClientSession>,
    round: Mutex<Round>,
}

struct Round {
    /// Changes that have not ended.
    running: usize,
    wanted: Vec<Wanted>,
}

/// The update of one document, named by its id, if it fits.
struct Wanted {
    documents: Documents,
    filter: Document,
    update: Document,
    projection: Document,
    found: oneshot::Sender<Option<RawDocumentBuf>>,
}

impl Wanted {
    fn id(&self) -> Option<&Bson> {
        self.filter.get("_id")
    }

    /// Whether one command can make both. Of one document each statement has to find what the one before it left.
    fn goes_with(&self, other: &Self) -> bool {
        self.documents.namespace() == other.documents.namespace()
            && self.projection == other.projection
            && self.id() != other.id()
    }
}

impl<'a> Rounds<'a> {
    /// A transaction in which so many changes run. Each has to [`end`](Self::end), or the others wait for ever.
    pub(crate) fn new(connection: &'a Connection, session: &'a mut ClientSession, running: usize) -> Self {
        let round = Mutex::new(Round { running, wanted: Vec::new() });
        Self { connection, session: tokio::sync::Mutex::new(session), round }
    }

    /// Updates the document that a filter finds, which names its id, and answers with what it was before.
    pub(crate) async fn update(
        &self,
        documents: &Documents,
        filter: Document,
        update: Document,
        projection: Document,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        let (found, finding) = oneshot::channel();
        let documents = documents.clone();
        let wanted = {
            let mut round = self.round();
            round.wanted.push(Wanted { documents, filter, update, projection, found });
            round.complete()
        };
        self.make(wanted).await?;
        finding.await.map_err(|_| Error::Unavailable("the transaction has ended".into()))
    }

    /// A change has asked for all its statements.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let wanted = {
            let mut round = self.round();
            round.running = round.running.saturating_sub(1);
            round.complete()
        };
        self.make(wanted).await
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make(&self, mut wanted: Vec<Wanted>) -> Result<(), Error> {
        while !wanted.is_empty() {
            let (mut together, mut later): (Vec<Wanted>, Vec<Wanted>) = (Vec::new(), Vec::new());
            for one in wanted {
                if together.iter().all(|other| one.goes_with(other)) { &mut together } else { &mut later }.push(one);
            }
            self.make_together(together).await?;
            wanted = later;
        }
        Ok(())
    }

    async fn make_together(&self, mut together: Vec<Wanted>) -> Result<(), Error> {
        let mut session = self.session.lock().await;
        let Some(Wanted { documents, projection, .. }) = together.first() else { return Ok(()) };
        let (documents, projection) = (documents.clone(), projection.clone());
        if together.len() == 1 {
            for Wanted { filter, update, found, .. } in together {
                let before = documents.find_one_and_update(filter, update).projection(projection.clone());
                let _ = found.send(before.session(&mut **session).await?);
            }
            return Ok(());
        }
        let filters: Vec<&Document> = together.iter().map(|one| &one.filter).collect();
        let size = u32::try_from(filters.len()).unwrap_or(u32::MAX);
        let query = documents.find(doc! { "$or": filters }).projection(projection);
        // One more than there can be, so that the server closes the cursor with the first batch.
        let mut before = query.batch_size(size.saturating_add(1)).session(&mut **session).await?;
        let mut before: Vec<RawDocumentBuf> = before.stream(&mut session).try_collect().await?;
        let before: Vec<Option<RawDocumentBuf>> = together
            .iter()
            .map(|one| Some(before.swap_remove(before.iter().position(|found| id(found).as_ref() == one.id())?)))
            .collect();
        let statements: Vec<Document> = together
            .iter_mut()
            .zip(&before)
            .filter(|(_, before)| before.is_some())
            .map(|(one, _)| doc! { "q": std::mem::take(&mut one.filter), "u": std::mem::take(&mut one.update) })
            .collect();
        // Whoever changes one of them in between ends this transaction.
        self.connection.update_all(&mut session, &documents, statements).await?;
        for (one, before) in together.into_iter().zip(before) {
            let _ = one.found.send(before);
        }
        Ok(())
    }
}

impl Round {
    /// The statements of the round, if nobody is left who may ask for another one.
    fn complete(&mut self) -> Vec<Wanted> {
        if self.wanted.len() == self.running { std::mem::take(&mut self.wanted) } else { Vec::new() }
    }
}
