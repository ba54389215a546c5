//! Files that are not in the request itself.

use std::time::Duration;

use reqwest::header::ORIGIN;
use reqwest::multipart::Form;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::{error, json, md5, png, signed, start, start_with};

#[tokio::test]
async fn data_uris_and_remote_files_are_fetched() {
    let media = start_with(|config| config.fetch_private = true).await;
    let text = |file: String| {
        let form = signed(&[]).into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        media.client.post(media.url("/v1_1/demo/auto/upload")).multipart(form.text("file", file))
    };
    let large = vec![7_u8; 1_000_000];
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &large);
    let reply =
        json(text(format!("data:application/octet-stream;base64,{encoded}")).send().await.expect("an answer")).await.1;
    assert_eq!((&reply["bytes"], &reply["etag"]), (&json!(1_000_000), &json!(md5(&large))));
    let reply = json(text("data:,hello%20you".to_owned()).send().await.expect("an answer")).await.1;
    assert_eq!(reply["etag"], md5(b"hello you"));

    media.store("image", &[("public_id", "far/away")], &png(9, 9)).await;
    let reply = json(text(media.url("/demo/image/upload/far/away.png")).send().await.expect("an answer")).await.1;
    assert_eq!((&reply["width"], &reply["original_filename"]), (&json!(9), &json!("away")));

    let url = media.url("/demo/image/upload/missing.png");
    let refused = error(text(url.clone()).send().await.expect("an answer")).await;
    assert_eq!(refused, (400, format!("Error in loading {url} - 404 Not Found")));
    for bad in ["data:text/plain;base64,%%%", "data:nothing", "ftp://host/file", "s3://bucket/key"] {
        assert_eq!(text(bad.to_owned()).send().await.expect("an answer").status(), 400, "{bad}");
    }
}

/// What a page in a developer's browser can send: the account is everybody's, and the answer may be read.
#[tokio::test]
async fn a_page_cannot_have_it_fetch_from_this_machine() {
    let media = start().await;
    let secret = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = secret.local_addr().expect("an address").port();
    for host in ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let form = signed(&[]).into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        let url = format!("http://{host}:{port}/secret");
        let request = media.client.post(media.url("/v1_1/demo/raw/upload")).header(ORIGIN, "https://evil.example");
        let answer = request.multipart(form.text("file", url.clone())).send().await.expect("an answer");
        let (status, text) = error(answer).await;
        assert!(status == 400 && text.starts_with(&format!("Error in loading {url} - ")), "{text}");
        assert!(text.contains("--fetch-private"), "{text}");
    }
    assert!(timeout(Duration::from_millis(50), secret.accept()).await.is_err(), "somebody asked");
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn a_remote_host_that_breaks_off_is_an_error_of_the_source() {
    let media = start_with(|config| config.fetch_private = true).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/x", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1000]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await.expect("sent");
    });
    let form = signed(&[]).into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form.text("file", url.clone()));
    let (status, text) = error(request.send().await.expect("an answer")).await;
    assert!(status == 400 && text.starts_with(&format!("Error in loading {url} - ")), "{text}");
}
