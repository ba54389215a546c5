//! A page on another origin shows uploads: from the spool, and from the media host when they have moved there.

use md5::{Digest, Md5};
use serde_json::{Value, json};
use testkit::tools::{self, browser};
use testkit::{TestEnv, jpeg};

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

/// An element of Matroska (RFC 8794), whose length is written in one byte or in two.
fn element(id: &str, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a few bytes");
    let length = if length < 127 {
        (0x80 | length).to_be_bytes()[1..].to_vec()
    } else {
        (0x4000 | length).to_be_bytes().to_vec()
    };
    [&hex::decode(id).expect("an id"), &length[..], content].concat()
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

#[tokio::test]
async fn a_page_elsewhere_plays_an_upload_and_reads_its_parts_before_and_after_its_move() {
    let Some(program) = browser::find() else {
        return tools::skip("no page showed an upload", "Chromium is not on this machine");
    };
    let env = TestEnv::start().await;
    let api = env.api_with(&["--steep-env=production", "--cors-origin=https://app.example.com"]).await;
    let (user, registered) = api.new_user(jpeg(2_000)).await;
    let film = webm();
    let answer = user.submit("film.webm", film.clone().into()).await.expect(202);
    let (address, picture) = (&answer.data()["url"], &registered.data()["avatar"]);
    let script = format!("const film = {address}, picture = {picture};\n{SCRIPT}");
    let address = address.as_str().expect("an address");
    let etag = user.get(address).await.header("etag").to_owned();
    let (all, last) = (film.len(), film.len() - 50);
    let look = async |folder: &str, etag: &str| {
        let expected = json!({
            "first": [206, format!("bytes 0-9/{all}"), etag, 10],
            "last": [206, format!("bytes {last}-{}/{all}", all - 1), etag, 50],
            "head": [206, format!("bytes 0-9/{all}"), etag, 0],
            "image": 4,
            "video": 4,
            "seekable": 2,
        });
        let mut seen: Value = browser::evaluate(program, &env.folder().join(folder), &script).await;
        let beyond = seen.as_object_mut().and_then(|seen| seen.remove("beyond")).expect("an answer");
        assert_eq!((&beyond[0], &beyond[1]), (&json!(416), &json!(format!("bytes */{all}"))), "{folder}");
        assert_eq!(seen, expected, "{folder}");
    };
    look("before", &etag).await;

    let worker = env.worker().await;
    for job in [registered.job(0), answer.job(0)] {
        user.wait_for_job(&job, &["completed"]).await;
    }
    assert_eq!(user.get(address).await.expect(302).header("etag"), etag);
    // Where the redirect leads, the media host has a tag of its own.
    look("after", &format!("\"{}\"", hex::encode(Md5::digest(&film)))).await;
    api.stop().await;
    env.finish().await;
    drop(worker);
}
