//! The program as its users run it.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use store::JobState;

use crate::support::{Env, until};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.env_clear().env("RUST_LOG", "info").stdin(Stdio::null());
    command
}

fn in_world(env: &Env) -> Command {
    let mut command = program();
    command.envs(env.worker_settings());
    command
}

fn refused(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "one line: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_stops_it_with_one_line_that_names_the_variable() {
    let env = Env::start().await;
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let occupied = occupied.local_addr().expect("an address").to_string();
    let file = env.folder().join("a file");
    std::fs::write(&file, "").expect("written");
    let file = file.display().to_string();
    for (variable, value) in [
        ("CLOUDINARY_URL", ""),
        ("CLOUDINARY_URL", "https://key:s3cret@cloud"),
        ("CLOUDINARY_NOTIFICATION_URL", "http://user:s3cret@api.example/"),
        ("MONGODB_URI", "postgres://user:s3cret@localhost"),
        ("RABBITMQ_URL", "http://user:s3cret@localhost"),
        ("SPOOL_DIR", &file),
        ("SPOOL_ID", "No Such Name"),
        ("WORKER_UPLOADS", "0"),
        ("WORKER_CONCURRENCY", "media.upload=0"),
        ("WORKER_LEASE", "soon"),
        ("WORKER_ATTEMPT_LIMIT", "2h"),
        ("WORKER_HEALTH", "8001"),
        ("WORKER_HEALTH", &occupied),
        ("RUST_LOG", "steep=loud"),
        ("LOG_FORMAT", "xml"),
    ] {
        let output = in_world(&env).env(variable, value).output().expect("it runs");
        let line = refused(&output);
        assert!(line.contains(variable), "{variable}={value}: {line}");
        assert!(!line.contains("s3cret"), "{line}");
    }
    let output = in_world(&env).env_remove("MONGODB_URI").output().expect("it runs");
    assert!(refused(&output).contains("MONGODB_URI"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_an_env_file_in_which_nothing_malformed_is_passed_over() {
    let env = Env::start().await;
    let file = env.folder().join(".env");
    std::fs::write(&file, "CLOUDINARY_URL=cloudinary://a:b@c\nWORKER_LEASE=soon\nUNKNOWN=1\n").expect("written");
    let run = |command: &mut Command| refused(&command.current_dir(env.folder()).output().expect("it runs"));
    assert!(run(&mut in_world(&env)).starts_with("worker: WORKER_LEASE: expected"));
    // What is set already wins.
    assert!(run(in_world(&env).env("WORKER_LEASE", "1s")).contains("1s"));

    std::fs::write(&file, "PORT=1\nCLOUDINARY_API_SECRET=s3cret and more\n").expect("written");
    let line = run(&mut in_world(&env));
    assert!(line.starts_with("worker: .env: expected") && line.contains("follows PORT"), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
}

#[test]
fn its_help_tells_no_secret() {
    let output =
        program().env("CLOUDINARY_URL", "cloudinary://key:s3cret@cloud").arg("--help").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    assert!(text.contains("CLOUDINARY_URL") && !text.contains("s3cret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_stays_small_and_ends_with_0_after_sigterm() {
    let env = Env::start().await;
    let mut child = in_world(&env).stderr(Stdio::null()).spawn().expect("it runs");
    let upload = env.enqueue(b"by a real process").await;
    env.until(upload.job, JobState::Completed).await;

    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    println!("resident after one upload: {}", resident.trim());
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill").success());
    let begin = Instant::now();
    until("it has ended", async || child.try_wait().expect("a child").is_some()).await;
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    env.finish().await;
}
