//! A media host of its own for each test, and files to send there.

use cloudinary::{Checksum, Client, Config, Error, ErrorClass, Refusal, ResourceType, Stored, Upload};
use cloudinary_local::{Fault, NotificationCount, Running, Server};
use md5::{Digest, Md5};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// One transparent pixel.
pub const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0, 1, 0, 0, 5, 0, 1,
    0x0d, 0x0a, 0x2d, 0xb4, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

pub struct Media {
    server: Running,
    files: TempDir,
    _data: TempDir,
}

impl Media {
    /// A host that takes chunks of any size.
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut cloudinary_local::Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = cloudinary_local::Config::new(data.path());
        config.min_chunk = 1;
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(config, listener).await.unwrap();
        Self { server, files: tempfile::tempdir().unwrap(), _data: data }
    }

    /// The host's account, with chunks of 1,000 bytes.
    pub fn config(&self) -> Config {
        let mut config = Config::new("demo", "1234", "abcd").unwrap();
        config.upload_prefix = self.server.base_url().parse().unwrap();
        config.chunk_size = 1000;
        config
    }

    pub fn client(&self) -> Client {
        self.client_with(|_| ())
    }

    pub fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = self.config();
        change(&mut config);
        Client::new(config).unwrap()
    }

    pub fn fault(&self, fault: Fault) {
        self.server.handle().install_fault(fault);
    }

    /// How many notifications it has sent, or tried to.
    pub fn notifications(&self) -> NotificationCount {
        self.server.handle().notifications()
    }

    /// How many assets there are.
    pub fn stored(&self) -> usize {
        self.server.handle().assets().len()
    }

    /// How many upload requests have named this id.
    pub fn requests(&self, public_id: &str) -> u64 {
        self.server.handle().traffic_of(public_id).upload_requests
    }

    pub fn file(&self, resource_type: ResourceType, public_id: &str, content: &[u8]) -> Upload {
        let md5 = hex::encode(Md5::digest(content));
        let path = self.files.path().join(&md5);
        std::fs::write(&path, content).unwrap();
        Upload {
            resource_type,
            public_id: public_id.to_owned(),
            path,
            bytes: content.len() as u64,
            checksum: Checksum::Crc32(crc32fast::hash(content)),
            file_name: "file".to_owned(),
            name: public_id.to_owned(),
            resume: None,
            progress: None,
        }
    }

    /// The MD5 of a file that is to be sent: its name says it.
    pub fn md5(upload: &Upload) -> &str {
        upload.path.file_name().unwrap().to_str().unwrap()
    }

    /// What a visitor gets.
    pub async fn deliver(&self, stored: &Stored) -> Vec<u8> {
        let response = reqwest::get(&stored.secure_url).await.unwrap().error_for_status().unwrap();
        response.bytes().await.unwrap().to_vec()
    }
}

pub fn assert_retry(error: &Error) {
    assert_eq!(error.class(), ErrorClass::Retry { after: None }, "{error}");
}

pub fn refusal(error: &Error) -> &Refusal {
    let Error::Refused(refusal) = error else { panic!("{error:?}") };
    refusal
}

/// Asserts that a text for logs shows none of these, and no signature either.
pub fn without_secrets(error: &Error, secrets: &[&str]) {
    let text = format!("{error} {error:?}");
    for secret in secrets {
        assert!(!text.contains(secret), "{text}");
    }
    let hex_runs = text.split(|c: char| !c.is_ascii_hexdigit());
    assert!(hex_runs.map(str::len).all(|length| length != 40 && length != 64), "{text}");
}
