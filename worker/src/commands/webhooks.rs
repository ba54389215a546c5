//! `worker webhooks`: endpoints of whoever runs the system, to which everybody's events are sent.

use anyhow::bail;
use messages::{EndpointId, Event};
use outbound::{Reach, Resolver};
use secrecy::ExposeSecret;
use store::{ANY_EVENT, Endpoint, EndpointChanges, Holder, MAX_ENDPOINTS, NewEndpoint, Store};

use super::print;

/// Endpoints that get everybody's events.
#[derive(Debug, clap::Subcommand)]
pub enum Webhooks {
    /// Send everybody's events to an address, and print the secret that they are signed with: it is shown once
    Add {
        /// The address, which begins with https://
        #[arg(value_name = "URL")]
        url: String,
        /// A kind of events, such as media.ready.v1; may be repeated; all of them if none is given
        #[arg(long = "event", value_name = "KIND", value_parser = kind)]
        events: Vec<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// All of them, the oldest first: id, whether anything is sent to it and why not, events, address
    List,
    /// Enable one that was disabled because nothing arrived
    Enable {
        /// As `webhooks list` prints it
        #[arg(value_name = "ID")]
        id: EndpointId,
    },
    /// Print another secret for one; for a day the one before signs too
    Rotate {
        /// As `webhooks list` prints it
        #[arg(value_name = "ID")]
        id: EndpointId,
    },
    /// Remove one, with the log of what was sent to it
    Remove {
        /// As `webhooks list` prints it
        #[arg(value_name = "ID")]
        id: EndpointId,
    },
}

fn kind(text: &str) -> Result<String, String> {
    if text == ANY_EVENT || Event::KINDS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected one of {}", Event::KINDS.join(", ")))
}

impl Webhooks {
    pub(super) async fn run(self, store: &Store, reach: Reach) -> anyhow::Result<()> {
        let webhooks = store.webhooks();
        match self {
            Self::Add { url, events, description } => add(store, reach, &url, events, description).await,
            Self::List => {
                let endpoints = webhooks.endpoints_of(Holder::Operator).await?;
                let rows: Vec<[String; 4]> = endpoints.into_iter().map(row).collect();
                print::table(["ID", "STATE", "EVENTS", "ADDRESS"], &rows)
            }
            Self::Enable { id } => {
                let changes = EndpointChanges { enabled: Some(true), ..EndpointChanges::default() };
                let changed = webhooks.change(Holder::Operator, id, changes).await?;
                known(id, changed.map(|_| format!("{id} is enabled")))
            }
            Self::Rotate { id } => {
                let secret = outbound::new_secret();
                let rotated = webhooks.rotate(Holder::Operator, id, &secret).await?;
                known(id, rotated.map(|_| secret.expose_secret().to_owned()))
            }
            Self::Remove { id } => {
                let is_gone = webhooks.remove(Holder::Operator, id).await?;
                known(id, is_gone.then(|| format!("{id} is removed")))
            }
        }
    }
}

async fn add(store: &Store, reach: Reach, url: &str, events: Vec<String>, description: String) -> anyhow::Result<()> {
    let url = match Resolver::system(reach, 1).admit(url).await {
        Ok(url) => url.into(),
        Err(refusal) => bail!("the address {refusal}"),
    };
    // No worker does it for this command, and without its index there may be any number.
    store.ensure_indexes().await?;
    let events = if events.is_empty() { vec![ANY_EVENT.to_owned()] } else { events };
    let secret = outbound::new_secret();
    let new = NewEndpoint { holder: Holder::Operator, url, events, description, secret: secret.clone() };
    let Some(endpoint) = store.webhooks().register(new).await? else {
        bail!("there are {MAX_ENDPOINTS} already, and there may not be more: remove one first");
    };
    print::line(&format!("{} {}", endpoint.id, secret.expose_secret()))
}

fn row(endpoint: Endpoint) -> [String; 4] {
    let state = match endpoint.disabled {
        _ if endpoint.enabled => "enabled".to_owned(),
        Some(disabled) => format!("disabled: {}", disabled.reason),
        None => "disabled".to_owned(),
    };
    [endpoint.id.to_string(), state, endpoint.events.join(","), endpoint.url]
}

fn known(id: EndpointId, done: Option<String>) -> anyhow::Result<()> {
    match done {
        Some(done) => print::line(&done),
        None => bail!("there is no endpoint {id}; `webhooks list` prints those that there are"),
    }
}
