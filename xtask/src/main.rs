#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]
//! `cargo xtask`: everything a developer runs besides cargo itself.

mod build;
mod commands;
mod follow;
mod install;
mod programs;
mod rabbitmq_versions;
mod scratch;
mod screen;
mod services;
mod shell;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::interrupt;

/// Development commands of Steep.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up everything on this machine: RabbitMQ, MongoDB, a local media host, the api and a worker; Ctrl-C ends it
    Dev(commands::dev::Options),
    /// Run the whole test suite on services of its own
    Test(commands::test::Options),
    /// Start or stop private copies of RabbitMQ and MongoDB in the background
    #[command(subcommand)]
    Services(commands::services::Command),
    /// Measure, on services of its own and with optimised programs
    Bench(commands::bench::Options),
    /// Break everything in turn while clients upload, then look for anything that was lost, doubled or left behind
    Chaos(commands::chaos::Options),
    /// Let a fuzzer make up messages, replies and forms; needs a nightly compiler and cargo-fuzz
    Fuzz(commands::fuzz::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = ctrlc::set_handler(interrupt::record) {
        eprintln!("error: cannot handle signals: {error}");
        return ExitCode::FAILURE;
    }
    let result = match arguments.command {
        Command::Dev(options) => commands::dev::run(&options),
        Command::Test(options) => commands::test::run(&options),
        Command::Services(command) => commands::services::run(&command),
        Command::Bench(options) => commands::bench::run(&options),
        Command::Chaos(options) => commands::chaos::run(&options),
        Command::Fuzz(options) => commands::fuzz::run(&options),
    };
    match result {
        Ok(code) => code,
        // What the shell reports for a program that SIGINT ended.
        Err(_) if interrupt::requested() => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
