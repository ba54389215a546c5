//! Points on the path of an upload at which a test can make the real programs crash.
//!
//! Code says that it has got somewhere with [`reach`]. Unless the feature `armed` is on, that is nothing at all; only tests turn
//! it on, and a build with optimisation refuses it. A program that is armed aborts, without unwinding or cleaning up, when it
//! reaches the point that the variable [`VARIABLE`] names:
//!
//! ```text
//! STEEP_CRASH_AT=worker.claimed                      the first time that it gets there
//! STEEP_CRASH_AT=worker.claimed#3                    the third time
//! STEEP_CRASH_AT=worker.claimed=019389a0-…           the first time with this job
//! STEEP_CRASH_AT=worker.claimed=media.delete.v1      the first time with a job of this kind
//! STEEP_CRASH_AT=store.transaction.open=shared       the first time that several changes share it
//! ```
//!
//! The list of points is complete: a test goes through [`Point::ALL`], and a point that is never reached makes it fail.

#[cfg(all(feature = "armed", not(debug_assertions)))]
compile_error!("crash points are for tests and do not belong into a build with optimisation");

#[cfg(feature = "armed")]
mod armed;

use std::fmt::Display;

/// Names the point at which to crash.
pub const VARIABLE: &str = "STEEP_CRASH_AT";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// Where a program can be made to crash: right after what the name says, before anybody was told of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point, in the order of the path.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// The point's name: which part of the system, and how far it has got.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    SpoolWritten = "spool.written",
    /// The file has its name among the whole ones, and neither it nor the name is synced.
    SpoolRenamed = "spool.renamed",
    SpoolSynced = "spool.synced",
    TransactionOpen = "store.transaction.open",
    TransactionCommitted = "store.transaction.committed",
    /// Several claims were made in one command, and nobody knows which.
    ClaimsMade = "store.claims.made",
    PublishBegun = "broker.publish.begun",
    PublishSent = "broker.publish.sent",
    PublishConfirmed = "broker.publish.confirmed",
    JobMarked = "store.job.marked",
    WorkerDecoded = "worker.decoded",
    WorkerClaimed = "worker.claimed",
    /// A part of a file is on its way to the media host. The whole is too, if it is small.
    UploadSending = "cloudinary.sending",
    /// The media host has answered, and its answer has not been read.
    UploadAnswered = "cloudinary.answered",
    /// The work is done, or has failed, and nothing recorded.
    WorkerPerformed = "worker.performed",
    /// The outcome is durable; the file, if any, is still there.
    WorkerRecorded = "worker.recorded",
    WorkerUnlinked = "worker.unlinked",
    /// The delivery is acknowledged; follow-up jobs are not published.
    WorkerSettled = "worker.settled",
    EventPublished = "worker.event.published",
    EventMarked = "worker.event.marked",
    EventsTaken = "relay.events.taken",
    /// A job was released at shutdown, and its delivery not requeued.
    WorkerReleased = "worker.released",
    RelayTaken = "relay.taken",
    /// The database has let go of the file of a job that was discarded long ago, and the file is still there.
    SweeperForgot = "sweeper.forgot",
    /// The sweeper has removed what an upload left that broke off.
    SweeperAbandoned = "sweeper.abandoned",
    /// The sweeper knows which files nobody needs, and has removed none.
    SweeperJudged = "sweeper.judged",
    SweeperRemoved = "sweeper.removed",
}

/// Says that a point is reached. Does not return if this is where to crash.
#[inline]
pub fn reach(point: Point) {
    reach_with(point, &[]);
}

/// As [`reach`], and says with what: a job's id and kind, or whether a transaction is shared.
#[inline]
#[cfg_attr(not(feature = "armed"), expect(unused_variables, reason = "nothing happens"))]
pub fn reach_with(point: Point, subjects: &[&dyn Display]) {
    #[cfg(feature = "armed")]
    armed::reach_with(point, subjects);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        for (index, point) in Point::ALL.iter().enumerate() {
            assert_eq!(Point::ALL.iter().position(|other| other.name() == point.name()), Some(index), "{point:?}");
        }
    }
}
