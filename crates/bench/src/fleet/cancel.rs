//! From the request that cancels a running upload to its stopped transfer.
//!
//! The media host reads slowly, so that every upload is in the middle of its transfer, over a connection of its own. One after the other
//! is cancelled, and its transfer has stopped when the worker has closed that connection.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use testkit::{Services, jpeg};

use super::{PATIENCE, plain_row, time_row};
use crate::load::{Connection, Latencies, Request};
use crate::system::{Form, Setup, System};
use crate::table::Row;

const UPLOADS: usize = 240;
/// Users of whom each has some of them.
const USERS: usize = 40;
/// Bytes of each, and how slowly they go: it lasts minutes.
const FILE: usize = 2_000_000;
const BYTES_PER_SECOND: usize = 4_000;
/// Between two looks at the connections.
const LOOK: Duration = Duration::from_millis(2);
/// proc(5), `net/tcp`: the state of a connection that is open at both ends.
const ESTABLISHED: &str = "01";

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    // They would be taken for stuck otherwise.
    let worker = vec![("CLOUDINARY_MIN_RATE", "1".to_owned())];
    let setup = Setup { uploads: Some(UPLOADS), worker, ..Setup::default() };
    let system = System::start_with(setup, root, services, USERS).await?;
    let slow = json!({ "effect": "slow_read", "bytes_per_second": BYTES_PER_SECOND, "action": "upload" });
    system.fault(slow).await?;
    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "me.jpg", &[jpeg(FILE)]));
    let port: u16 = system.media.url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a port")?;
    let mut client = Connection::new(system.api_address);
    let (mut known, mut running) = (connections(port)?, Vec::with_capacity(UPLOADS));
    // One after the other, so that each is known by its connection.
    for number in 0..UPLOADS {
        let reply = client.send(&upload(number)).await?;
        let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
        let job = body["data"]["jobs"][0]["id"].as_str().with_context(|| format!("refused: {body}"))?.to_owned();
        let deadline = Instant::now() + PATIENCE;
        let transfer = loop {
            if let Some(transfer) = connections(port)?.difference(&known).next() {
                break *transfer;
            }
            anyhow::ensure!(Instant::now() < deadline, "upload {number} does not run");
            tokio::time::sleep(LOOK).await;
        };
        known.insert(transfer);
        running.push((number, job, transfer));
    }
    // One that has run for less than a moment is not looked after.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (mut stopped, mut answered) = (Latencies::default(), Latencies::default());
    for (number, job, transfer) in &running {
        let token = &system.tokens[number % system.tokens.len()];
        let headers = format!("authorization: Bearer {token}\r\n");
        let cancel = Request::new("DELETE", &format!("/api/v1/jobs/{job}"), &headers, Vec::new());
        anyhow::ensure!(connections(port)?.contains(transfer), "the transfer of job {job} has stopped by itself");
        let begun = Instant::now();
        let reply = client.send(&cancel).await?;
        anyhow::ensure!(reply.status == 200, "not cancelled: {}", String::from_utf8_lossy(&reply.body));
        answered.push(reply.took);
        while connections(port)?.contains(transfer) {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the transfer of job {job} goes on");
            tokio::time::sleep(LOOK).await;
        }
        stopped.push(begun.elapsed());
    }
    system.remove().await?;
    let second = Duration::from_secs(1);
    println!(
        "{} uploads cancelled; answered: p50 {:?}, p99 {:?}",
        running.len(),
        answered.percentile(0.5),
        answered.percentile(0.99)
    );
    Ok(vec![
        time_row("from cancelling to the stopped transfer, p50", stopped.percentile(0.5), "", second * 60),
        time_row("the same, p99", stopped.percentile(0.99), "<= 1 s", second),
        plain_row("running uploads that were cancelled", stopped.count().to_string(), ">= 200", stopped.count() >= 200),
    ])
}

/// The open connections to a port of this machine, by the ports that they come from.
fn connections(port: u16) -> anyhow::Result<HashSet<u16>> {
    let table = fs::read_to_string("/proc/net/tcp").context("reading /proc/net/tcp")?;
    Ok(table.lines().skip(1).filter_map(|line| connection_to(line, port)).collect())
}

/// The own port of a line of `net/tcp`, if it is about an open connection to another one.
fn connection_to(line: &str, port: u16) -> Option<u16> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [local, remote] = [fields.get(1)?, fields.get(2)?].map(|address| {
        let (_, port) = address.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    });
    (remote? == port && *fields.get(3)? == ESTABLISHED).then_some(local?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_a_port_are_seen_while_they_are_open() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let own = client.local_addr().expect("an address").port();
        assert_eq!(connections(port).expect("a table"), HashSet::from([own]));
        drop((listener, client));
        assert!(connections(port).expect("a table").is_empty());
    }
}
