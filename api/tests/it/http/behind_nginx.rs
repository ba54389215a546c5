//! Uploads by way of an nginx that is set as deploy/nginx.conf says.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::proxy::{Passage, Proxy};
use testkit::tools::{self, Nginx, browser};
use testkit::{Client, RawForm, TestEnv, Upload, Wire, jpeg};

use crate::support::{AVATAR, MEDIA, Member, World, assert_accepted};

const AVATAR_BYTES: usize = 300_000;
/// Two seconds on the line between a browser and nginx.
const FILE_BYTES: usize = 8_000_000;
const LINE: u32 = 4_000_000;

/// An API behind an nginx that reads requests to their end before it passes them on, or does not.
struct Behind {
    world: World,
    member: Member,
    nginx: Nginx,
}

impl Behind {
    /// `None` on a machine without nginx.
    async fn start(request_buffering: &str) -> Option<Self> {
        let Some(program) = Nginx::find() else {
            tools::skip("uploads by way of nginx", "nginx is not on this machine");
            return None;
        };
        let limit = format!("--avatar-max-bytes={AVATAR_BYTES}");
        let world = World::with(&[&limit, "--trusted-proxies=127.0.0.1"]).await;
        let sample = tools::workspace().join("deploy/nginx.conf");
        let sample = std::fs::read_to_string(sample).expect("a file");
        let (theirs, buffering) = ("http://127.0.0.1:8000;", "proxy_request_buffering off;");
        assert!(sample.contains(theirs) && sample.contains(buffering), "{sample}");
        let server = sample
            .replace(theirs, &format!("{};", world.api.url()))
            .replace(buffering, &format!("proxy_request_buffering {request_buffering};"));
        let nginx = Nginx::start(&program, &world.env.folder().join("nginx"), &server).await.expect("an nginx");
        let member = world.member().await;
        Some(Self { world, member, nginx })
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.nginx.address)).with_token(self.member.client.token().expect("a token"))
    }

    async fn end(self) {
        self.world.work_off_and_end().await;
    }
}

async fn an_upload_is_taken_or_refused_as_without(request_buffering: &str) {
    let Some(behind) = Behind::start(request_buffering).await else { return };
    let client = behind.client();
    assert_accepted(&client.submit("a.jpg", jpeg(FILE_BYTES)).await, 202);
    let before = behind.world.env.census().await;
    // Refused in the middle of the file, and by the head.
    for bytes in [AVATAR_BYTES + 500_000, 20_000_000] {
        let form = Upload::new().file("avatar", "a.jpg", jpeg(bytes));
        let answer = client.upload(Method::PATCH, AVATAR, &form).await;
        behind.world.refused(before, &answer, 413, &["avatar"]).await;
    }
    let stranger = Client::new(client.url());
    let answer = stranger.submit("a.jpg", jpeg(20_000_000)).await;
    behind.world.refused(before, &answer, 401, &[]).await;
    // And the next is served.
    assert_accepted(&client.submit("a.jpg", jpeg(2_000)).await, 202);
    behind.end().await;
}

#[tokio::test]
async fn uploads_pass_an_nginx_that_passes_them_on_as_they_come() {
    an_upload_is_taken_or_refused_as_without("off").await;
}

#[tokio::test]
async fn uploads_pass_an_nginx_that_reads_them_to_their_end_first() {
    an_upload_is_taken_or_refused_as_without("on").await;
}

#[tokio::test]
async fn an_upload_reaches_the_api_while_it_is_sent_unless_nginx_keeps_it() {
    for (request_buffering, passes) in [("off", true), ("on", false)] {
        let Some(behind) = Behind::start(request_buffering).await else { return };
        let form = RawForm::new().file("file", "a.jpg", &jpeg(FILE_BYTES)).finished();
        let mut wire = Wire::open(&behind.client()).await;
        wire.form_head("POST", MEDIA, form.len()).await;
        wire.send(&form[..FILE_BYTES / 2]).await;
        if passes {
            TestEnv::until("it is being received", async || behind.world.env.spooled_files() == 1).await;
        } else {
            assert_eq!(behind.world.env.spooled_files(), 0);
        }
        wire.send(&form[FILE_BYTES / 2..]).await;
        assert_accepted(&wire.answer().await, 202);
        behind.end().await;
    }
}

/// Uploads by `XMLHttpRequest` and answers what the page saw: how many bytes were sent, each time it was told, and the answer.
const SCRIPT: &str = r#"
// Comments between the picture's first two bytes and the others.
const small = Uint8Array.from(atob(picture), (byte) => byte.charCodeAt(0));
const comment = new Uint8Array(0xffff + 2);
comment.set([0xff, 0xfe, 0xff, 0xff]);
const large = new Blob([small.slice(0, 2), ...Array(Math.ceil(bytes / comment.length)).fill(comment), small.slice(2)]);
const upload = (request) =>
  new Promise((answered, failed) => {
    const xhr = new XMLHttpRequest();
    xhr.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers)) xhr.setRequestHeader(name, value);
    const sent = [];
    xhr.upload.onprogress = ({ loaded, total }) => sent.push(loaded / total);
    xhr.onload = () => answered({ status: xhr.status, sent, body: JSON.parse(xhr.response) });
    xhr.onerror = () => failed("an error without a name");
    const form = new FormData();
    form.append(request.field, large, "a.jpg");
    xhr.send(form);
  });
const answers = [];
for (const request of requests) answers.push(await upload(request));
return answers;
"#;

#[tokio::test]
async fn a_page_sees_the_progress_of_its_upload_and_why_it_was_refused() {
    let Some(program) = browser::find() else {
        return tools::skip("progress behind nginx", "Chromium is not on this machine");
    };
    for request_buffering in ["off", "on"] {
        let Some(behind) = Behind::start(request_buffering).await else { return };
        let line = Proxy::start(behind.nginx.address).await.expect("a port");
        line.set(Passage::Slow(LINE));
        let token = behind.member.client.token().expect("a token").to_owned();
        let requests =
            json!([("POST", MEDIA, "file"), ("PATCH", AVATAR, "avatar")].map(|(method, path, field)| json!({
                "method": method,
                "url": format!("http://{}{path}", line.address),
                "headers": {"Authorization": format!("Bearer {token}")},
                "field": field,
            })));
        let picture = BASE64_STANDARD.encode(jpeg(2_000));
        let values = format!("const requests = {requests}, picture = \"{picture}\", bytes = {FILE_BYTES};");
        let script = format!("{values}\n{SCRIPT}");
        let said = browser::evaluate(program, &behind.world.env.folder().join("page"), &script).await;

        let [accepted, refused] = [&said[0], &said[1]];
        assert_eq!(accepted["status"], 202, "{said}");
        let sent: Vec<f64> = accepted["sent"].as_array().expect("events").iter().filter_map(Value::as_f64).collect();
        assert!(sent.len() > 3 && sent.is_sorted(), "request buffering {request_buffering}: {sent:?}");
        assert!(sent[0] < 0.9 && sent.last() == Some(&1.0), "request buffering {request_buffering}: {sent:?}");
        assert_eq!(refused["status"], 413, "{said}");
        assert_eq!(refused["body"]["type"], "urn:steep:problem:too-large", "{said}");
        assert_eq!(refused["body"]["errors"][0]["field"], "avatar", "{said}");
        behind.end().await;
    }
}
