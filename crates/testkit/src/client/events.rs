//! Server-sent events, read as a browser reads them.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::timeout;

use super::{Answer, Client, PATIENCE};
use crate::secrets;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub kind: String,
    pub data: Value,
}

impl Told {
    /// The job that it is about.
    pub fn job(&self) -> &str {
        self.data["id"].as_str().unwrap_or_default()
    }

    pub fn state(&self) -> &str {
        self.data["state"].as_str().unwrap_or_default()
    }
}

/// An open stream of events. Dropping it hangs up.
#[derive(Debug)]
pub struct EventStream {
    reply: Response,
    operation: String,
    unread: Vec<u8>,
    /// What a client would send as `Last-Event-ID` if it had to connect again.
    pub last_id: String,
    /// After how many milliseconds it would.
    pub retry: Option<u64>,
    pub comments: usize,
}

impl Client {
    /// Follows events at a path, behind the one with this id. Answers the refusal, if it is one.
    pub async fn follow(&self, path: &str, last_id: Option<&str>) -> Result<EventStream, Box<Answer>> {
        // As long as a test may take.
        let mut request = self.request(Method::GET, path).timeout(Duration::from_secs(600));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let reply = request.send().await.expect("the api answers");
        let (status, headers) = (reply.status(), reply.headers().clone());
        let operation = format!("GET {path}");
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if content_type == "text/event-stream" {
            let (unread, last_id) = (Vec::new(), last_id.unwrap_or_default().to_owned());
            return Ok(EventStream { reply, operation, unread, last_id, retry: None, comments: 0 });
        }
        let body = reply.bytes().await.expect("a whole answer");
        secrets::answered(&operation, status.as_u16(), &format!("{headers:?}"), &body);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Err(Box::new(Answer { status, headers, body, took: Duration::ZERO }))
    }
}

impl EventStream {
    /// The next event. `None`: the stream has ended, or broke.
    pub async fn next(&mut self) -> Option<Told> {
        timeout(PATIENCE, self.read()).await.expect("an event in time")
    }

    /// Reads on until a job is told to be in a state. Answers all that was told until then, that included.
    pub async fn until(&mut self, job: &str, state: &str) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.unwrap_or_else(|| panic!("it ended before {job} was {state}: {all:?}"));
            let is_it = told.job() == job && told.state() == state;
            all.push(told);
            if is_it {
                return all;
            }
        }
    }

    async fn read(&mut self) -> Option<Told> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|window| window == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(told) = self.take(std::str::from_utf8(&block).expect("text")) {
                    return Some(told);
                }
            }
            let chunk = self.reply.chunk().await.ok().flatten()?;
            self.unread.extend_from_slice(&chunk);
        }
    }

    fn take(&mut self, block: &str) -> Option<Told> {
        secrets::answered(&self.operation, 200, "", block.as_bytes());
        let (mut kind, mut data) = ("message".to_owned(), Vec::new());
        for line in block.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", value) => value.clone_into(&mut kind),
                ("data", value) => data.push(value),
                ("id", value) => value.clone_into(&mut self.last_id),
                ("retry", value) => self.retry = value.parse().ok(),
                (comment, _) if comment.starts_with(':') => self.comments += 1,
                _ => panic!("{line:?} is no line of an event"),
            }
        }
        let data = data.join("\n");
        (!data.is_empty()).then(|| Told { kind, data: serde_json::from_str(&data).expect("JSON") })
    }
}
