//! A release build of the API as a process, on real services, with users who are signed in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::load::Request;
use mongodb::Database;
use mongodb::options::ClientOptions;
use secrecy::SecretString;
use store::Store;
use testkit::{ACCESS_TOKEN_SECRET, Process, Services, VirtualHost, free_address, make_users, program};
use uuid::Uuid;

const USERS: usize = 1000;

/// Everything of one measurement. [`World::remove`] ends it.
pub struct World {
    pub address: SocketAddr,
    pub database: Database,
    store: Store,
    host: VirtualHost,
    api: Process,
    tokens: Arc<Vec<String>>,
}

impl World {
    pub async fn start(root: &Path, services: &Services) -> anyhow::Result<Self> {
        let name = format!("bench-{}", Uuid::new_v4().simple());
        let host = VirtualHost::create(services, &name).await;
        let address = free_address()?;
        let env = [
            ("STEEP_ENV", "development".to_owned()),
            ("PORT", address.port().to_string()),
            ("MONGODB_URI", services.mongodb.clone()),
            ("MONGODB_DATABASE", name.clone()),
            ("RABBITMQ_URL", host.url()),
            ("SPOOL_DIR", root.join(&name).display().to_string()),
            ("RUST_LOG", "warn".to_owned()),
            ("ACCESS_TOKEN_SECRET", ACCESS_TOKEN_SECRET.to_owned()),
        ];
        let api = Process::spawn("api", &program("api")?, &[], &env, root)?;
        api.wait_for_ok(&format!("http://{address}/readyz")).await?;
        let store =
            Store::connect(&store::Config::new(SecretString::from(services.mongodb.clone()), &name, "bench")?).await?;
        // The yardstick may have a connection for each of its tasks, as ours may; the driver's own limit is ten.
        let mut options = ClientOptions::parse(services.mongodb.as_str()).await?;
        options.max_pool_size = Some(100);
        let database = mongodb::Client::with_options(options)?.database(&name);
        let tokens = Arc::new(make_users(&store, &database, USERS).await?);
        Ok(Self { address, database, store, host, api, tokens })
    }

    /// `GET /current-user` by the user whose turn it is.
    pub fn current_user(&self) -> impl Fn(usize) -> Request + Clone + use<> {
        let tokens = self.tokens.clone();
        move |number| {
            let authorization = format!("authorization: Bearer {}\r\n", tokens[number % tokens.len()]);
            Request::new("GET", "/api/v1/users/current-user", &authorization, Vec::new())
        }
    }

    /// Stops everything and removes it.
    pub async fn remove(self) -> anyhow::Result<()> {
        drop(self.api);
        self.host.delete().await;
        Ok(self.store.drop_database().await?)
    }
}
