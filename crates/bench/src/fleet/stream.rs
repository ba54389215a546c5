//! A client of event streams that costs little, so that thousands of it can be had beside what is measured.

use std::net::SocketAddr;

use anyhow::Context;
use messages::JobId;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const EVENTS: &str = "/api/v1/events";
/// A head that is longer is none.
const MAX_HEAD: usize = 16 * 1024;

/// An open stream of all of a user's jobs.
#[derive(Debug)]
pub struct Stream {
    pub socket: TcpStream,
    body: Chunks,
    text: Vec<u8>,
}

/// What an event says of a job.
#[derive(Debug, Clone)]
pub struct Told {
    pub id: JobId,
    pub state: String,
    /// By the database's clock.
    pub updated_at: OffsetDateTime,
}

impl Told {
    pub fn is_final(&self) -> bool {
        ["completed", "discarded", "cancelled"].contains(&self.state.as_str())
    }
}

impl Stream {
    /// Opens one. `buffer`: bytes that the system may keep for a client that does not read.
    pub async fn open(address: SocketAddr, token: &str, buffer: Option<u32>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer)?;
        }
        let mut socket = socket.connect(address).await?;
        let head = format!("GET {EVENTS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        socket.write_all(head.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        let end = loop {
            if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = socket.read_buf(&mut answer).await?;
            anyhow::ensure!(read > 0 && answer.len() < MAX_HEAD, "no head of an answer");
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        anyhow::ensure!(head.starts_with("http/1.1 200"), "no stream: {}", String::from_utf8_lossy(&answer));
        anyhow::ensure!(head.contains("transfer-encoding: chunked"), "not in chunks: {head}");
        let mut stream = Self { socket, body: Chunks::default(), text: Vec::new() };
        stream.body.take(&answer[end..], &mut stream.text)?;
        Ok(stream)
    }

    /// The next event. `None`: the stream has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Told>> {
        loop {
            while let Some(end) = self.text.windows(2).position(|window| window == b"\n\n") {
                let told = read(&self.text[..end])?;
                self.text.drain(..end + 2);
                if let Some(told) = told {
                    return Ok(Some(told));
                }
            }
            let mut buffer = [0; 4096];
            let count = self.socket.read(&mut buffer).await?;
            if count == 0 || self.body.is_over {
                return Ok(None);
            }
            self.body.take(&buffer[..count], &mut self.text)?;
        }
    }
}

/// Comments and the time to wait are no event.
fn read(block: &[u8]) -> anyhow::Result<Option<Told>> {
    let text = std::str::from_utf8(block).context("an event is text")?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let Some(data) = data else { return Ok(None) };
    let data: Value = serde_json::from_str(data)?;
    let field = |name: &str| data[name].as_str().with_context(|| format!("no {name} in {data}"));
    let updated_at = OffsetDateTime::parse(field("updatedAt")?, &Rfc3339)?;
    Ok(Some(Told { id: field("id")?.parse()?, state: field("state")?.to_owned(), updated_at }))
}

/// A body in chunks (RFC 9112, section 7.1), as it arrives.
#[derive(Debug, Default)]
struct Chunks {
    /// Bytes of this chunk that are still to come, and the line's end after them.
    left: usize,
    size: Vec<u8>,
    is_over: bool,
}

impl Chunks {
    fn take(&mut self, mut input: &[u8], text: &mut Vec<u8>) -> anyhow::Result<()> {
        while !input.is_empty() && !self.is_over {
            if self.left > 0 {
                let count = self.left.min(input.len());
                // The last two bytes of what is left are the line's end.
                let of_text = count.min(self.left.saturating_sub(2));
                text.extend_from_slice(&input[..of_text]);
                self.left -= count;
                input = &input[count..];
                continue;
            }
            let (byte, rest) = (input[0], &input[1..]);
            input = rest;
            if byte != b'\n' {
                self.size.push(byte);
                continue;
            }
            let size = std::str::from_utf8(&self.size)?.trim();
            let size = usize::from_str_radix(size, 16).with_context(|| format!("{size:?} is no size"))?;
            self.size.clear();
            self.is_over = size == 0;
            self.left = size + 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_wherever_they_were_cut() {
        let body = b"7\r\nid: 1\n\n\r\n1e\r\nevent: job\ndata: {\"a\":\"\r\n\r\n\"}\n\r\n0\r\n\r\n";
        for size in 1..body.len() {
            let (mut chunks, mut text) = (Chunks::default(), Vec::new());
            for piece in body.chunks(size) {
                chunks.take(piece, &mut text).expect("chunks");
            }
            assert_eq!(text, b"id: 1\n\nevent: job\ndata: {\"a\":\"\r\n\r\n\"}\n", "{size} at a time");
            assert!(chunks.is_over);
        }
    }

    #[test]
    fn an_event_is_told_from_a_comment() {
        assert!(read(b":").expect("a comment").is_none());
        assert!(read(b"retry: 1000").expect("no event").is_none());
        let block = br#"id: 7
event: job
data: {"id":"019389a0-0000-7000-8000-000000000001","state":"completed","updatedAt":"2026-11-30T09:00:00.123Z"}"#;
        let told = read(block).expect("text").expect("an event");
        assert!(told.is_final() && told.updated_at.millisecond() == 123);
    }
}
