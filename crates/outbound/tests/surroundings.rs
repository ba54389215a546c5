//! What the machine around a request says does not lead it elsewhere: variables for proxies, and whoever answers in another's place.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use outbound::{Answer, Client, Failure, Post, Reach, Resolver};

const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const PROXIED: &str = "OUTBOUND_TEST_PROXIED";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Answers whoever comes, and counts them.
fn listen() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (port, asked) = (listener.local_addr().expect("an address").port(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(ANSWER);
        }
    });
    (port, asked)
}

fn client() -> Client {
    Client::new(Resolver::system(Reach { allow_private: true }, 1)).expect("a client")
}

async fn post(client: &Client, url: &str) -> Result<Answer, Failure> {
    let body = b"{}".to_vec();
    client.post(Post { url, id: "an-id", timestamp: 1, signatures: "v1,a".to_owned(), body }).await
}

/// The variables of a process are read when a client is made, so this test runs itself again with them.
#[tokio::test]
async fn no_proxy_of_the_machine_is_asked() {
    let (port, asked) = listen();
    if let Some(proxy) = std::env::var_os(PROXIED) {
        // Whoever does not refuse to is led to it: so it would be noticed.
        let url = format!("http://127.0.0.1:{port}/hooks");
        reqwest::get(&url).await.expect("an answer of the proxy");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{proxy:?} was not asked");
        assert_eq!(post(&client(), &url).await, Ok(Answer { status: 204, retry_after: None }));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        return;
    }
    let proxy = format!("http://127.0.0.1:{port}");
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", "no_proxy_of_the_machine_is_asked", "--nocapture"]);
    again.envs(PROXIES.map(|name| (name, &proxy))).env(PROXIED, &proxy).env_remove("NO_PROXY").env_remove("no_proxy");
    let ended = again.output().expect("it runs");
    assert!(
        ended.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1, "by the one that asks whichever proxy there is");
}

/// `openssl s_server` with a certificate that nobody has signed but itself. It ends when it is dropped.
struct SelfSigned {
    server: Child,
    url: String,
}

impl SelfSigned {
    fn start() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("outbound-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| folder.join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|made| made.success()) {
            return None;
        }
        let mut server = Command::new("openssl");
        server.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-naccept", "8"]);
        server.arg("-key").arg(&key).arg("-cert").arg(&certificate);
        let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a server");
        // `ACCEPT 127.0.0.1:40123`
        let mut said = BufReader::new(server.stdout.take().expect("its output")).lines();
        let port = said.find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse::<u16>().ok());
        let url = format!("https://localhost:{}/hooks", port.expect("a port"));
        // It may say more, and must not wait for a reader.
        thread::spawn(move || said.for_each(drop));
        std::fs::remove_dir_all(&folder).expect("a folder");
        Some(Self { server, url })
    }
}

impl Drop for SelfSigned {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn a_receiver_with_a_certificate_of_its_own_making_is_sent_nothing() {
    let Some(receiver) = SelfSigned::start() else {
        eprintln!("skipped: openssl makes no certificate on this machine");
        return;
    };
    assert_eq!(post(&client(), &receiver.url).await, Err(Failure::Tls));
    // It does answer those whom its certificate does not concern.
    let unconcerned = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build();
    let answer = unconcerned.expect("a client").get(&receiver.url).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_from_nobody() {
    let (port, _) = listen();
    assert_eq!(post(&client(), &format!("https://127.0.0.1:{port}/hooks")).await, Err(Failure::Tls));
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert_eq!(post(&client(), &format!("https://{nobody}/hooks")).await, Err(Failure::NoConnection));
}
