//! How many uploads a second the store accepts: `MONGODB_URI=... cargo run --release -p store --example accepts`.
//!
//! Sixteen tasks replace avatars, each of users of its own and without any worker, so that from a user's second upload on
//! each supersedes the one before: the most that accepting can cost.

#![allow(clippy::print_stdout, reason = "the numbers are its output")]

use std::time::{Duration, Instant};

use messages::{FileId, JobId};
use store::{Config, MediaType, NewUpload, NewUser, PasswordHash, ResourceType, Role, Store};

const TASKS: usize = 16;
const USERS_PER_TASK: usize = 4;
const DURATION: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let uri = std::env::var("MONGODB_URI")?;
    let config = Config::new(uri.into(), &format!("accepts-{}", JobId::new()), "accepts")?;
    let store = Store::connect(&config).await?;
    store.ensure_indexes().await?;
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(accept(store.clone()))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    store.drop_database().await?;
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let rate = times.len() as f64 / DURATION.as_secs_f64();
    println!("{rate:.0} accepts/s, p50 {:?}, p99 {:?}", at(50), at(99));
    Ok(())
}

async fn accept(store: Store) -> Result<Vec<Duration>, Failure> {
    let mut users = Vec::new();
    for _ in 0..USERS_PER_TASK {
        let id = store::new_user_id();
        let user = NewUser {
            id,
            username: format!("user-{id}"),
            email: format!("{id}@example.com"),
            full_name: "A User".to_owned(),
            password_hash: PasswordHash::from("none".to_owned()),
        };
        store.media().register(user, Vec::new(), None, None).await?;
        users.push(id);
    }
    let mut times = Vec::new();
    let begin = Instant::now();
    for user in users.into_iter().cycle() {
        if begin.elapsed() > DURATION {
            break;
        }
        let upload = NewUpload {
            asset: store::new_asset_id(),
            job: JobId::new(),
            role: Role::Avatar,
            spool: "bench".parse()?,
            file: FileId::new(),
            media_type: MediaType { content_type: "image/png".to_owned(), resource_type: ResourceType::Image },
            bytes: 200_000,
            crc32: 0,
            original_name: "avatar.png".to_owned(),
        };
        let begin = Instant::now();
        store.media().replace_image(user, upload, None).await?;
        times.push(begin.elapsed());
    }
    Ok(times)
}
