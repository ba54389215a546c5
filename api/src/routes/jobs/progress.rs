//! How much of a file the media host has.

use messages::{Payload, UploadMedia};
use serde::Serialize;
use store::{Asset, JobRecord, JobState};
use utoipa::ToSchema;

/// The second leg of an upload: what the media host has acknowledged, of how many bytes.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Progress)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProgressView {
    /// All of them once it is completed. Less than before if the upload had to begin anew. Null if it is completed and its size is
    /// not known.
    #[schema(required, example = 40_000_000)]
    pub(crate) acknowledged_bytes: Option<u64>,
    /// Null if it is not known: in a list, of an upload that was redriven or accepted by an earlier release.
    #[schema(required, example = 104_857_600)]
    pub(crate) total_bytes: Option<u64>,
}

impl ProgressView {
    /// None of a job that uploads nothing.
    pub(crate) fn of(job: &JobRecord, asset: Option<&Asset>) -> Option<Self> {
        if job.kind != UploadMedia::KIND {
            return None;
        }
        let total_bytes = job.source.as_ref().map(|source| source.bytes).or_else(|| asset.map(|asset| asset.bytes));
        let acknowledged_bytes = match job.state {
            JobState::Completed => total_bytes,
            _ => {
                let acknowledged = job.upload.as_ref().map_or(0, |upload| upload.position.acknowledged_bytes);
                Some(total_bytes.map_or(acknowledged, |total| acknowledged.min(total)))
            }
        };
        Some(Self { acknowledged_bytes, total_bytes })
    }
}
