//! The parts of a worker that run as long as it does.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::Error;
use crate::error::panic_text;

/// Tasks with names. Dropping it stops them all.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    tasks: JoinSet<Error>,
}

impl Supervisor {
    pub(crate) fn run<T>(&mut self, task: &'static str, part: impl Future<Output = T> + Send + 'static) {
        // Caught here, because whoever joins the tasks does not know whose panic it is.
        let part = AssertUnwindSafe(part).catch_unwind().map(|ended| match ended {
            Ok(_) => "it returned".to_owned(),
            Err(panic) => format!("a panic: {}", panic_text(panic.as_ref())),
        });
        self.tasks.spawn(part.map(move |cause| Error::Ended { task, cause }));
    }

    pub(crate) async fn ended(&mut self) -> Error {
        match self.tasks.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    pub(crate) async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
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
