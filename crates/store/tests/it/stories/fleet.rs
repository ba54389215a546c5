//! What workers tell of themselves and are told, what has ended, and what comparing counts has found.

use bson::doc;
use messages::JobId;
use store::{Controlled, RunningJob, Sign, SlotsOf, SpoolFill};
use time::OffsetDateTime;

use super::Told;

impl Told {
    pub(super) async fn fleet(&mut self) {
        let store = self.fixture.store.clone();
        let running =
            RunningJob { job: JobId::new(), kind: "media.upload.v1".to_owned(), since: OffsetDateTime::UNIX_EPOCH };
        let sign = Sign {
            name: "host-1-0123abcd".to_owned(),
            version: "0.1.0".to_owned(),
            host: "host".to_owned(),
            spool: "here".to_owned(),
            draining: false,
            slots: vec![SlotsOf { kind: "media.upload.v1".to_owned(), slots: 4, used: 1 }],
            running: vec![running],
            clock_offset_ms: Some(-3),
            spool_fill: Some(SpoolFill { files: 2, bytes: 300, free_bytes: Some(1 << 40) }),
        };
        store.workers().sign(&sign).await.expect("signed");
        self.note("workers/alive", "host-1-0123abcd").await;
        store.workers().leave(&sign).await.expect("signed");
        self.note("workers/left", "host-1-0123abcd").await;

        let owner = self.fixture.user().await;
        let user = Controlled::User(owner);
        for (name, what, title) in [
            ("queue", Controlled::Queue("media.upload".to_owned()), "media.upload"),
            ("user", user.clone(), "grace"),
            ("worker", Controlled::Worker("host-1-0123abcd".to_owned()), "host-1-0123abcd"),
        ] {
            store.controls().set(&what, title, "ada", "a deploy").await.expect("told");
            self.note(&format!("controls/{name}"), what.to_string()).await;
        }
        let job = self.fixture.submit(owner).await.id;
        let attempt = self.fixture.claim(job).await.attempt;
        store.jobs().hold(job, attempt).await.expect("held");
        self.note_job("held", job).await;

        store.rollups().make("host-1-0123abcd").await.expect("made");
        store.rollups().take_snapshot().await.expect("taken");
        self.note("rollups/claim", "claim").await;
        self.note("rollups/waiting", "waiting").await;
        for stretch in ["minute", "ten", "hour"] {
            let named = doc! { "_id": { "$regex": format!("^{stretch}:") } };
            self.note_the(&format!("rollups/{stretch}"), named).await;
        }
        store.counters().note_reconciled(100, 0, None).await.expect("noted");
        self.note("reconciliations/last", "last").await;
    }
}
