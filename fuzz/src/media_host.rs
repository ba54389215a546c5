//! A media host that answers what a script says, and the real client before it.
//!
//! A script is one byte that chooses what the client does, then one reply per request, separated by [`NEXT`]. A reply that
//! begins with `HTTP/` is sent as it is; any other is a status (the first byte chooses) and a body, which get a head. In both
//! some words are replaced by what only the host would know, see [`filled_in`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cloudinary::signature::{Algorithm, response_signature};
use cloudinary::{Checksum, Client, Config, Error, ResourceType, Stored, Upload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const NEXT: u8 = 0x1e;
/// With a letter, or a number in a reply could be the key by chance.
const KEY: &str = "k836174920485613";
const SECRET: &str = "nobody-may-ever-read-this";
const PUBLIC_ID: &str = "a";
const CONTENT: &[u8] = b"abc";
const CHUNKED: &[u8] = b"abcabcabc";
const STATUSES: [u16; 16] = [200, 200, 200, 200, 201, 204, 302, 400, 400, 401, 403, 404, 409, 420, 429, 503];
/// The longest text of an error that anybody wants to read in a log.
const LONGEST: usize = 4_000;

struct Host {
    runtime: Runtime,
    client: Client,
    replies: Replies,
    files: tempfile::TempDir,
}

type Replies = Arc<Mutex<VecDeque<Vec<u8>>>>;

static HOST: OnceLock<Host> = OnceLock::new();

/// Starts the host.
pub fn start() -> &'static impl Sized {
    host()
}

fn host() -> &'static Host {
    HOST.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies = Replies::default();
        runtime.spawn(serve(listener, Arc::clone(&replies)));
        let mut config = Config::new("demo", KEY, SECRET).expect("settings");
        config.upload_prefix = format!("http://{address}").parse().expect("an address");
        config.chunk_size = 4;
        (config.timeout, config.min_rate) = (Duration::from_secs(2), 1_000_000);
        let client = Client::new(config).expect("a client");
        let files = tempfile::tempdir().expect("a folder");
        for content in [CONTENT, CHUNKED] {
            std::fs::write(files.path().join(content.len().to_string()), content).expect("a file");
        }
        Host { runtime, client, replies, files }
    })
}

/// Lets the client meet these replies, and checks what it makes of them.
///
/// # Panics
///
/// When the client believes what it must not, or an error is unfit for a log.
pub fn play(script: &[u8]) {
    let Some((&operation, replies)) = script.split_first() else { return };
    let host = host();
    let replies = replies.split(|byte| *byte == NEXT).take(8).map(reply).collect();
    *host.replies.lock().unwrap_or_else(PoisonError::into_inner) = replies;
    host.runtime.block_on(async {
        match operation % 4 {
            0 => believed(host.client.upload(&host.upload(CONTENT)).await, CONTENT),
            1 => believed(host.client.upload(&host.upload(CHUNKED)).await, CHUNKED),
            2 => fit(host.client.destroy(ResourceType::Image, PUBLIC_ID).await),
            _ => fit(host.client.lookup(ResourceType::Image, PUBLIC_ID).await),
        }
    });
}

/// An upload counts as done only for our asset with our bytes.
fn believed(outcome: Result<Stored, Error>, content: &[u8]) {
    if let Ok(stored) = &outcome {
        assert_eq!((stored.public_id.as_str(), stored.bytes), (PUBLIC_ID, content.len() as u64), "{stored:?}");
        assert!(stored.etag.is_none() || stored.holds(content.len() as u64, md5_of(content)), "{stored:?}");
    }
    fit(outcome);
}

/// An error is one line of bounded length without secrets, and says what to do.
fn fit<T>(outcome: Result<T, Error>) {
    let Err(error) = outcome else { return };
    let _class = error.class();
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= LONGEST, "{} bytes: {text}", text.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
    for secret in [SECRET, KEY] {
        assert!(!text.contains(secret), "{text}");
    }
}

fn md5_of(content: &[u8]) -> &'static str {
    if content.len() == CONTENT.len() { "900150983cd24fb0d6963f7d28e17f72" } else { "97ac82a5b825239e782d0339e2d7b910" }
}

impl Host {
    fn upload(&self, content: &[u8]) -> Upload {
        Upload {
            resource_type: ResourceType::Image,
            public_id: PUBLIC_ID.to_owned(),
            path: self.files.path().join(content.len().to_string()),
            bytes: content.len() as u64,
            checksum: Checksum::Md5(md5_of(content).to_owned()),
            file_name: "file".to_owned(),
            name: "job".to_owned(),
            resume: None,
            progress: None,
        }
    }
}

fn reply(script: &[u8]) -> Vec<u8> {
    let script = filled_in(script);
    if script.starts_with(b"HTTP/") {
        return script;
    }
    let (status, body) = script
        .split_first()
        .map_or((200, &[][..]), |(first, body)| (STATUSES[usize::from(*first) % STATUSES.len()], body));
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// `@SIGN@` becomes a good signature of our asset, `@KEY@` our key, which real replies repeat, and the MD5 of both files have
/// words too: no mutation would hit on these.
fn filled_in(script: &[u8]) -> Vec<u8> {
    let signature = response_signature(PUBLIC_ID, 1, SECRET, Algorithm::Sha1);
    let words =
        [("@SIGN@", signature.as_str()), ("@KEY@", KEY), ("@MD5@", md5_of(CONTENT)), ("@MD5-9@", md5_of(CHUNKED))];
    let mut filled = script.to_vec();
    for (word, value) in words {
        while let Some(at) = filled.windows(word.len()).position(|window| window == word.as_bytes()) {
            filled.splice(at..at + word.len(), value.bytes());
        }
    }
    filled
}

/// Answers one request a connection, and hangs up when there is no reply left.
async fn serve(listener: TcpListener, replies: Replies) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let replies = Arc::clone(&replies);
        tokio::spawn(async move {
            if read_request(&mut stream).await.is_some() {
                let reply = replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                // A client that has had enough of it has hung up.
                let _ = stream.write_all(&reply.unwrap_or_default()).await;
                let _ = stream.shutdown().await;
            }
        });
    }
}

/// Reads a request to its end: one that is answered before has its connection reset, and then the reply is lost.
async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if request.len() >= end + 4 + length.unwrap_or(0) {
            return Some(());
        }
    }
}
