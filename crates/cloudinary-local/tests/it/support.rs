//! A server of one's own, and a client that signs.

use std::io::Cursor;
use std::time::{SystemTime, UNIX_EPOCH};

use cloudinary::signature::{self, Algorithm, Version};
use cloudinary_local::{Config, Handle, Running, Server};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A server with a folder that goes with it.
pub struct Media {
    pub running: Running,
    pub client: Client,
    pub folder: TempDir,
}

pub async fn start() -> Media {
    start_with(|_| {}).await
}

pub async fn start_with(configure: impl FnOnce(&mut Config)) -> Media {
    let folder = TempDir::new().expect("a temporary folder");
    let mut config = Config::new(folder.path());
    config.min_chunk = 1;
    config.presets = vec!["open".to_owned()];
    configure(&mut config);
    Media { running: run(config).await, client: Client::new(), folder }
}

pub async fn run(config: Config) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Server::start(config, listener).await.expect("a server")
}

/// Seconds since 1970, as a signature wants them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Adds timestamp, signature and key.
pub fn signed(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    signed_at(fields, now())
}

pub fn signed_at(fields: &[(&str, &str)], timestamp: u64) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.push(("timestamp".to_owned(), timestamp.to_string()));
    let signature = signature::sign(&fields, "abcd", Algorithm::Sha1, Version::V2);
    fields.push(("signature".to_owned(), signature));
    fields.push(("api_key".to_owned(), "1234".to_owned()));
    fields
}

/// A multipart form of fields and a file.
pub fn form(fields: Vec<(String, String)>, file: &[u8]) -> Form {
    let form = fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
    form.part("file", Part::bytes(file.to_vec()).file_name("file.bin"))
}

/// A real PNG of those dimensions.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    picture(width, height, image::ImageFormat::Png)
}

pub fn picture(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 128]));
    image::DynamicImage::ImageRgb8(pixels).write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

pub fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    hex::encode(md5::Md5::digest(bytes))
}

/// A status and its JSON.
pub async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} with {text:?}")))
}

/// The text of an error, checked to be in the header as well.
pub async fn error(response: Response) -> (u16, String) {
    let header = response.headers().get("x-cld-error").expect("X-Cld-Error").as_bytes().to_vec();
    assert!(response.headers().contains_key("x-request-id"));
    let (status, body) = json(response).await;
    let text = body["error"]["message"].as_str().expect("a message").to_owned();
    assert_eq!(String::from_utf8_lossy(&header), text);
    (status, text)
}

impl Media {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.base_url())
    }

    pub fn handle(&self) -> &Handle {
        self.running.handle()
    }

    /// An upload to `/v1_1/demo/<rt>/upload`.
    pub fn upload(&self, resource_type: &str, fields: &[(&str, &str)], file: &[u8]) -> RequestBuilder {
        self.client.post(self.url(&format!("/v1_1/demo/{resource_type}/upload"))).multipart(form(signed(fields), file))
    }

    /// An upload that succeeds.
    pub async fn store(&self, resource_type: &str, fields: &[(&str, &str)], file: &[u8]) -> Value {
        let response = self.upload(resource_type, fields, file).send().await.expect("an answer");
        let (status, body) = json(response).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// A signed call with a form body.
    pub async fn call(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.client.post(self.url(&format!("/v1_1/demo/{path}"))).form(&signed(fields));
        request.send().await.expect("an answer")
    }

    /// A GET of the admin API.
    pub async fn admin(&self, path: &str) -> Response {
        let request = self.client.get(self.url(&format!("/v1_1/demo/{path}"))).basic_auth("1234", Some("abcd"));
        request.send().await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }
}
