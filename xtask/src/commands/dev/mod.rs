//! `cargo xtask dev`: the whole system on one machine, from nothing.

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
mod programs;

use crate::process::{Lifetime, interrupt};

use self::programs::{MediaHost, ProgramPorts, Programs, Setting, random_hex};
use crate::build::{self, Build};
use crate::services::{self, DevPorts, Given, Services, locate};
use crate::terminal::banner::{Banner, Times};
use crate::terminal::tail::Tail;

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    programs: ProgramPorts,
    #[command(flatten)]
    services: DevPorts,
    /// Build with optimisation
    #[arg(long)]
    release: bool,
    /// Remove all data of earlier runs first: database, queues, spool, media, secrets
    #[arg(long)]
    wipe: bool,
    /// Show the programs' logs here
    #[arg(long)]
    logs: bool,
}

/// Brings everything up, and ends it on Ctrl-C. A program of ours that is killed meanwhile is started again.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let folder = services::dev_folder();
    let _lock = services::lock_dev()?;
    if options.wipe {
        wipe(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;

    let given = Given::from_env();
    let media_host = MediaHost::from_env();
    let background = Services::complete_in_background(&given)?;
    // Before minutes are spent on installing and building.
    options.programs.ensure_free(&media_host)?;
    if background.is_none() {
        options.services.ensure_free(&given)?;
    }

    let install = if background.is_some() { Duration::ZERO } else { Services::install(&given)? };
    let build = if options.release { Build::Release } else { Build::Quick };
    let programs_folder = build::folder(build)?;
    let first_build = !programs_folder.join("api").exists();
    match &background {
        Some(_) => eprintln!("building; RabbitMQ and MongoDB run in the background ..."),
        None => eprintln!("building, and starting what is needed of RabbitMQ and MongoDB ..."),
    }
    let (built, services) = thread::scope(|scope| {
        let services = scope.spawn(|| match background {
            Some(running) => Ok(running),
            None => Services::start_dev(&given, &options.services, Lifetime::Owned),
        });
        let built = build::programs(build);
        (built, services.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let build = built?;
    let mut services = services?;

    let built_at = Instant::now();
    clear_logs(&folder);
    let local_media = media_host == MediaHost::Local;
    let mut programs = Programs::start(Setting {
        programs: programs_folder,
        folder: folder.clone(),
        ports: options.programs.clone(),
        media_host,
        rabbitmq_url: services.rabbitmq_url.clone(),
        mongodb_url: services.mongodb_url.clone(),
    })?;
    let total = begun.elapsed();
    // Starting the services overlaps with building; what it takes longer belongs to the start.
    let start = total.saturating_sub(install).saturating_sub(build).max(built_at.elapsed());
    let times = Times { install, build, start, total };
    if first_build {
        note(&folder, times)?;
    }
    println!(
        "{}",
        Banner {
            api: &options.programs.api_url(),
            worker: options.programs.worker_port,
            media: local_media.then_some(options.programs.media_port),
            rabbitmq: given.rabbitmq.is_none().then_some(services.rabbitmq_url.as_str()),
            management: services.management_url.as_deref().filter(|_| given.rabbitmq.is_none()),
            mongodb: given.mongodb.is_none().then_some(services.mongodb_url.as_str()),
            folder: &folder,
            sample: &locate::workspace().join("docs/sample.jpg"),
            user: &format!("ada{}", random_hex(3)?),
            times,
        }
    );

    let watched = watch(&mut programs, &mut services, options.logs);
    eprintln!("\nstopping ...");
    let stopping = Instant::now();
    programs.stop();
    // Those in the background stay there.
    let stopped = services.stop_owned();
    eprintln!("stopped in {:.1} s; data stay in {}", stopping.elapsed().as_secs_f32(), folder.display());
    watched.and(stopped).map(|()| ExitCode::SUCCESS)
}

/// Returns when the person wants to stop; fails when a service has ended, or a program of ours ends again and again.
fn watch(programs: &mut Programs, services: &mut Services, logs: bool) -> anyhow::Result<()> {
    let mut followers: Vec<Tail> = Vec::new();
    if logs {
        followers.extend(programs.logs().iter().map(|(name, log)| Tail::new(name, log)));
    }
    while interrupt::pause(Duration::from_millis(100)).is_ok() {
        for line in followers.iter_mut().flat_map(Tail::lines) {
            println!("{line}");
        }
        for line in programs.keep_running()? {
            eprintln!("{line}");
        }
        for process in services.processes() {
            process.ensure_running()?;
        }
    }
    Ok(())
}

fn wipe(folder: &Path) -> anyhow::Result<()> {
    if Services::in_background(&Given::from_env()).is_some() {
        bail!("the services run in the background on these data; stop them first: cargo xtask services down");
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Keeps what a newcomer waited for: `cargo xtask bench` prints it, and it cannot be measured again without starting over.
fn note(folder: &Path, times: Times) -> anyhow::Result<()> {
    let file = folder.join("timings.txt");
    fs::write(&file, times.lines()).with_context(|| format!("writing {}", file.display()))
}

/// Each run has logs of its own; those of the services go on.
fn clear_logs(folder: &Path) {
    let _may_not_exist = fs::remove_dir_all(folder.join("log"));
}
