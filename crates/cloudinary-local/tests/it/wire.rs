//! Requests as SDKs write them, byte by byte.

use reqwest::multipart::{Form, Part};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Media, now, signed, start};

async fn connect(media: &Media) -> TcpStream {
    TcpStream::connect(media.running.base_url().trim_start_matches("http://")).await.expect("a connection")
}

/// Reads one response with a `Content-Length`.
async fn response(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return (head.to_owned(), body.to_owned());
            }
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.expect("readable");
        assert!(count > 0, "closed after {text:?}");
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// A body as the Node SDK sends it: every part an HTTP chunk, nothing after the closing delimiter.
fn node_body(fields: &[(String, String)], disposition: &[u8], file: &[u8]) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (name, value) in fields {
        parts.push(
            format!("--abcde\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes(),
        );
    }
    let head = [
        b"--abcde\r\nContent-Disposition: form-data; ",
        disposition,
        b"\r\nContent-Type: application/octet-stream\r\n\r\n",
    ];
    parts.push(head.concat());
    parts.push(file.to_vec());
    parts.push(b"\r\n--abcde--".to_vec());
    let mut body = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body
}

const NODE_HEAD: &str = "POST /v1_1/demo/raw/upload HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\
                         Content-Type: multipart/form-data; boundary=abcde\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn one_connection_serves_upload_after_upload() {
    let media = start().await;
    let mut stream = connect(&media).await;
    for number in 0..40 {
        let fields = signed(&[("public_id", &format!("n{number}"))]);
        stream.write_all(NODE_HEAD.as_bytes()).await.expect("sent");
        let body = node_body(&fields, b"name=\"file\"; filename=\"x\"", b"hello");
        stream.write_all(&body).await.expect("sent");
        // The end of the body comes late, when a server that stopped reading would have answered.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        stream.write_all(b"0\r\n\r\n").await.expect("sent");
        let (head, body) = response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{number}: {head}\n{body}");
    }
    assert_eq!(media.handle().assets().len(), 40);
}

#[tokio::test]
async fn a_refused_upload_is_read_to_its_end_as_well() {
    let media = start().await;
    let mut stream = connect(&media).await;
    for _ in 0..5 {
        let mut fields = signed(&[]);
        fields.push(("late".to_owned(), "unsigned".to_owned()));
        stream.write_all(NODE_HEAD.as_bytes()).await.expect("sent");
        let body = node_body(&fields, b"name=\"file\"; filename=\"x\"", &[1; 100_000]);
        stream.write_all(&body).await.expect("sent");
        stream.write_all(b"0\r\n\r\n").await.expect("sent");
        assert!(response(&mut stream).await.0.starts_with("HTTP/1.1 401"));
    }
}

#[tokio::test]
async fn odd_file_names_are_taken_as_they_come() {
    let media = start().await;
    for (disposition, expected) in [
        (b"name=\"file\"; filename=\"na\xefve \"q\" \xe5,.png\"".as_slice(), None),
        (b"name=\"file\"; filename=\"say \"hi\".txt\"", Some("say ")),
        (b"name=\"file\"; filename=\"/tmp/a/report.pdf\"", Some("report")),
        (b"name=\"file\"; filename=\"C:\\dir\\photo.jpg\"", Some("photo")),
        (b"name=\"file\"; filename=\"stream\"", Some("stream")),
    ] {
        let mut stream = connect(&media).await;
        let body = node_body(&signed(&[]), disposition, b"hello");
        stream.write_all(&[NODE_HEAD.as_bytes(), &body, b"0\r\n\r\n"].concat()).await.expect("sent");
        let (head, body) = response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        let reply: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(reply["original_filename"].as_str(), expected, "{}", String::from_utf8_lossy(disposition));
    }
}

#[tokio::test]
async fn broken_multipart_is_a_bad_request() {
    let media = start().await;
    let good = node_body(&signed(&[]), b"name=\"file\"; filename=\"x\"", b"hello");
    let control = node_body(&signed(&[]), b"name=\"file\"; filename=\"x\x01y\"", b"hello");
    let cut = &good[..good.len() - 40];
    let cut = [cut, b"\r\n"].concat();
    for body in [control, node_body(&[], b"nothing", b"")[..30].to_vec(), cut] {
        let mut stream = connect(&media).await;
        let request = format!(
            "POST /v1_1/demo/raw/upload HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
                               Content-Type: multipart/form-data; boundary=abcde\r\n\r\n",
            body.len()
        );
        stream.write_all(&[request.as_bytes(), &body].concat()).await.expect("sent");
        let (head, body) = response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 400") && body.contains("multipart"), "{head}\n{body}");
    }
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).header("Content-Type", "multipart/form-data");
    assert_eq!(request.body("x").send().await.expect("an answer").status(), 400);
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn a_field_whose_name_is_not_quoted_is_overlooked() {
    let media = start().await;
    let body = node_body(&signed(&[]), b"name=file; filename=\"x\"", b"hello");
    let mut stream = connect(&media).await;
    stream.write_all(&[NODE_HEAD.as_bytes(), &body, b"0\r\n\r\n"].concat()).await.expect("sent");
    let (head, body) = response(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 400") && body.contains("Missing required parameter - file"), "{head}\n{body}");
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends() {
    let media = start().await;
    let mut body = Vec::new();
    for (name, value) in signed(&[("public_id", "p")]) {
        body.extend_from_slice(
            format!("--abcde\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes(),
        );
    }
    body.extend_from_slice(
        b"--abcde\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nhello\r\n--abcde--\r\n",
    );
    let head = format!(
        "POST /v1_1/demo/raw/upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\
                        Content-Type: multipart/form-data; boundary=abcde\r\n\r\n",
        body.len()
    );
    let mut stream = connect(&media).await;
    stream.write_all(head.as_bytes()).await.expect("sent");
    assert!(response(&mut stream).await.0.starts_with("HTTP/1.1 100"));
    stream.write_all(&body).await.expect("sent");
    assert!(response(&mut stream).await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn endless_fields_are_refused() {
    let media = start().await;
    let many = (0..300).fold(Form::new(), |form, number| form.text(format!("f{number}"), "x"));
    let long = Form::new().text("tags", "x".repeat(2_000_000)).part("file", Part::bytes(vec![1]).file_name("x"));
    for form in [many, long] {
        let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form);
        assert_eq!(request.send().await.expect("an answer").status(), 400);
    }
    let stamp = now().to_string();
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let body = format!("{{\"timestamp\": {stamp}, \"x\": {deep}}}");
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).header("Content-Type", "application/json");
    assert_eq!(request.body(body).send().await.expect("an answer").status(), 400);
}
