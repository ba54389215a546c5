//! A page on another origin shows uploads: from the spool, and from the media host when they have moved there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{TestEnv, jpeg, process, tools};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Programs that are Chromium, as systems name them.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// What a page may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// One red picture of 16 by 16 pixels in VP8.
const KEY_FRAME: &str = "f002009d012a1000100000470885858885848802020275aa03f803fa020d4d1800fefd6ef3ffe3993730c4ff8e6dfff1613c0e28c8fff15100";

/// What is asked of the film and the picture. A picture of another origin that may not be read taints the canvas.
const SCRIPT: &str = r"
    // From a part that it has kept, the browser would answer some of it itself.
    const part = async (range, method) => {
        const answer = await fetch(film, {method, headers: {range}, cache: 'no-store'});
        const {length} = new Uint8Array(await answer.arrayBuffer());
        return [answer.status, answer.headers.get('content-range'), answer.headers.get('etag'), length];
    };
    const pixel = source => {
        const canvas = new OffscreenCanvas(16, 16).getContext('2d');
        canvas.drawImage(source, 0, 0);
        return canvas.getImageData(0, 0, 1, 1).data.length;
    };
    const shown = (element, address, event) => new Promise((resolve, reject) => {
        element.crossOrigin = 'anonymous';
        element.addEventListener(event, () => { try { resolve(pixel(element)); } catch (error) { reject(error); } });
        element.addEventListener('error', () => reject(`${address} is not shown: ${element.error?.message}`));
        element.src = address;
    });
    const video = document.createElement('video');
    video.preload = 'auto';
    return {
        first: await part('bytes=0-9'),
        last: await part('bytes=-50'),
        head: await part('bytes=0-9', 'HEAD'),
        beyond: await part('bytes=1000000-'),
        image: await shown(new Image(), picture, 'load'),
        video: await shown(video, film, 'loadeddata'),
        seekable: video.seekable.end(0),
    };
";

/// An element of Matroska (RFC 8794), whose length is written in eight bytes.
fn element(id: &str, content: &[u8]) -> Vec<u8> {
    let length = 1_u64 << 56 | u64::try_from(content.len()).expect("a few bytes");
    [&hex::decode(id).expect("an id"), &length.to_be_bytes()[..], content].concat()
}

/// A film of two seconds that browsers play.
fn webm() -> Vec<u8> {
    let size = element("e0", &[element("b0", &[16]), element("ba", &[16])].concat());
    let track = [element("d7", &[1]), element("73c5", &[1]), element("83", &[1]), element("86", b"V_VP8"), size];
    let milliseconds = element("2ad7b1", &1_000_000_u32.to_be_bytes());
    let duration = element("4489", &2_000_f64.to_be_bytes());
    let info = [milliseconds, duration, element("4d80", b"steep"), element("5741", b"steep")];
    let mut cluster = element("e7", &[0]);
    for time in [0_u16, 500, 1_000, 1_500] {
        let [high, low] = time.to_be_bytes();
        let frame = hex::decode(KEY_FRAME).expect("a frame");
        cluster.extend(element("a3", &[&[0x81, high, low, 0x80], &frame[..]].concat()));
    }
    let head = [element("4282", b"webm"), element("4287", &[2]), element("4285", &[2])];
    let segment = [
        element("1549a966", &info.concat()),
        element("1654ae6b", &element("ae", &track.concat())),
        element("1f43b675", &cluster),
    ];
    [element("1a45dfa3", &head.concat()), element("18538067", &segment.concat())].concat()
}

/// Reads a request and answers it with the page. Hands on its body, if it has one.
async fn answer(mut stream: TcpStream, page: String, said: mpsc::UnboundedSender<Vec<u8>>) -> Option<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, length) = loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        if request.len() >= end + 4 + length {
            break (end + 4, length);
        }
    };
    let reply = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
    let reply = format!("{reply}content-length: {}\r\n\r\n{page}", page.len());
    stream.write_all(reply.as_bytes()).await.ok()?;
    if length > 0 { said.send(request.split_off(head)).ok() } else { None }
}

/// Runs the body of an asynchronous function in a page of an origin of its own. Answers what it returns.
async fn evaluate(browser: &str, folder: &Path, script: &str) -> Value {
    let page = format!(
        "<!doctype html><script type=module>\n\
         const script = async () => {{ {script} }};\n\
         const said = await script().then((value) => ({{ value }}), (error) => ({{ error: String(error) }}));\n\
         await fetch('/said', {{ method: 'POST', body: JSON.stringify(said) }});\n\
         </script>"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    let (say, mut said) = mpsc::unbounded_channel();
    // Each by itself: a browser opens connections that it may need.
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, page.clone(), say.clone()));
        }
    });
    std::fs::create_dir_all(folder).expect("a folder");
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let plain = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
    let offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
    let arguments = [&plain[..], &quiet, &[offline, &profile, &address]].concat();
    let process = process::spawn("browser", Path::new(browser), &arguments, &[], folder).expect("a browser");
    let said = tokio::time::timeout(PATIENCE, said.recv()).await.expect("in time").expect("an answer");
    drop(process);
    serving.abort();
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    assert!(said["error"].is_null(), "the script failed: {said}");
    said["value"].clone()
}

#[tokio::test]
async fn a_page_elsewhere_plays_an_upload_and_reads_its_parts_before_and_after_its_move() {
    let browser = BROWSERS.into_iter().find(|name| tools::run(Command::new(name).arg("--version")).is_ok());
    let Some(browser) = browser else {
        return tools::skip("no page showed an upload", "Chromium is not on this machine");
    };
    let env = TestEnv::start().await;
    let api = env.api_with(&["--steep-env=production", "--cors-origin=https://app.example.com"]).await;
    let (user, registered) = api.new_user(jpeg(2_000)).await;
    let film = webm();
    let answer = user.submit("film.webm", film.clone().into()).await.expect(202);
    let (address, picture) = (&answer.data()["url"], &registered.data()["avatar"]);
    let script = format!("const film = {address}, picture = {picture};\n{SCRIPT}");
    let etag = user.get(address.as_str().expect("an address")).await.header("etag").to_owned();
    let (all, last) = (film.len(), film.len() - 50);
    let expected = json!({
        "first": [206, format!("bytes 0-9/{all}"), etag, 10],
        "last": [206, format!("bytes {last}-{}/{all}", all - 1), etag, 50],
        "head": [206, format!("bytes 0-9/{all}"), etag, 0],
        "image": 4,
        "video": 4,
        "seekable": 2,
    });
    let look = async |folder: &str| {
        let mut seen = evaluate(browser, &env.folder().join(folder), &script).await;
        let beyond = seen.as_object_mut().and_then(|seen| seen.remove("beyond")).expect("an answer");
        assert_eq!((&beyond[0], &beyond[1]), (&json!(416), &json!(format!("bytes */{all}"))), "{folder}");
        assert_eq!(seen, expected, "{folder}");
    };
    look("before").await;

    let worker = env.worker().await;
    for job in [registered.job(0), answer.job(0)] {
        user.wait_for_job(&job, &["completed"]).await;
    }
    user.get(address.as_str().expect("an address")).await.expect(302);
    look("after").await;
    api.stop().await;
    env.finish().await;
    drop(worker);
}
