//! Carries a schedule out, and writes down what was done when: the checks ask whether a fault explains what they see.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mongodb::bson::doc;
use serde_json::Value;
use testkit::proxy::{Passage, Proxy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::child::Child;
use crate::fault::{Fault, Link, Target};
use crate::ledger::{Millis, now};
use crate::schedule::Event;
use crate::system::System;

/// How long after a fault its consequences still count as its own: connections that time out, a program that comes back.
const AFTERMATH: Millis = 2_000;

/// How long the broker may not hear of an alarm: other faults stop it for less.
const TO_HEAR: Duration = Duration::from_secs(60);

/// A fault as it was carried out.
#[derive(Debug, Clone)]
pub struct Struck {
    pub fault: Fault,
    pub from: Millis,
    pub until: Millis,
    /// The process that was struck.
    pub pid: Option<i32>,
}

/// What was done, and what went wrong with the programs while it was done.
#[derive(Debug, Default)]
pub struct Log {
    struck: Mutex<Vec<Struck>>,
    trouble: Mutex<Vec<String>>,
}

impl Log {
    /// Everything that was done, in the order of its end.
    pub fn struck(&self) -> Vec<Struck> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What programs did that nothing explains: one ended by itself, did not end when asked, did not start.
    pub fn trouble(&self) -> Vec<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn complain(&self, what: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

impl Struck {
    /// Whether it lasted at some moment between two, or its consequences did.
    pub fn overlaps(&self, from: Millis, until: Millis) -> bool {
        self.from <= until && from <= self.until + AFTERMATH
    }

    /// The process that it took away or held, if it did.
    pub fn took_away(&self) -> Option<Target> {
        match self.fault {
            Fault::Kill(target, _) | Fault::Terminate(target) | Fault::Stop(target, _) => Some(target),
            _ => None,
        }
    }
}

/// Carries everything out; returns when the last fault is over.
pub async fn perform(system: &Arc<System>, events: Vec<Event>, log: &Arc<Log>, stop: &CancellationToken) {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for event in events {
        if stop.run_until_cancelled(sleep_until(started + event.at)).await.is_none() {
            break;
        }
        let (system, log) = (system.clone(), log.clone());
        tasks.spawn(async move {
            let fault = event.fault;
            tracing::info!(at = ?event.at, "{fault}");
            let from = now();
            match strike(&system, &fault).await {
                Ok(pid) => {
                    let struck = Struck { fault, from, until: now(), pid };
                    log.struck.lock().unwrap_or_else(PoisonError::into_inner).push(struck);
                }
                Err(error) => log.complain(format!("{fault}: {error:#}")),
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Does it, and answers which process it struck.
async fn strike(system: &System, fault: &Fault) -> anyhow::Result<Option<i32>> {
    match fault {
        // Whatever it did instead of ending, it is started again.
        Fault::Kill(target, time) => {
            let killed = system.with(*target, |child| {
                let pid = child.pid();
                child.kill().map(|()| pid)
            });
            let killed = killed.await;
            sleep(*time).await;
            system.with(*target, Child::start).await?;
            killed
        }
        Fault::Terminate(target) => {
            let work = |child: &mut Child| {
                let pid = child.pid();
                let ended = child.terminate();
                child.start()?;
                ended.map(|()| pid)
            };
            system.with(*target, work).await
        }
        Fault::Stop(target, time) => {
            let pid = system
                .with(*target, |child| {
                    child.pause(true);
                    Ok(child.pid())
                })
                .await?;
            sleep(*time).await;
            let resume = |child: &mut Child| {
                child.pause(false);
                Ok(())
            };
            system.with(*target, resume).await?;
            Ok(pid)
        }
        Fault::Cut(link) => {
            proxy(system, *link)?.cut();
            Ok(None)
        }
        Fault::Hold(link, time) => pass(system, *link, Passage::Held, *time).await,
        Fault::Delay(link, by, time) => pass(system, *link, Passage::Late(*by), *time).await,
        Fault::Media(effect, time) => media(system, effect, *time).await.map(|()| None),
        Fault::Alarm(time) => {
            let raised = alarm(system, true).await;
            sleep(*time).await;
            // Also after a failure: the broker may have heard us all the same.
            alarm(system, false).await.and(raised).map(|()| None)
        }
        Fault::StepDown(time) => step_down(system, *time).await.map(|()| None),
        Fault::Clock(target, seconds) => {
            if let Some(clock) = system.clock(*target) {
                clock.set(*seconds)?;
            }
            Ok(None)
        }
    }
}

fn proxy(system: &System, link: Link) -> anyhow::Result<&Arc<Proxy>> {
    system.proxies.get(&link).context("no such link")
}

async fn pass(system: &System, link: Link, passage: Passage, time: Duration) -> anyhow::Result<Option<i32>> {
    let proxy = proxy(system, link)?;
    proxy.set(passage);
    sleep(time).await;
    proxy.set(Passage::Open);
    Ok(None)
}

/// A broker that is stopped meanwhile, or is only coming up, hears nobody: it is told again until it has heard.
async fn alarm(system: &System, raised: bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + TO_HEAR;
    loop {
        match system.with(Target::Broker, move |child| child.alarm(raised)).await {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(500)).await,
            told => return told,
        }
    }
}

/// Only past that time the database may elect itself again, being alone.
async fn step_down(system: &System, time: Duration) -> anyhow::Result<()> {
    // It may be starting still.
    system.with(Target::Database, |_| Ok(())).await?;
    let admin = mongodb::Client::with_uri_str(&system.mongodb).await?.database("admin");
    let seconds = i64::try_from(time.as_secs().max(1))?;
    admin.run_command(doc! { "replSetStepDown": seconds, "force": true }).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        sleep(Duration::from_millis(100)).await;
        let hello = admin.run_command(doc! { "hello": 1 }).await;
        if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or_default()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "MongoDB has not come back as the primary");
    }
}

/// A media host that is away has no faults but that, and one that comes back has forgotten them.
async fn media(system: &System, effect: &Value, time: Duration) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let faults = format!("{}/__admin/faults", system.media);
    let Ok(installed) = http.post(&faults).json(effect).send().await else { return Ok(()) };
    let installed: Value = installed.error_for_status()?.json().await?;
    sleep(time).await;
    let _ = http.delete(format!("{faults}/{}", installed["id"])).send().await;
    Ok(())
}

/// Complains about every program that ends by itself, and starts it again.
pub async fn watch(system: Arc<System>, log: Arc<Log>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(Duration::from_millis(500))).await.is_some() {
        for target in system.programs() {
            // One that is being dealt with is locked until it runs again.
            let watched = system.with(target, |child| {
                let Some(process) = child.process() else { return Ok(()) };
                let died = process.ensure_running();
                if died.is_err() {
                    child.start()?;
                }
                Ok(died?)
            });
            if let Err(error) = watched.await {
                log.complain(format!("{error:#}"));
            }
        }
    }
}
