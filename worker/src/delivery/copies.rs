//! Copies of a message: a relay or an API that does not hear the broker's confirm publishes it again, a broker that is restored has
//! it twice. One costs a claim, which finds the job claimed; ten thousand would hold up everybody else for as many.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use broker::{Delivery, Hold};
use messages::MessageId;

/// Messages that are remembered.
const REMEMBERED: usize = 10_000;

/// Which messages are held or were acknowledged here. Whoever publishes a job anew makes a new message, so one that was
/// acknowledged has nothing more to say.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<Messages>);

#[derive(Debug, Default)]
struct Messages {
    known: HashMap<MessageId, Known>,
    /// The oldest first.
    order: VecDeque<MessageId>,
}

#[derive(Debug)]
enum Known {
    Held(Hold),
    Acknowledged,
}

impl Copies {
    /// Whether the message of a delivery is held by another delivery here, or was acknowledged. If not, this one holds it now.
    ///
    /// What the broker delivers again is no copy: it may be all that is left of a job whose worker died.
    pub(super) fn is_copy(&self, message: MessageId, delivery: &Delivery) -> bool {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = match messages.known.get(&message) {
            Some(Known::Held(hold)) => hold.is_unsettled(),
            Some(Known::Acknowledged) => true,
            None => false,
        };
        if is_known && !delivery.redelivered {
            return true;
        }
        messages.note(message, Known::Held(delivery.hold()));
        false
    }

    pub(super) fn acknowledged(&self, message: MessageId) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.note(message, Known::Acknowledged);
    }
}

impl Messages {
    fn note(&mut self, message: MessageId, known: Known) {
        if self.known.insert(message, known).is_none() {
            self.order.push_back(message);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let copies = Copies::default();
        let messages: Vec<MessageId> = (0..=REMEMBERED).map(|_| MessageId::new()).collect();
        for message in messages.iter().chain(&messages[1..]) {
            copies.acknowledged(*message);
        }
        let known = copies.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!((known.known.len(), known.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!known.known.contains_key(&messages[0]));
    }
}
