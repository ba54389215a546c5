//! Counts against a recount, and subscriptions against what subscribers were told.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ledger::Ledger;
use crate::state::State;

pub fn check(ledger: &Ledger, state: &State) -> Vec<String> {
    let mut found = Vec::new();
    let (mut subscribers, mut subscribed_to) = (HashMap::<&str, i64>::new(), HashMap::<&str, i64>::new());
    for (subscriber, channel) in &state.subscriptions {
        *subscribers.entry(channel).or_default() += 1;
        *subscribed_to.entry(subscriber).or_default() += 1;
    }
    for user in state.users.values() {
        let counted = |counts: &HashMap<&str, i64>| counts.get(user.id.as_str()).copied().unwrap_or_default();
        let (true_subscribers, true_subscribed_to) = (counted(&subscribers), counted(&subscribed_to));
        if (user.subscribers, user.subscribed_to) != (true_subscribers, true_subscribed_to) {
            found.push(format!(
                "{}: {} subscribers and {} channels are stored, {true_subscribers} and {true_subscribed_to} are true",
                user.username, user.subscribers, user.subscribed_to
            ));
        }
    }
    let there: HashSet<(&str, &str)> =
        state.subscriptions.iter().map(|(subscriber, channel)| (subscriber.as_str(), channel.as_str())).collect();
    if there.len() != state.subscriptions.len() {
        found.push(format!("{} subscriptions are double", state.subscriptions.len() - there.len()));
    }
    let ids: BTreeMap<&str, &str> =
        state.users.values().map(|user| (user.username.as_str(), user.id.as_str())).collect();
    for ((subscriber, channel), told) in ledger.standings() {
        let Some(told) = told else { continue };
        let id = ids.get(subscriber.as_str()).copied().unwrap_or_default();
        if there.contains(&(id, channel.as_str())) != told {
            found.push(format!("{subscriber} was told subscribed = {told} of {channel}, which is not so"));
        }
    }
    found
}
