//! What a benchmark needs beside RabbitMQ and MongoDB: found, installed or named before anything is built.

use anyhow::{Context as _, ensure};

use crate::peers::{self, Options};
use crate::services::{Given, install};

/// Parts of `uploads` that compare with nginx. Without a name, all parts run.
const WITH_NGINX: [&str; 2] = ["accept", "large"];

/// Finds or installs it. Returns variables for the benchmark.
pub fn ensure(name: &str, arguments: &[String], given: &Given) -> anyhow::Result<Vec<(&'static str, String)>> {
    ensure!(
        given.rabbitmq.is_none() || given.management.is_some(),
        "RABBITMQ_URL is set; set RABBITMQ_MANAGEMENT_URL too, where a benchmark makes its virtual hosts"
    );
    if needs_nginx(name, arguments) {
        install::program("nginx", "nginx-light").context("bench uploads compares with nginx")?;
    }
    if name != "peers" {
        return Ok(Vec::new());
    }
    // clap's own words, for --help too.
    let options = Options::read(arguments).unwrap_or_else(|error| error.exit());
    let skipped = peers::install::install(&options.systems())?;
    let lines: Vec<String> = skipped.iter().map(|(system, reason)| format!("{}: {reason}", system.name())).collect();
    Ok(vec![(peers::SKIPPED, lines.join("\n"))])
}

fn needs_nginx(name: &str, arguments: &[String]) -> bool {
    name == "uploads" && (arguments.is_empty() || arguments.iter().any(|part| WITH_NGINX.contains(&part.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_asked_for_by_what_compares_with_it_alone() {
        let needs = |name: &str, parts: &str| {
            let parts: Vec<String> = parts.split_whitespace().map(str::to_owned).collect();
            needs_nginx(name, &parts)
        };
        assert!(needs("uploads", ""));
        assert!(needs("uploads", "pipeline accept"));
        assert!(!needs("uploads", "pipeline hung"));
        assert!(!needs("rescue", ""));
    }

    #[test]
    fn a_broker_without_its_management_pages_is_named_before_anything_is_built() {
        let rabbitmq = Some("amqps://mq.example".to_owned());
        let given = Given { rabbitmq, management: None, mongodb: None };
        let error = ensure("rescue", &[], &given).unwrap_err().to_string();
        assert!(error.contains("RABBITMQ_MANAGEMENT_URL"), "{error}");
        assert!(ensure("rescue", &[], &Given::default()).unwrap().is_empty());
    }
}
