//! Transactions: all of it or nothing, and an honest answer when a commit's outcome cannot be known.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use crash_points::Point;
use futures_util::future::BoxFuture;
use mongodb::ClientSession;
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use tokio::time::{Instant, sleep, timeout_at};

use crate::Error;
use crate::connection::Connection;
use crate::spans;

impl Connection {
    /// Runs `body` in a transaction and commits. It is run again whenever it met another transaction, so it must not do
    /// anything but write through the session, and must return every error that the session gave it.
    pub(crate) async fn transaction<F, C, T>(
        &self,
        family: &F,
        change: &mut C,
        body: impl for<'a> Fn(&'a F, &'a mut ClientSession, &'a mut C) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let made = async {
            let deadline = Instant::now() + self.config().timeout;
            let mut session = self.session(deadline).await?;
            let mut pauses = pauses();
            loop {
                let tried = self.try_transaction(&mut session, deadline, "alone", family, change, &body).await?;
                if let Some(value) = tried {
                    return Ok(value);
                }
                sleep(pauses.next().unwrap_or_default()).await;
            }
        };
        spans::watched(spans::of(self, "transaction"), made).await
    }

    /// A session all of whose reads are of one moment, at which everything that was acknowledged until now is written.
    pub(crate) async fn moment(&self) -> Result<ClientSession, Error> {
        self.bounded(self.client().start_session().snapshot(true)).await
    }

    /// As [`Self::transaction`], for changes that share it, and once: `None` when it met another transaction, and nothing was
    /// written.
    pub(crate) async fn shared_transaction<F, C, T>(
        &self,
        family: &F,
        changes: &mut C,
        body: impl for<'a> Fn(&'a F, &'a mut ClientSession, &'a mut C) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + self.config().timeout;
        let mut session = self.session(deadline).await?;
        self.try_transaction(&mut session, deadline, "shared", family, changes, body).await
    }

    /// A session for transactions.
    async fn session(&self, deadline: Instant) -> Result<ClientSession, Error> {
        let session = timeout_at(deadline, self.client().start_session()).await;
        Ok(session.map_err(|_| Error::timed_out(self.config().timeout))??)
    }

    async fn try_transaction<F, C, T>(
        &self,
        session: &mut ClientSession,
        deadline: Instant,
        subject: &'static str,
        family: &F,
        change: &mut C,
        body: impl for<'a> Fn(&'a F, &'a mut ClientSession, &'a mut C) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<Option<T>, Error> {
        let step = async {
            self.start(session).await?;
            let value = body(family, session, change).await?;
            crash_points::reach_with(Point::TransactionOpen, &[&subject]);
            Ok::<T, Error>(value)
        };
        // When the time is up, dropping the session aborts the transaction.
        match timeout_at(deadline, step).await.map_err(|_| Error::timed_out(self.config().timeout))? {
            Ok(value) => {
                if !self.commit(session, deadline).await? {
                    return Ok(None);
                }
                crash_points::reach_with(Point::TransactionCommitted, &[&subject]);
                Ok(Some(value))
            }
            Err(error) => {
                let aborted = timeout_at(deadline, session.abort_transaction()).await;
                if !error.met_another_transaction() || aborted.is_err() {
                    return Err(error);
                }
                Ok(None)
            }
        }
    }

    /// Starts a transaction, which asks no server. The driver therefore says of a database that is away that it supports no
    /// transactions, as of one that does not.
    async fn start(&self, session: &mut ClientSession) -> Result<(), Error> {
        if session.start_transaction().await.is_err() {
            self.ping().await?;
            session.start_transaction().await?;
        }
        Ok(())
    }

    /// Commits, again and again while the outcome is unknown: the server remembers what it has committed. `false`: it has forgotten
    /// or refused the transaction, nothing was written, and it may be run again.
    async fn commit(&self, session: &mut ClientSession, deadline: Instant) -> Result<bool, Error> {
        let timeout = self.config().timeout;
        let deadline = deadline.max(Instant::now() + timeout / 2);
        let mut pauses = pauses();
        loop {
            let error = match timeout_at(deadline, session.commit_transaction()).await {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::Unknown(format!("no answer within {timeout:?}").into())),
            };
            if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                return Ok(false);
            }
            // Whatever else is wrong, an earlier commit of these may have been made although its reply was lost.
            if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || Instant::now() >= deadline {
                return Err(Error::Unknown(error.into()));
            }
            sleep(pauses.next().unwrap_or_default()).await;
        }
    }
}

/// Random pauses, up to 2 ms after the first conflict and 100 ms at most, so that two transactions do not meet for ever.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(1)).with_jitter();
    pauses.with_max_delay(Duration::from_millis(50)).without_max_times().build()
}
