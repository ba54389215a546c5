//! Counts the requests and the bytes of upload bodies, in total and per public id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;

/// Upload requests that arrived, refused ones included. Every chunk counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Per public id, only requests whose parameters were read.
    pub upload_requests: u64,
    /// With multipart framing.
    pub body_bytes: u64,
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn read(&self) -> Traffic {
        Traffic {
            upload_requests: self.requests.load(Ordering::Relaxed),
            body_bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// One counter for each public id that was ever uploaded, for as long as the server runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    total: Arc<Counter>,
    by_public_id: Mutex<HashMap<String, Arc<Counter>>>,
}

impl Counters {
    pub(crate) fn meter(&self) -> Meter {
        self.total.requests.fetch_add(1, Ordering::Relaxed);
        Meter { total: self.total.clone(), so_far: AtomicU64::new(0), bound: OnceLock::new() }
    }

    /// Counts a request for a public id: what has arrived of it and what will.
    pub(crate) fn bind(&self, meter: &Meter, public_id: &str) {
        let mut counters = self.by_public_id.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.entry(public_id.to_owned()).or_default().clone();
        if meter.bound.set(counter.clone()).is_ok() {
            counter.requests.fetch_add(1, Ordering::Relaxed);
            counter.bytes.fetch_add(meter.so_far.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub(crate) fn total(&self) -> Traffic {
        self.total.read()
    }

    pub(crate) fn of(&self, public_id: &str) -> Traffic {
        let counters = self.by_public_id.lock().unwrap_or_else(PoisonError::into_inner);
        counters.get(public_id).map(|counter| counter.read()).unwrap_or_default()
    }
}

/// Counts the bytes of one request as they arrive, also of one that never ends.
#[derive(Debug)]
pub(crate) struct Meter {
    total: Arc<Counter>,
    so_far: AtomicU64,
    bound: OnceLock<Arc<Counter>>,
}

impl Meter {
    pub(crate) fn add(&self, bytes: u64) {
        self.total.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.so_far.fetch_add(bytes, Ordering::Relaxed);
        if let Some(counter) = self.bound.get() {
            counter.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}
