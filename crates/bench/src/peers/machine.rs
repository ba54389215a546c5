//! What was measured on what, in one line.

use std::fs;
use std::process::Command;

use mongodb::bson::doc;
use testkit::{Services, tools};
use xtask::peers::{Options, System};

use super::command;

/// Cores, memory, system and versions.
pub async fn describe(services: &Services, options: &Options) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "processor".to_owned());
    let memory: u64 = field("/proc/meminfo", "MemTotal").and_then(|size| first_number(&size)).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut words = vec![
        format!("{cores} × {processor}, shared by all"),
        format!("{:.0} GiB", memory as f64 / (1024.0 * 1024.0)),
        format!("Linux {}", kernel.trim()),
    ];
    let database = mongodb::Client::with_uri_str(&services.mongodb).await?.database("admin");
    let info = database.run_command(doc! { "buildInfo": 1 }).await?;
    words.push(format!("MongoDB {}", info.get_str("version").unwrap_or("?")));
    words.push(format!("RabbitMQ {}", rabbitmq(services).await.unwrap_or_else(|| "?".to_owned())));
    let systems = options.systems();
    if systems.iter().any(|system| command::needs_redis(*system)) {
        words.extend(says("Redis", &command::redis_server().display().to_string()));
    }
    if systems.contains(&System::Bullmq) {
        words.extend(says("Node", "node"));
    }
    if systems.contains(&System::AioPika) || systems.contains(&System::Celery) {
        words.extend(says("Python", "python3"));
    }
    let (rounds, jobs) = (options.rounds, options.jobs);
    let times = if rounds == 1 { "one round".to_owned() } else { format!("medians of {rounds} rounds in turns") };
    Ok(format!("{jobs} jobs, {times}. {}.", words.join(", ")))
}

async fn rabbitmq(services: &Services) -> Option<String> {
    let request = reqwest::Client::new().get(format!("{}/api/overview", services.management));
    let overview: serde_json::Value =
        request.basic_auth("guest", Some("guest")).send().await.ok()?.json().await.ok()?;
    overview["rabbitmq_version"].as_str().map(str::to_owned)
}

/// `Redis server v=7.0.15 sha=…`, `v20.20.2` and `Python 3.11.7` all have one number with dots.
fn says(name: &str, program: &str) -> Option<String> {
    let printed = tools::run(Command::new(program).arg("--version")).ok()?;
    let words = printed.split_whitespace().map(|word| word.trim_start_matches("v=").trim_start_matches('v'));
    let mut versions =
        words.filter(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'));
    versions.next().map(|version| format!("{name} {version}"))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
