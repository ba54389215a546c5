//! Jobs: what a worker is asked to do.
//!
//! Adding a kind: a file with its payload, a line in the table below, a handler in the worker's `jobs` with its line in the
//! registry there, and a golden file in `tests/golden`. Deploy workers before APIs: a worker that meets a kind from the future
//! dead-letters it.

mod act_on_jobs;
mod delete_media;
mod deliver_webhook;
mod recompute_channel;
mod recount_counter;
mod upload_media;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use act_on_jobs::ActOnJobs;
pub use delete_media::DeleteMedia;
pub use deliver_webhook::DeliverWebhook;
pub use recompute_channel::RecomputeChannel;
pub use recount_counter::RecountCounter;
pub use upload_media::UploadMedia;

use crate::kinds::kinds;
use crate::{DecodeError, SpoolId};

/// What a job of one kind carries.
pub trait Payload: Serialize + DeserializeOwned + Into<Job> + Send + Sync + 'static {
    /// The kind's permanent name.
    const KIND: &'static str;
    /// Where its messages go.
    const QUEUE: Queue;

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Payload`]. Unknown fields are ignored: a newer version may have added them.
    fn from_data(data: Value) -> Result<Self, DecodeError> {
        serde_json::from_value(data).map_err(|cause| DecodeError::payload(Self::KIND, &cause))
    }

    /// At most one unfinished job of the kind has such a key. `None`: any number may be unfinished at once.
    fn unique_key(&self) -> Option<String>;
}

/// The queues of a kind. Names are permanent, as kinds are: a queue that is no longer written to must still drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// The queue's name, or what the names of all of them begin with.
    pub name: &'static str,
    /// Whether every spool has a queue of its own, because the job needs a file that lies in it.
    pub per_spool: bool,
}

impl Queue {
    /// The queue from which the workers of a spool take the kind's jobs.
    pub fn of(&self, spool: &SpoolId) -> String {
        self.with(spool.as_str())
    }

    /// The same for any spool, which stands as `{spool}` in it.
    pub fn of_any(&self) -> String {
        self.with("{spool}")
    }

    fn with(&self, spool: &str) -> String {
        if self.per_spool { format!("{}.{spool}", self.name) } else { self.name.to_owned() }
    }

    /// Whether that is the name of one of them.
    pub fn has(&self, name: &str) -> bool {
        match name.strip_prefix(self.name) {
            Some("") => !self.per_spool,
            Some(rest) => self.per_spool && rest.starts_with('.'),
            None => false,
        }
    }
}

macro_rules! jobs {
    ($($(#[$doc:meta])* $payload:ident = $kind:literal in $queue:literal $(per $spool:ident)? $(unique by $key:ident $(and $other:ident)?)?,)*) => {
        kinds! {
            /// A job's kind and payload. Imperative, because nothing has happened yet.
            Job: $($(#[$doc])* $payload = $kind,)*
        }

        impl Job {
            /// Every kind with its queues.
            pub const QUEUES: &'static [(&'static str, Queue)] = &[$(($kind, <$payload as Payload>::QUEUE)),*];

            /// The queue, and routing key, that this job is published to.
            pub fn queue(&self) -> String {
                match self {
                    $(Self::$payload(_job) => [$queue $(, _job.$spool.as_str())?].join("."),)*
                }
            }

            /// The kind whose jobs go to a queue. `None`: this version has none.
            pub fn kind_in(queue: &str) -> Option<&'static str> {
                let queues = [$((<$payload as Payload>::QUEUE, $kind)),*];
                queues.into_iter().find(|(known, _)| known.has(queue)).map(|(_, kind)| kind)
            }

            /// See [`Payload::unique_key`].
            pub fn unique_key(&self) -> Option<String> {
                match self {
                    $(Self::$payload(job) => job.unique_key(),)*
                }
            }
        }

        $(
            impl Payload for $payload {
                const KIND: &'static str = $kind;
                const QUEUE: Queue =
                    Queue { name: $queue, per_spool: !<[&str]>::is_empty(&[$(stringify!($spool))?]) };

                fn unique_key(&self) -> Option<String> {
                    None$(.or_else(|| Some([self.$key.to_string() $(, self.$other.to_string())?].join(":"))))?
                }
            }
        )*
    };
}

jobs! {
    /// Move a spooled file to Cloudinary.
    UploadMedia = "media.upload.v1" in "media.upload" per spool,
    /// Delete an asset from Cloudinary that nothing shows any more.
    DeleteMedia = "media.delete.v1" in "media.delete",
    /// Count a channel's subscribers anew.
    RecomputeChannel = "channel.recompute.v1" in "channel.recompute" unique by channel,
    /// Recount what a counter of another name counts.
    RecountCounter = "counter.recount.v1" in "counter.recount" unique by counter,
    /// Send an event to an address that a user has registered.
    DeliverWebhook = "webhook.deliver.v1" in "webhook.deliver" unique by endpoint and event,
    /// Retry, discard or cancel all jobs that match a filter, as an admin has decided.
    ActOnJobs = "jobs.act.v1" in "jobs.act" unique by action,
}
