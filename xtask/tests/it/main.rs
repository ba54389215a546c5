#![allow(clippy::unwrap_used, reason = "helpers of tests")]
//! The supervision of the real services: started, stopped, killed, started again, and gone without a trace.

mod clocks;
mod layout;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bson::doc;
use xtask::services::mongodb::wire;
use xtask::services::{MongoDb, RabbitMq, ports};

/// Processes that name `folder` in their arguments or environment: all that belongs to a private service.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // This process knows the folder, but does not have it there.
        let text = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let all = [text("cmdline"), text("environ")].concat();
        if String::from_utf8_lossy(&all).contains(needle) {
            found.push(format!("{pid} {}", String::from_utf8_lossy(&text("cmdline")).replace('\0', " ")));
        }
    }
    found
}

fn eventually_no_process_of(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = processes_of(folder);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn management(broker: &RabbitMq, method: &str, path: &str) -> Option<u16> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}{path}", broker.management_url());
    let answer = match method {
        "PUT" => agent.put(&url).header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").send_empty(),
        _ => agent.get(&url).header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").call(),
    };
    answer.ok().map(|answer| answer.status().as_u16())
}

#[test]
fn a_broker_survives_a_crash_and_a_stop_with_its_ports_and_data_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = RabbitMq::start(folder.path()).unwrap();
    let (url, port) = (broker.url(), broker.ports().amqp);
    assert!(ports::answers(port));
    assert_eq!(management(&broker, "PUT", "/api/vhosts/kept"), Some(201));

    broker.kill().unwrap();
    assert!(!ports::answers(port));
    eventually_no_process_of(folder.path());

    broker.start_again().unwrap();
    assert_eq!(broker.url(), url);
    assert_eq!(management(&broker, "GET", "/api/vhosts/kept"), Some(200));

    broker.stop().unwrap();
    assert!(!ports::answers(port));
    eventually_no_process_of(folder.path());

    broker.start_again().unwrap();
    assert_eq!(management(&broker, "GET", "/api/vhosts/kept"), Some(200));
    drop(broker);
    assert!(!ports::answers(port));
    eventually_no_process_of(folder.path());
}

#[test]
fn a_database_survives_a_crash_a_stop_and_a_change_of_port_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = MongoDb::start(folder.path()).unwrap();
    let url = database.url();
    let port = database.port();

    database.kill().unwrap();
    assert!(!ports::answers(port));
    database.start_again().unwrap();
    assert_eq!(database.url(), url);
    database.stop().unwrap();
    eventually_no_process_of(folder.path());

    // Its data says that the set's only member is at the old port.
    let database = MongoDb::start(folder.path()).unwrap();
    assert_ne!(database.port(), port);
    let hello = wire::command(database.port(), doc! { "hello": 1 }).unwrap();
    assert!(hello.get_bool("isWritablePrimary").unwrap());
    assert_eq!(hello.get_str("me").unwrap(), format!("127.0.0.1:{}", database.port()));
    drop(database);
    eventually_no_process_of(folder.path());
}

#[test]
fn stopping_a_database_that_ended_by_itself_says_so_and_starts_anew_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = MongoDb::start(folder.path()).unwrap();
    wire::command(database.port(), doc! { "shutdown": 1, "force": true, "timeoutSecs": 0 }).unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(10);
    while database.process().unwrap().ended().is_none() {
        assert!(Instant::now() < deadline, "it was told to end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let message = database.stop().unwrap_err().to_string();
    assert!(message.starts_with("MongoDB ended by itself (exit code 0)"), "{message}");
    database.stop().unwrap();
    database.start_again().unwrap();
    assert!(ports::answers(database.port()));
}
