//! The program itself: what survives it, and how it starts and stops.

use std::io::{BufRead, BufReader};
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloudinary_local::{Config, Error, Server};
use reqwest::Client;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{form, json, md5, png, run, signed, start};

/// The built program on a free port; killed with the test.
pub struct Program {
    child: Child,
    pub url: String,
    pub base: String,
}

impl Program {
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudinary-local"));
        command.arg("--listen").arg("127.0.0.1:0").arg("--data").arg(folder).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("its first line");
        let url = line.trim().strip_prefix("CLOUDINARY_URL=").expect("a CLOUDINARY_URL").to_owned();
        let base = url.split("upload_prefix=").nth(1).expect("an address").to_owned();
        Self { child, url, base }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn upload(client: &Client, base: &str, id: &str, file: &[u8]) -> Option<String> {
    let url = format!("{base}/v1_1/demo/raw/upload");
    let response = client.post(url).multipart(form(signed(&[("public_id", id)]), file)).send().await.ok()?;
    let reply: serde_json::Value = response.json().await.ok()?;
    reply["etag"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn assets_survive_a_restart() {
    let media = start().await;
    let file = png(6, 6);
    let stored = media.store("image", &[("public_id", "a/b"), ("tags", "t"), ("context", "k=v")], &file).await;
    media.store("raw", &[("public_id", "gone")], b"x").await;
    media.call("raw/destroy", &[("public_id", "gone")]).await;
    media.call("image/rename", &[("from_public_id", "a/b"), ("to_public_id", "c")]).await;
    let folder = media.folder;
    media.running.stop().await.expect("stopped");

    let running = run(Config::new(folder.path())).await;
    let assets = running.handle().assets();
    assert_eq!(assets.len(), 1);
    assert_eq!(
        (assets[0].identity.public_id.as_str(), assets[0].labels.tags.as_slice()),
        ("c", ["t".to_owned()].as_slice())
    );
    assert_eq!(assets[0].asset_id, stored["asset_id"]);
    assert_eq!(running.handle().read(&assets[0]).await.expect("readable"), file);
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_and_nothing_else_is_left() {
    let folder = TempDir::new().expect("a folder");
    let client = Client::new();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..3 {
        let program = Program::start(folder.path(), &[]);
        let answers = Arc::new(AtomicUsize::new(0));
        let mut uploads = Vec::new();
        for number in 0..60_u32 {
            let (client, base, id) = (client.clone(), program.base.clone(), format!("{round}/{}", number % 40));
            // Some are replaced while the program dies; some are large enough to go through a file of their own.
            let file = vec![(number % 251) as u8; if number % 3 == 0 { 600_000 } else { 20_000 }];
            let answers = answers.clone();
            uploads.push(tokio::spawn(async move {
                let etag = upload(&client, &base, &id, &file).await?;
                answers.fetch_add(1, Ordering::Relaxed);
                assert_eq!(etag, md5(&file));
                Some(id)
            }));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while answers.load(Ordering::Relaxed) < 5 + 10 * round {
            assert!(Instant::now() < deadline, "too few answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        program.signal("-KILL");
        for upload in uploads {
            answered.extend(upload.await.expect("no panic"));
        }
    }
    let running = run(Config::new(folder.path())).await;
    let assets = running.handle().assets();
    for asset in &assets {
        let bytes = running.handle().read(asset).await.expect("every description has its bytes");
        assert_eq!(md5(&bytes), asset.md5);
    }
    for id in &answered {
        assert!(assets.iter().any(|asset| asset.identity.public_id == *id), "{id} was answered and is lost");
    }
    let files = |name: &str| std::fs::read_dir(folder.path().join(name)).expect("a folder").count();
    assert_eq!((files("blobs"), files("incoming")), (assets.len(), 0));
}

#[tokio::test]
async fn a_folder_belongs_to_one_server() {
    let media = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let error = Server::start(Config::new(media.folder.path()), listener).await.expect_err("in use");
    assert!(matches!(error, Error::DataInUse { .. }), "{error}");
}

#[tokio::test]
async fn a_description_that_cannot_be_read_stops_the_start_and_is_kept() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("assets").join("broken.json");
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(&path, "{").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let error = Server::start(Config::new(folder.path()), listener).await.expect_err("unreadable");
    assert!(error.to_string().contains("broken.json"), "{error}");
    assert!(path.exists());
}

#[tokio::test]
async fn sigterm_ends_the_program_with_success_even_while_it_hangs() {
    let folder = TempDir::new().expect("a folder");
    let mut program = Program::start(folder.path(), &["--fault", "effect=hang,action=ping"]);
    let request = Client::new().get(format!("{}/v1_1/demo/ping", program.base)).basic_auth("1234", Some("abcd"));
    let hanging = tokio::spawn(request.send());
    assert_eq!(upload(&Client::new(), &program.base, "p", b"x").await, Some(md5(b"x")));
    program.signal("-TERM");
    let deadline = Instant::now() + Duration::from_secs(8);
    let status = loop {
        if let Some(status) = program.child.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "still running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
    assert!(hanging.await.expect("no panic").is_err());
}

#[tokio::test]
async fn what_cannot_work_is_said_in_one_line_without_a_secret() {
    let taken = StdListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let media = start().await;
    let in_use = media.folder.path().display().to_string();
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().display().to_string();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let file = file.display().to_string();
    let anywhere = "127.0.0.1:0";
    for (variables, text) in [
        (vec![("DATA", &*data), ("LISTEN", &*address)], format!("cannot listen on {address}")),
        (vec![("DATA", &file), ("LISTEN", anywhere)], format!("cannot use \"{file}")),
        (vec![("DATA", &in_use), ("LISTEN", anywhere)], format!("\"{in_use}\" is in use by another")),
        (vec![("LISTEN", "here")], "CLOUDINARY_LOCAL_LISTEN: expected".to_owned()),
        (vec![("ACCOUNTS", "demo:s3cret")], "CLOUDINARY_LOCAL_ACCOUNTS: expected cloud:key:secret".to_owned()),
        (vec![("ACCOUNTS", "a:b:c,demo:1234:'s3cret'")], "with a secret of ASCII letters".to_owned()),
        (vec![("PUBLIC_URL", "media.example")], "CLOUDINARY_LOCAL_PUBLIC_URL: expected an http or https".to_owned()),
        (vec![("PUBLIC_URL", "https://media.example?a=b")], "not \"https://media.example?a=b\"".to_owned()),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudinary-local"));
        command.env("RUST_BACKTRACE", "1").env("RUST_LOG", "info").current_dir(folder.path());
        command.envs(variables.iter().map(|(name, value)| (format!("CLOUDINARY_LOCAL_{name}"), value)));
        assert_refused(&mut command, &text);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudinary-local"));
    assert_refused(command.args(["--fault", "effect=explode"]), "explode");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudinary-local"));
    assert_refused(command.env("RUST_LOG", "media=loud"), "RUST_LOG: expected a filter");
}

/// Fails unless the program ends at once with one line that contains `text`.
fn assert_refused(command: &mut Command, text: &str) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.starts_with("cloudinary-local: ") && said.contains(text), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn the_url_it_prints_names_where_it_listens() {
    let folder = TempDir::new().expect("a folder");
    let program =
        Program::start(folder.path(), &["--account", "mine:key-1:s3cret", "--public-url", "http://media.example/"]);
    assert!(
        program.url.starts_with("cloudinary://key-1:s3cret@mine?upload_prefix=http://127.0.0.1:"),
        "{}",
        program.url
    );
    let ping = Client::new().get(format!("{}/v1_1/mine/ping", program.base)).basic_auth("key-1", Some("s3cret"));
    assert_eq!(json(ping.send().await.expect("an answer")).await.0, 200);
}
