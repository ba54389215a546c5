//! Release builds of our programs, as processes, on real services, with users to upload as.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mongodb::Database;
use mongodb::options::ClientOptions;
use secrecy::SecretString;
use serde_json::json;
use store::Store;
use testkit::process::{self, free_address, program};
use testkit::{ACCESS_TOKEN_SECRET, Process, Services, VirtualHost, make_users};
use uuid::Uuid;

use crate::load::Request;
use crate::media_host::MediaHost;

/// Everything of one measurement. Dropping it stops the programs; [`System::remove`] also removes what they kept.
#[derive(Debug)]
pub struct System {
    /// What the programs keep.
    pub folder: PathBuf,
    /// The documents as they are.
    pub database: Database,
    pub store: Store,
    pub host: VirtualHost,
    pub api: Process,
    pub api_address: SocketAddr,
    pub worker: Process,
    /// Access tokens of as many users.
    pub tokens: Arc<Vec<String>>,
    /// Where the worker says how it is.
    pub health: SocketAddr,
    api_env: Vec<(&'static str, String)>,
    worker_env: Vec<(&'static str, String)>,
    pub media: MediaHost,
}

/// What a measurement sets differently.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Uploads that the worker performs at once.
    pub uploads: Option<usize>,
    /// Where the media host keeps its files.
    pub media: Option<PathBuf>,
    /// Further settings, which win.
    pub api: Vec<(&'static str, String)>,
    pub worker: Vec<(&'static str, String)>,
}

impl System {
    /// Starts a media host, an API and a worker, and makes users.
    pub async fn start(root: &Path, services: &Services, users: usize) -> anyhow::Result<Self> {
        Self::start_with(Setup::default(), root, services, users).await
    }

    /// As [`System::start`], but for what is set.
    pub async fn start_with(setup: Setup, root: &Path, services: &Services, users: usize) -> anyhow::Result<Self> {
        let name = format!("bench-{}", Uuid::new_v4().simple());
        let folder = root.join(&name);
        let host = VirtualHost::create(services, &name).await;
        let media = MediaHost::start(setup.media.unwrap_or_else(|| folder.join("media")), &folder).await?;
        let [api_address, health] = [free_address()?, free_address()?];

        let shared = vec![
            ("STEEP_ENV", "development".to_owned()),
            ("MONGODB_URI", services.mongodb.clone()),
            ("MONGODB_DATABASE", name.clone()),
            ("RABBITMQ_URL", host.url()),
            ("SPOOL_DIR", folder.join("spool").display().to_string()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        let mut env = shared.clone();
        env.push(("CLOUDINARY_URL", format!("cloudinary://1234:abcd@demo?upload_prefix={}", media.url)));
        env.push(("WORKER_HEALTH", health.to_string()));
        env.extend(setup.uploads.map(|uploads| ("WORKER_UPLOADS", uploads.to_string())));
        env.extend(setup.worker);
        let worker_env = env;
        let mut worker = process::spawn("worker", &program("worker")?, &[], &worker_env, &folder)?;
        let mut env = shared;
        env.push(("PORT", api_address.port().to_string()));
        env.push(("ACCESS_TOKEN_SECRET", ACCESS_TOKEN_SECRET.to_owned()));
        env.push(("USER_MAX_UNFINISHED", "100000".to_owned()));
        env.extend(setup.api);
        let api_env = env;
        let mut api = process::spawn("api", &program("api")?, &[], &api_env, &folder)?;
        process::until_ok(&mut api, &format!("http://{api_address}/readyz")).await?;
        process::until_ok(&mut worker, &format!("http://{health}/readyz")).await?;

        let config = store::Config::new(SecretString::from(services.mongodb.clone()), &name, "bench")?;
        let store = Store::connect(&config).await?;
        // A yardstick may have a connection for each of its tasks, as the programs may; the driver's own limit is ten.
        let mut options = ClientOptions::parse(services.mongodb.as_str()).await?;
        options.max_pool_size = Some(100);
        let database = mongodb::Client::with_options(options)?.database(&name);
        let tokens = Arc::new(make_users(&store, &database, users).await?);
        Ok(Self { folder, database, store, host, api, api_address, worker, health, api_env, worker_env, tokens, media })
    }

    /// Lets every upload to the media host hang.
    pub async fn hang(&self) -> anyhow::Result<()> {
        self.fault(json!({"effect": "hang", "action": "upload"})).await
    }

    /// Lets the media host misbehave.
    pub async fn fault(&self, fault: serde_json::Value) -> anyhow::Result<()> {
        reqwest::Client::new().post(self.faults()).json(&fault).send().await?.error_for_status()?;
        Ok(())
    }

    /// Lets uploads pass again. Those that hang would do so until they time out, so they go with their worker.
    pub async fn unhang(&mut self) -> anyhow::Result<()> {
        reqwest::Client::new().delete(self.faults()).send().await?.error_for_status()?;
        self.worker.kill();
        self.restart_worker()
    }

    /// Starts a worker in the place of one that was killed.
    pub fn restart_worker(&mut self) -> anyhow::Result<()> {
        self.worker = process::spawn("worker", &program("worker")?, &[], &self.worker_env, &self.folder)?;
        Ok(())
    }

    /// Starts an api in the place of one that was killed, and waits until it is ready.
    pub async fn restart_api(&mut self) -> anyhow::Result<()> {
        self.api = process::spawn("api", &program("api")?, &[], &self.api_env, &self.folder)?;
        process::until_ok(&mut self.api, &format!("http://{}/readyz", self.api_address)).await
    }

    /// Workers that are started from now on do without a setting.
    pub fn unset_of_worker(&mut self, name: &str) {
        self.worker_env.retain(|(known, _)| *known != name);
    }

    /// Starts another worker beside the first, and waits until it is ready.
    pub async fn another_worker(&self, name: &str) -> anyhow::Result<Process> {
        let health = free_address()?;
        let mut env = self.worker_env.clone();
        // The last of two wins.
        env.push(("WORKER_HEALTH", health.to_string()));
        let mut worker = process::spawn(name, &program("worker")?, &[], &env, &self.folder)?;
        process::until_ok(&mut worker, &format!("http://{health}/readyz")).await?;
        Ok(worker)
    }

    fn faults(&self) -> String {
        format!("{}/__admin/faults", self.media.url)
    }

    /// Stops everything and removes it.
    pub async fn remove(self) -> anyhow::Result<()> {
        let Self { folder, store, host, api, mut worker, media, .. } = self;
        // A paused or hanging worker is not asked.
        worker.kill();
        drop(api);
        drop(media);
        host.delete().await;
        store.drop_database().await?;
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }

    /// An upload of an avatar or of a media file by the user whose turn it is.
    pub fn upload(
        &self,
        method: &'static str,
        path: &'static str,
        form: &Form,
    ) -> impl Fn(usize) -> Request + Clone + use<> {
        let (tokens, form) = (self.tokens.clone(), form.clone());
        move |number| {
            let token = &tokens[number % tokens.len()];
            let headers = format!("content-type: {}\r\nauthorization: Bearer {token}\r\n", Form::CONTENT_TYPE);
            Request::new(method, path, &headers, form.body.clone())
        }
    }
}

/// A multipart body with one file, made once.
#[derive(Clone, Debug)]
pub struct Form {
    body: Vec<Bytes>,
}

impl Form {
    const CONTENT_TYPE: &str = "multipart/form-data; boundary=steep-bench";

    /// Around a file in pieces.
    pub fn new(field: &str, file_name: &str, file: &[Bytes]) -> Self {
        let head = format!(
            "--steep-bench\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{file_name}\"\r\n\
             content-type: application/octet-stream\r\n\r\n"
        );
        let mut body = vec![Bytes::from(head)];
        body.extend_from_slice(file);
        body.push(Bytes::from_static(b"\r\n--steep-bench--\r\n"));
        Self { body }
    }
}
