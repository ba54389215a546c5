//! A job that makes every worker crash that runs it.

use std::time::{Duration, Instant};

use cloudinary_local::{Effect, Fault, Moment};
use store::{JobRecord, JobState};
use testkit::{Client, Leftovers, PATIENCE, TestEnv, jpeg, process};

use crate::support;

/// Jobs that run at once, the poison among them.
const PREFETCH: usize = 32;

/// An avatar that makes workers abort when it is stored, and as many uploads beside it as a worker takes.
struct Scene {
    env: TestEnv,
    user: Client,
    _api: testkit::Api,
    poison: String,
    neighbours: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let env = TestEnv::start().await;
        let api = env.api().await;
        let (user, answer) = api.new_user(jpeg(1_000)).await;
        let mut neighbours = Vec::new();
        for _ in 1..PREFETCH {
            neighbours.push(user.submit("a.jpg", jpeg(1_000)).await.expect(202).job(0));
        }
        Self { env, user, _api: api, poison: answer.job(0), neighbours }
    }

    fn worker(&self, name: &str) -> testkit::Process {
        let settings = [
            ("WORKER_UPLOADS", PREFETCH.to_string()),
            ("WORKER_LEASE", "5s".to_owned()),
            ("WORKER_SWEEP_EVERY", "1s".to_owned()),
            (crash_points::VARIABLE, format!("worker.performed={}", self.poison)),
        ];
        support::start_worker(&self.env, name, &settings)
    }

    async fn job(&self, id: &str) -> JobRecord {
        let found = self.env.store().jobs().find(id.parse().expect("an id")).await;
        found.expect("an answer").expect("a job")
    }

    /// The poison has been discarded for what it did, every neighbour is stored once, and nothing is left but the file that a
    /// person may have tried again.
    async fn ends_well(self) {
        let reason = self.user.wait_for_job(&self.poison, &["discarded"]).await["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| !reason.is_empty()));
        let poison = self.job(&self.poison).await;
        assert_eq!((poison.attempt, poison.crashes), (3, 3));
        for neighbour in &self.neighbours {
            self.user.wait_for_job(neighbour, &["completed"]).await;
            assert!(self.job(neighbour).await.crashes <= 2, "it was blamed for what it had no part in");
        }
        let stored = || self.env.media().assets();
        assert_eq!(
            stored().iter().filter(|asset| asset.identity.public_id.contains("media")).count(),
            self.neighbours.len()
        );
        // The avatar was stored whenever a worker died of it.
        TestEnv::until("what the poison has stored is deleted", async || stored().len() == self.neighbours.len()).await;
        self.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    }
}

async fn dies_of_it(mut worker: testkit::Process) {
    let ended = process::until_ended(&mut worker).await.expect("the poison ends it");
    assert_eq!(ended, "signal 6", "it aborts: {}", worker.printed().expect("a log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_makes_the_process_abort_is_discarded_after_three_crashes_and_no_neighbour_is() {
    let scene = Scene::new().await;
    // All of them run, and none has ended, when the avatar makes the worker abort.
    let host = scene.env.media();
    let delay = Effect::Delay { ms: 4_000, at: Moment::BeforeStoring };
    let late = host.install_fault(Fault::new(delay).on("upload").public_id("avatar"));
    let hang = Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload").public_id("media");
    let hung = host.install_fault(hang);

    for crash in 1..=3_u32 {
        dies_of_it(scene.worker(&format!("worker-{crash}"))).await;
        assert_eq!(scene.job(&scene.poison).await.attempt, crash);
        if crash == 2 {
            let mut suspects = 0;
            for neighbour in &scene.neighbours {
                let neighbour = scene.job(neighbour).await;
                assert_eq!(neighbour.state, JobState::Running, "it was interrupted");
                suspects += u32::from(neighbour.attempt == 2);
            }
            assert!(suspects > 1, "no neighbours were there twice, so that nothing is shown");
            println!("{suspects} of {} neighbours were running at both crashes", scene.neighbours.len());
            host.clear_fault(hung);
            host.clear_fault(late);
            // Whoever runs beside the poison is in the middle of its upload when that kills.
            let slow = Effect::Delay { ms: 300, at: Moment::BeforeStoring };
            host.install_fault(Fault::new(slow).on("upload").public_id("media"));
        }
        if crash == 3 {
            let mut blamed = 0;
            for neighbour in &scene.neighbours {
                let neighbour = scene.job(neighbour).await;
                blamed += u32::from(neighbour.state == JobState::Running && neighbour.attempt == 3);
            }
            println!("{blamed} of {} neighbours were running at all three crashes", scene.neighbours.len());
        }
    }
    let last = scene.worker("worker-4");
    scene.user.wait_for_job(&scene.poison, &["discarded"]).await;
    for neighbour in &scene.neighbours {
        scene.user.wait_for_job(neighbour, &["completed"]).await;
    }
    scene.ends_well().await;
    process::end(last).await.expect("the fourth one lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_that_goes_from_worker_to_worker_ends_after_three_of_them() {
    let scene = Scene::new().await;
    let delay = |ms| Effect::Delay { ms, at: Moment::BeforeStoring };
    scene.env.media().install_fault(Fault::new(delay(500)).on("upload"));
    // Both take what they get, and what the other one leaves behind; whoever dies is replaced.
    let mut workers = vec![scene.worker("worker-1"), scene.worker("worker-2")];
    let mut crashes = 0_usize;
    let deadline = Instant::now() + 2 * PATIENCE;
    while scene.job(&scene.poison).await.state != JobState::Discarded {
        for worker in &mut workers {
            if worker.ended().is_some() {
                crashes += 1;
                if crashes == 2 {
                    // From here on suspects run one by one.
                    scene.env.media().clear_faults();
                }
                *worker = scene.worker(&format!("worker-{}", crashes + 2));
            }
        }
        if Instant::now() > deadline {
            let logs: Vec<String> = workers.iter().map(|worker| worker.printed().expect("a log")).collect();
            panic!("not discarded after {crashes} crashes: {}", logs.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(crashes, 3, "nothing but the poison kills");
    for neighbour in &scene.neighbours {
        scene.user.wait_for_job(neighbour, &["completed"]).await;
    }
    // A worker may have died between a neighbour's end and the removal of its file.
    support::let_files_grow_old(&scene.env);
    scene.ends_well().await;
    for worker in workers {
        process::end(worker).await.expect("the last two live");
    }
}
