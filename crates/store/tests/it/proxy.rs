//! A proxy between the store and the database that knows what passes, and interferes with one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bson::{Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::uri;

/// What a proxy does when it sees a certain request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnCommit {
    /// Passes it on and cuts the connection before the reply.
    LoseReply,
    /// Cuts the connection before the server has it.
    LoseRequest,
    /// Passes it on, and from then on nothing gets through in either direction.
    Hang,
    /// Passes it on, and adds to the reply that no majority has confirmed what it did.
    DoubtMajority,
}

pub const COMMIT: &[u8] = b"commitTransaction";

/// Stands between the store and the database and interferes once, with the first commit.
pub async fn proxy(on_commit: OnCommit) -> u16 {
    proxy_at(on_commit, COMMIT, 1).await
}

/// Interferes with the request that is the `turn`th with these words in it.
pub async fn proxy_at(on_commit: OnCommit, words: &'static [u8], turn: usize) -> u16 {
    let upstream: std::net::SocketAddr = {
        let options = mongodb::options::ConnectionString::parse(uri()).expect("an address");
        let mongodb::options::HostInfo::HostIdentifiers(hosts) = options.host_info else { panic!("a plain address") };
        hosts.first().expect("a host").to_string().parse().expect("a numeric address")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (left, hung) = (Arc::new(AtomicUsize::new(turn)), Arc::new(AtomicBool::new(false)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(upstream).await.expect("the database");
            tokio::spawn(pass(client, server, on_commit, words, Arc::clone(&left), Arc::clone(&hung)));
        }
    });
    port
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    on_commit: OnCommit,
    words: &'static [u8],
    left: Arc<AtomicUsize>,
    hung: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let (mut request, mut reply) = ([0; 65536], [0; 65536]);
    loop {
        let passing = tokio::select! {
            read = client.read(&mut request) => request.get(..read?).map(|bytes| (true, bytes)),
            read = server.read(&mut reply) => reply.get(..read?).map(|bytes| (false, bytes)),
        };
        let Some((from_client, bytes)) = passing.filter(|(_, bytes)| !bytes.is_empty()) else { return Ok(()) };
        if hung.load(Ordering::SeqCst) {
            continue;
        }
        if !from_client {
            client.write_all(bytes).await?;
            continue;
        }
        let fits = bytes.windows(words.len()).any(|window| window == words);
        // Wraps after the last, and is never at one again.
        let interfering = fits && left.fetch_sub(1, Ordering::SeqCst) == 1;
        if interfering && on_commit == OnCommit::LoseRequest {
            return Ok(());
        }
        server.write_all(bytes).await?;
        if interfering && on_commit == OnCommit::Hang {
            hung.store(true, Ordering::SeqCst);
        }
        if interfering && on_commit == OnCommit::LoseReply {
            // The server has committed once it answers.
            server.readable().await?;
            return Ok(());
        }
        if interfering && on_commit == OnCommit::DoubtMajority {
            let reply = doubted(&read_message(&mut server).await?);
            client.write_all(&reply).await?;
        }
    }
}

async fn read_message(server: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    server.read_exact(&mut message).await?;
    let length = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
    message.resize(usize::try_from(length).expect("a length"), 0);
    server.read_exact(&mut message[4..]).await?;
    Ok(message)
}

/// A reply as of a server that has waited for a majority in vain. In front of the document are the head, whose first field is the
/// length, flags of which none is set, and the kind of the only section:
/// <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg>
fn doubted(reply: &[u8]) -> Vec<u8> {
    let (head, body) = reply.split_at(16 + 4 + 1);
    assert_eq!(head[16..], [0; 5], "another form of reply than expected");
    let mut body = Document::from_reader(body).expect("a document");
    let error = doc! { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out" };
    body.insert("writeConcernError", error);
    let body = body.to_vec().expect("a document");
    let length = u32::try_from(head.len() + body.len()).expect("a short one");
    [&length.to_le_bytes()[..], &head[4..], &body[..]].concat()
}
