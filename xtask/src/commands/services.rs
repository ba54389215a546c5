//! `cargo xtask services`: RabbitMQ and MongoDB alone, in the background.

use std::process::ExitCode;

use crate::process::Lifetime;
use clap::Subcommand;

use crate::services::{self, DevPorts, Given, Services};

/// See the help texts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start both in the background, with the data of `cargo xtask dev`, which then uses them
    Up(DevPorts),
    /// Stop them; the data stay
    Down,
    /// Print addresses and processes; the exit code is 1 when they do not run
    Status {
        /// Print only lines for the shell: eval "$(cargo xtask services status --env)"
        #[arg(long)]
        env: bool,
    },
}

/// Does what was asked.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(ports) => up(ports),
        Command::Down => down(),
        Command::Status { env } => status(*env),
    }
}

fn up(ports: &DevPorts) -> anyhow::Result<ExitCode> {
    let given = Given::from_env();
    if let (Some(_), Some(_)) = (&given.rabbitmq, &given.mongodb) {
        println!("RABBITMQ_URL and MONGODB_URI are set: there is nothing to start");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(mut running) = Services::complete_in_background(&given)? {
        println!("already running");
        show(&mut running);
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = services::lock_dev()?;
    ports.ensure_free(&given)?;
    Services::install(&given)?;
    eprintln!("starting RabbitMQ and MongoDB ...");
    let mut services = Services::start_dev(&given, ports, Lifetime::Detached)?;
    if let Err(error) = services.remember() {
        services.stop()?;
        return Err(error);
    }
    show(&mut services);
    println!("\nstop with  cargo xtask services down");
    Ok(ExitCode::SUCCESS)
}

fn down() -> anyhow::Result<ExitCode> {
    match Services::in_background(&Given::from_env()) {
        Some(mut services) => {
            services.stop()?;
            println!("stopped");
        }
        None => println!("not running"),
    }
    services::forget()?;
    Ok(ExitCode::SUCCESS)
}

fn status(env: bool) -> anyhow::Result<ExitCode> {
    let Some(mut services) = Services::in_background(&Given::from_env()) else {
        if env {
            eprintln!("not running; start with  cargo xtask services up");
        } else {
            println!("not running; start with  cargo xtask services up");
        }
        return Ok(ExitCode::FAILURE);
    };
    if env {
        exports(&services);
    } else {
        show(&mut services);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(services: &mut Services) {
    for process in services.processes() {
        println!("{:<10} process {}, log {}", process.name(), process.identity().pid, process.log().display());
    }
    println!("{:<10} {}", "data", services::dev_folder().display());
    if let Some(management) = &services.management_url {
        println!("{:<10} {management}  (guest / guest)", "pages");
    }
    println!();
    exports(services);
}

fn exports(services: &Services) {
    for (name, value) in services.variables() {
        println!("export {name}='{value}'");
    }
}
