//! `channel.recompute.v1`: counts a channel anew.
//!
//! All of it happens in the database: counting, storing the numbers, forgetting the changes that are in them and ending the
//! job are one transaction (`Store::complete_recompute`), so that an attempt that dies anywhere has changed nothing, and a
//! second one finds that it is fenced.

use messages::RecomputeChannel;

use super::Done;

pub(super) const fn perform(job: &RecomputeChannel) -> Done {
    Done::Recompute { channel: job.channel }
}
