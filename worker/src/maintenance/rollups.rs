//! Tells by the minute what has ended and how long it took, and what waits now, so that whoever looks at the fleet counts nothing.
//!
//! One worker of all does it at a time. Another goes on half a minute after it is not heard of any more.

use std::sync::Arc;
use std::time::Duration;

use store::{Error, Made};

use super::database_gate;
use crate::context::Context;
use crate::error::in_full;

/// Between two hours of what is caught up: nobody waits for it.
const BREATH: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: Arc<Context>) {
    loop {
        // Without its index a count would look at every job.
        database_gate::is_up(&context.database).await;
        let pause = match turn(&context).await {
            Ok(Made::More) => BREATH,
            Ok(Made::UpToDate | Made::NotOurs) => context.settings.roll_up_every,
            Err(cause) => {
                tracing::debug!(cause = in_full(&cause), "cannot tell now what has ended and what waits");
                context.settings.roll_up_every
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn turn(context: &Context) -> Result<Made, Error> {
    let rollups = context.store.rollups();
    let made = rollups.make(&context.worker).await?;
    if made == Made::UpToDate {
        rollups.take_snapshot().await?;
    }
    Ok(made)
}
