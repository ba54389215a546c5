//! The sign of life itself.

use bson::{Bson, Document, doc};
use messages::JobId;
use serde::{Deserialize, Serialize};
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{KEPT, Workers};
use crate::Error;
use crate::codec::{BsonDateTime, after};

/// What a worker tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    pub name: String,
    pub version: String,
    pub host: String,
    pub spool: String,
    /// Whether it takes no deliveries.
    pub draining: bool,
    pub slots: Vec<SlotsOf>,
    /// All that it runs, the longest first. The first [`Sign::MAX_RUNNING`] are written.
    pub running: Vec<RunningJob>,
    pub clock_offset_ms: Option<i64>,
    pub spool_fill: Option<SpoolFill>,
}

impl Sign {
    /// Jobs that one sign names.
    pub const MAX_RUNNING: usize = 100;
}

/// How many jobs of a kind a worker runs at once, and how many it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotsOf {
    pub kind: String,
    pub slots: u32,
    pub used: u32,
}

/// A job that a worker runs.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningJob {
    pub job: JobId,
    pub kind: String,
    /// When the attempt began, by the server's clock.
    #[serde_as(as = "BsonDateTime")]
    pub since: OffsetDateTime,
}

/// What lay in a worker's spool when it was last swept, and what is free on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpoolFill {
    pub files: u64,
    pub bytes: u64,
    /// None: the disk does not say.
    pub free_bytes: Option<u64>,
}

impl Workers {
    /// Writes that a worker lives. The first of a name says when it started. Costs one small update, which waits for no majority.
    pub async fn sign(&self, sign: &Sign) -> Result<(), Error> {
        self.write(sign, false).await
    }

    /// Writes that a worker ends in good order. A second call moves the time.
    pub async fn leave(&self, sign: &Sign) -> Result<(), Error> {
        self.write(sign, true).await
    }

    async fn write(&self, sign: &Sign, leaves: bool) -> Result<(), Error> {
        let named: Vec<&RunningJob> = sign.running.iter().take(Sign::MAX_RUNNING).collect();
        let mut set = doc! {
            "version": literal(sign.version.as_str()),
            "host": literal(sign.host.as_str()),
            "spool": literal(sign.spool.as_str()),
            "since": { "$ifNull": ["$since", "$$NOW"] },
            "lastSign": "$$NOW",
            "draining": sign.draining,
            "slots": literal(bson(&sign.slots)?),
            "running": literal(bson(&named)?),
            "runningCount": i64::try_from(sign.running.len()).unwrap_or(i64::MAX),
            "clockOffsetMs": sign.clock_offset_ms,
            "spoolFill": literal(bson(&sign.spool_fill)?),
            "expireAt": after(KEPT),
        };
        if leaves {
            set.insert("leftAt", "$$NOW");
        }
        let written = self.notes.update_one(doc! { "_id": &sign.name }, vec![doc! { "$set": set }]).upsert(true);
        self.connection.bounded(written).await?;
        Ok(())
    }
}

fn literal(value: impl Into<Bson>) -> Document {
    doc! { "$literal": value.into() }
}

fn bson<T: Serialize>(value: &T) -> Result<Bson, Error> {
    bson::serialize_to_bson(value).map_err(|cause| Error::Database(cause.into()))
}
