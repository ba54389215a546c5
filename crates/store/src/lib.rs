//! Everything Steep keeps in MongoDB: users, assets, jobs, and the rules by which they change together.
//!
//! Methods are verbs of the domain; documents and queries stay inside. Each change that belongs together is one transaction
//! with majority, journaled write concern, so what a method answered is what a crash leaves behind. Every method is bounded
//! in time. Every change of a job is conditional: made a second time, it finds that it was made and does nothing.
//!
//! The collections of the system that Steep replaces (`users`, ...) are read in place: our own state lives in a field of our
//! own (`steep`) and in collections of our own (`assets`, `jobs`, `sessions`, `subscription_intents`, ...), and no migration
//! is needed to start.

mod accept;
mod accounts;
mod adoption;
mod aggregates;
mod assets;
mod attempts;
mod channel;
mod claim;
mod config;
mod connection;
mod deletions;
mod documents;
mod error;
mod finish;
mod gather;
mod idempotency;
mod indexes;
mod jobs;
mod names;
mod profile;
mod progress;
mod reconcile;
mod recount;
mod redrive;
mod relay;
mod replace;
mod sessions;
mod state;
mod subscriptions;
mod together;
mod transaction;
mod transitions;
mod users;

pub use accept::{Accepted, NewUpload, NewUser};
pub use accounts::{Credentials, PasswordVersion};
pub use adoption::{Adopting, Finding, Progress};
pub use aggregates::{Counts, Pace};
pub use assets::{Asset, AssetState, MediaType, Page, ResourceType, Role, Spooled, StoredMedia, public_id};
pub use attempts::Count;
pub use channel::Channel;
pub use claim::{Claim, Claimed, Rescue};
pub use config::{Config, StoreArgs};
pub use connection::{Store, new_asset_id, new_session_id, new_user_id};
pub use error::{Error, Field};
pub use finish::{Outcome, Retry};
pub use idempotency::{IdempotencyKey, StoredAnswer};
pub use jobs::{Attempt, AttemptOutcome, JobRecord};
pub use profile::Profile;
pub use progress::{UploadPosition, UploadProgress};
pub use reconcile::{Checked, Drift};
pub use recount::Recount;
pub use redrive::{Redrive, Refusal};
pub use relay::{Due, QueueAge};
pub use sessions::{MAX_SESSIONS, NewSession, Renewal, Rotation, Session, TokenHash};
pub use state::{JobState, TRANSITIONS};
pub use subscriptions::{Listed, Standing, Subscription, SubscriptionPage, Wish};
pub use users::{Image, PasswordHash, User, normalised};
