//! The parts of a worker that run as long as it does.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

use crate::Error;

/// Tasks with names. Dropping it stops them all.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Supervisor {
    pub(crate) fn run<T>(&mut self, name: &'static str, part: impl Future<Output = T> + Send + 'static) {
        let id = self.tasks.spawn(async move { drop(part.await) }).id();
        self.names.insert(id, name);
    }

    /// Waits for the first part that ends.
    pub(crate) async fn ended(&mut self) -> Error {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.error(id, "it returned"),
            Some(Err(error)) => self.error(error.id(), &how(&error)),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(crate) async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn error(&self, id: Id, cause: &str) -> Error {
        Error::Ended { task: self.names.get(&id).copied().unwrap_or("a task"), cause: cause.to_owned() }
    }
}

fn how(error: &JoinError) -> String {
    if error.is_panic() { format!("a panic: {error}") } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.run("the one that stays", std::future::pending::<()>());
        supervisor.run("the one that goes", async {});
        assert_eq!(supervisor.ended().await.to_string(), "the one that goes ended by itself: it returned");
    }

    #[tokio::test]
    async fn a_part_that_panics_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.run("the one that panics", async { panic!("boom") });
        assert!(supervisor.ended().await.to_string().starts_with("the one that panics ended by itself: a panic"));
    }
}
