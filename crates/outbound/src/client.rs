//! Making requests to addresses of users.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;

use crate::{Refusal, Resolver};

/// How long a connection may take, with looking its host up, which has limits of its own.
const CONNECT: Duration = Duration::from_secs(8);
/// How long a request may take with its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const MAX_ANSWER: usize = 16 * 1024;

/// Why there is no client: the machine's certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare requests to webhooks: {0}")]
pub struct Error(#[from] reqwest::Error);

/// What is posted. Not for the log: an address may have a secret in its query.
pub struct Post<'a> {
    /// Where to.
    pub url: &'a str,
    /// Names the message, whatever attempt this is.
    pub id: &'a str,
    /// When this attempt is made, seconds since 1970.
    pub timestamp: i64,
    /// Its signatures, with a space in between.
    pub signatures: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long to wait before another attempt, if the answer says so.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was not asked.
    #[error("the address {0}")]
    Refused(#[from] Refusal),
    /// It did not answer in time.
    #[error("no answer within 10 seconds")]
    Timeout,
    /// Nobody listens there.
    #[error("no connection")]
    NoConnection,
    /// Somebody does, and does not prove to be who was asked for: the certificate is not valid, or there is none.
    #[error("no secure connection: its certificate is not valid, or it does not speak TLS")]
    Tls,
    /// What came is no answer, or it was cut off.
    #[error("no valid answer")]
    NoAnswer,
}

impl Failure {
    /// A word for it that is permanent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::Timeout => "timeout",
            Self::NoConnection => "no-connection",
            Self::Tls => "tls",
            Self::NoAnswer => "no-answer",
        }
    }
}

/// Asks addresses of users. Clones share what they look up with.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    resolver: Resolver,
}

/// Gives a connection the addresses that were judged, and no others.
struct Judged(Resolver);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            // The port is the one of the request.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

impl Client {
    /// # Errors
    ///
    /// [`Error`], if the machine's certificates cannot be read.
    pub fn new(resolver: Resolver) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .user_agent("Steep-Webhooks/1")
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .https_only(!resolver.reach().allow_private)
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            // No connection outlives its request: the next one is judged anew.
            .pool_max_idle_per_host(0)
            .dns_resolver(std::sync::Arc::new(Judged(resolver.clone())))
            .build()?;
        Ok(Self { http, resolver })
    }

    /// Posts a message, once. The answer is that of the address itself, whatever it is: a redirect is one.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Unless it is [`Failure::Refused`] the message may have arrived.
    pub async fn post(&self, post: Post<'_>) -> Result<Answer, Failure> {
        let url = self.resolver.judge(post.url)?;
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", post.id)
            .header("webhook-timestamp", post.timestamp)
            .header("webhook-signature", post.signatures)
            .body(post.body);
        let mut reply = request.send().await.map_err(|error| failure(&error))?;
        let answer = Answer { status: reply.status().as_u16(), retry_after: retry_after(reply.headers()) };
        // The status tells all. The rest is read so that the other side can finish, and what cannot be read changes nothing.
        let mut read = 0;
        while read < MAX_ANSWER {
            match reply.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(answer)
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    let (mut cause, mut is_tls): (Option<&(dyn StdError + 'static)>, _) = (Some(error), false);
    while let Some(this) = cause {
        if let Some(refusal) = this.downcast_ref::<Refusal>() {
            return Failure::Refused(*refusal);
        }
        is_tls |= this.downcast_ref::<io::Error>().is_some_and(is_of_tls);
        cause = this.source();
    }
    match error {
        error if error.is_connect() && is_tls => Failure::Tls,
        error if error.is_timeout() => Failure::Timeout,
        error if error.is_connect() => Failure::NoConnection,
        _ => Failure::NoAnswer,
    }
}

/// What TLS says of the other side while they connect. An error that was wrapped is no source of the one around it.
fn is_of_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    error.kind() == io::ErrorKind::InvalidData || inner.is_some_and(is_of_tls)
}

/// Seconds, or a time by the clock of whoever answers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::Reach;
    use crate::resolve::tests::Scripted;

    /// Somebody who takes requests, and gives each the same answer.
    struct Receiver {
        port: u16,
        asked: Arc<AtomicUsize>,
    }

    impl Receiver {
        async fn start<A>(answer: impl Fn(TcpStream) -> A + Send + 'static) -> Self
        where
            A: Future<Output = ()> + Send + 'static,
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            let asked = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&asked);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.read(&mut [0; 4096]).await;
                    tokio::spawn(answer(stream));
                }
            });
            Self { port, asked }
        }

        async fn saying(head: &'static str) -> Self {
            Self::start(move |mut stream| async move {
                let _ = stream.write_all(head.as_bytes()).await;
            })
            .await
        }

        fn url(&self) -> String {
            format!("http://127.0.0.1:{}/hook", self.port)
        }
    }

    fn lax() -> Client {
        Client::new(Resolver::system(Reach { allow_private: true }, 1)).expect("a client")
    }

    async fn post(client: &Client, url: &str) -> Result<Answer, Failure> {
        let body = b"{}".to_vec();
        client.post(Post { url, id: "an-id", timestamp: 1, signatures: "v1,a v1,b".to_owned(), body }).await
    }

    #[tokio::test]
    async fn an_answer_is_its_status_and_how_long_to_wait() {
        for (head, status, retry_after) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, None),
            ("HTTP/1.1 503 No\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n", 503, Some(120)),
            (
                "HTTP/1.1 429 No\r\ndate: Mon, 30 Nov 2026 04:00:00 GMT\r\nretry-after: Mon, 30 Nov 2026 04:01:00 GMT\r\n\
                 content-length: 0\r\n\r\n",
                429,
                Some(60),
            ),
            ("HTTP/1.1 500 No\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n", 500, None),
        ] {
            let receiver = Receiver::saying(head).await;
            let retry_after = retry_after.map(Duration::from_secs);
            assert_eq!(post(&lax(), &receiver.url()).await, Ok(Answer { status, retry_after }), "{head}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let elsewhere = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let location = elsewhere.url();
        let receiver = Receiver::start(move |mut stream| {
            let head = format!("HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            async move {
                let _ = stream.write_all(head.as_bytes()).await;
            }
        })
        .await;
        assert_eq!(post(&lax(), &receiver.url()).await, Ok(Answer { status: 307, retry_after: None }));
        assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off_and_its_status_counts() {
        let (cut, mut sent) = tokio::sync::mpsc::channel(1);
        let receiver = Receiver::start(move |mut stream| {
            let cut = cut.clone();
            async move {
                let mut sent = 0;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {
                    sent += 4096;
                }
                let _ = cut.send(sent).await;
            }
        })
        .await;
        assert_eq!(post(&lax(), &receiver.url()).await, Ok(Answer { status: 200, retry_after: None }));
        // What lies in the buffers of both sides is not read.
        let sent: usize = sent.recv().await.expect("the connection is closed");
        assert!(sent < 32 * 1024 * 1024, "{sent}");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_network_by_now_is_not_asked() {
        let receiver = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let resolver = Resolver::new(Reach::default(), Scripted::new(&[&["93.184.216.34"], &["127.0.0.1"]]), 1);
        let url = format!("https://example.com:{}/hook", receiver.port);
        assert!(resolver.admit(&url).await.is_ok());
        let client = Client::new(resolver).expect("a client");
        assert_eq!(post(&client, &url).await, Err(Failure::Refused(Refusal::Private)));
        for url in [format!("https://127.0.0.1:{}/", receiver.port), format!("https://[::1]:{}/", receiver.port)] {
            assert_eq!(post(&client, &url).await, Err(Failure::Refused(Refusal::Private)));
        }
        assert_eq!(post(&client, "http://1.1.1.1/").await, Err(Failure::Refused(Refusal::Scheme)));
        assert_eq!(receiver.asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn nobody_is_told_from_somebody_who_speaks_otherwise() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        assert_eq!(post(&lax(), &format!("http://{nobody}/")).await, Err(Failure::NoConnection));
        let receiver = Receiver::saying("no HTTP at all\r\n\r\n").await;
        assert_eq!(post(&lax(), &receiver.url()).await, Err(Failure::NoAnswer));
    }

    /// Time passes as soon as everybody waits.
    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_not_waited_for() {
        let silent = Receiver::start(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(post(&lax(), &silent.url()).await, Err(Failure::Timeout));
    }
}
