//! Requests byte by byte, for what no HTTP client would send.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::{Answer, Client, PATIENCE};
use crate::secrets;

/// Between the parts of a [`RawForm`].
const BOUNDARY: &str = "steep-test-0123456789";

/// The content type of a [`RawForm`].
pub const FORM_TYPE: &str = "multipart/form-data; boundary=steep-test-0123456789";

/// One connection, on which a test sends what it likes when it likes.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    authorization: String,
    operation: String,
    began: Instant,
}

impl Wire {
    /// Connects to the API that a client speaks to, with the session that the client has.
    pub async fn open(client: &Client) -> Self {
        Self::open_from(client, Ipv4Addr::LOCALHOST).await
    }

    /// The same from another address of this machine's, such as 127.0.0.2. What the api sends is buffered sparingly.
    pub async fn open_from(client: &Client, source: Ipv4Addr) -> Self {
        let address = client.url().trim_start_matches("http://").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a fresh socket");
        socket.bind((source, 0).into()).expect("an address of this machine");
        let stream = socket.connect(address).await.expect("the api listens");
        stream.set_nodelay(true).expect("an open socket");
        let authorization =
            client.token().map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        Self { stream, authorization, operation: String::new(), began: Instant::now() }
    }

    /// Sends the head of a request: its first line, `Host`, the session, and these headers.
    pub async fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.began = Instant::now();
        self.operation = format!("{method} {path}");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{}", self.authorization);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes()).await;
    }

    /// Sends the head of a form that will have `length` bytes.
    pub async fn form_head(&mut self, method: &str, path: &str, length: usize) {
        self.head(method, path, &[("content-type", FORM_TYPE), ("content-length", &length.to_string())]).await;
    }

    /// Sends bytes, as far as the other side takes them: a server may hang up on what it refused.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Says that nothing more will come, and still listens.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    pub async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.expect("an answer in time")
    }

    /// Waits until the other side hangs up. Answers what it said before.
    pub async fn until_hung_up(&mut self) -> String {
        let mut received = Vec::new();
        // A connection that is reset has been hung up too.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut received)).await.expect("hung up in time");
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Reads so many bytes of whatever comes. `false`: the other side hangs up before.
    pub async fn read_on(&mut self, bytes: usize) -> bool {
        let mut some = vec![0; bytes];
        timeout(PATIENCE, self.stream.read_exact(&mut some)).await.expect("more in time").is_ok()
    }

    /// Whether the other side ends what it says, and then takes what is sent for so long, instead of resetting.
    pub async fn is_read_on_for(&mut self, time: Duration) -> bool {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("an end in time");
        let until = Instant::now() + time;
        while ended.is_ok() && Instant::now() < until {
            if self.stream.write_all(b"more").await.is_err() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ended.is_ok()
    }

    async fn read_answer(&mut self) -> Answer {
        let mut received = Vec::new();
        let (head, body_at) = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(received[..end].to_vec()).expect("a head of text");
                break (head, end + 4);
            }
            self.read_more(&mut received).await;
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let status = status.parse().unwrap_or_else(|_| panic!("no status in {head:?}"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        while received.len() < body_at + length {
            self.read_more(&mut received).await;
        }
        let body = &received[body_at..body_at + length];
        secrets::answered(&self.operation, StatusCode::as_u16(&status), &head, body);
        let body = serde_json::from_slice(body).unwrap_or_default();
        Answer { status, headers, body, took: self.began.elapsed() }
    }

    async fn read_more(&mut self, received: &mut Vec<u8>) {
        let read = self.stream.read_buf(received).await.expect("the connection holds until the answer is there");
        assert!(read > 0, "the api hung up after {:?}", String::from_utf8_lossy(received));
    }
}

/// The body of a form, well-formed or not.
#[derive(Clone, Debug, Default)]
pub struct RawForm(Vec<u8>);

impl RawForm {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part with this head, whose lines are separated by CRLF.
    #[must_use]
    pub fn part(mut self, head: &str, content: &[u8]) -> Self {
        self.0.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("content-disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    #[must_use]
    pub fn file(self, name: &str, file_name: &str, content: &[u8]) -> Self {
        let disposition = format!("content-disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"");
        self.part(&format!("{disposition}\r\ncontent-type: application/octet-stream"), content)
    }

    /// The parts so far, without the end.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub fn finished(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}
