//! Webhooks: the addresses to which users have their events sent, and what became of each event at each of them.
//!
//! An event is fanned out by the worker that notes it as published, and before that note: until every enabled endpoint of its owner
//! has a delivery with its job, the event stays due, and a relay finds it. So nothing is added to the transactions that make events
//! true, and what an endpoint is to get is decided when that is durable: one that was registered before gets it, whichever process
//! its owner asked.
//!
//! A delivery is named by endpoint and event. It is made once, whoever fans out the same event again.

mod deliveries;
mod endpoints;
mod fan_out;
mod outcomes;
mod replay;

use std::time::Duration;

use bson::{Bson, doc};
use messages::{EndpointId, EventId};

use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, plain, unique};
use crate::jobs::Jobs;

pub use deliveries::{Delivery, DeliveryAttempt, DeliveryPage, DeliveryState};
pub use endpoints::{
    ANY_EVENT, Disabled, Endpoint, EndpointChanges, EndpointPage, EndpointPosition, Holder, MAX_ENDPOINTS, NewEndpoint,
};
pub use outcomes::{HappenedEvent, Recipient, Tried};
pub use replay::{RangeReplay, Replay};

/// For how long an event and its deliveries are kept, if the event does not say it.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Endpoints and deliveries.
#[derive(Debug, Clone)]
pub struct Webhooks {
    connection: Connection,
    jobs: Jobs,
    endpoints: Documents,
    deliveries: Documents,
    events: Documents,
}

impl Webhooks {
    /// Failures after which a delivery has failed. With the delays of its handler that takes about a day.
    pub const MAX_ATTEMPTS: u32 = 26;

    pub(crate) fn new(jobs: &Jobs) -> Self {
        let connection = &jobs.connection;
        Self {
            connection: connection.clone(),
            jobs: jobs.clone(),
            endpoints: connection.collection("webhook_endpoints"),
            deliveries: connection.collection("webhook_deliveries"),
            events: connection.collection("events"),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![
            // By it a user has so many endpoints and no more.
            (self.endpoints.clone(), unique(doc! { "owner": 1, "slot": 1 })),
            // For the list of all.
            (self.endpoints.clone(), plain(doc! { "createdAt": -1, "_id": -1 })),
            // For replaying a range, and for what goes with an endpoint. Lists are read by `_id`.
            (self.deliveries.clone(), plain(doc! { "endpoint": 1, "happenedAt": 1 })),
            (self.deliveries.clone(), expiring()),
        ]
    }
}

/// The `_id` of a delivery.
fn delivery_id(endpoint: EndpointId, event: EventId) -> Bson {
    format!("{endpoint}:{event}").into()
}
