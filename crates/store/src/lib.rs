//! Everything Steep keeps in MongoDB: users, assets, jobs, and the rules by which they change together.
//!
//! Methods are verbs of the domain; documents and queries stay inside. Each change that belongs together is one transaction
//! with majority, journaled write concern, so what a method answered is what a crash leaves behind. Every method is bounded
//! in time. Every change of a job is conditional: made a second time, it finds that it was made and does nothing.
//!
//! The collections of the system that Steep replaces (`users`, ...) are read in place: our own state lives in a field of our
//! own (`steep`) and in collections of our own (`assets`, `jobs`, `sessions`, `subscription_intents`, ...), and no migration
//! is needed to start.

mod adoption;
mod batching;
mod channels;
mod codec;
mod config;
mod connection;
mod counters;
mod error;
mod events;
mod idempotency;
mod indexes;
mod jobs;
mod media;
mod store;
mod transaction;
mod users;

pub use adoption::{Adopting, Adoption, Finding, Progress};
pub use channels::{
    Channel, Channels, Counts, Listed, Profile, Standing, Subscription, SubscriptionPage, Wish, subscribers,
};
pub use config::{Config, StoreArgs};
pub use counters::{Checked, Counter, CounterKey, Counters, Drift, Numbers, Pace, Recount};
pub use error::{Error, Field};
pub use events::Events;
pub use idempotency::{Idempotency, IdempotencyKey, StoredAnswer};
pub use jobs::{
    Attempt, AttemptOutcome, Claim, ClaimRequest, Claimed, Discard, Due, End, Fence, JobRecord, JobState, Jobs,
    Outcome, QueueAge, Record, Rescue, Retry, Settle, TRANSITIONS, UploadPosition, UploadProgress,
};
pub use media::{
    Accepted, Asset, AssetState, Failed, Media, MediaType, NewUpload, Page, Published, Redrive, Refusal, ResourceType,
    Role, Spooled, StoredMedia, public_id,
};
pub use store::{Store, new_asset_id, new_session_id, new_user_id};
pub use users::{
    Credentials, Hits, Image, MAX_SESSIONS, NewSession, NewUser, PasswordHash, PasswordVersion, RateLimits, Renewal,
    Rotation, Session, Sessions, TokenHash, User, Users, normalised,
};
