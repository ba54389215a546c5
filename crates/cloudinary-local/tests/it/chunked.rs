//! Chunked uploads.

use cloudinary_local::{Config, Effect, Fault, ResourceType};
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Media, error, form, json as parse, md5, now, png, run, signed, signed_at, start, start_with};

async fn send(media: &Media, id: &str, range: &str, fields: &[(&str, &str)], piece: &[u8]) -> Response {
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form(signed(fields), piece));
    let request = request.header("X-Unique-Upload-Id", id).header("Content-Range", range);
    request.send().await.expect("an answer")
}

const FIELDS: [(&str, &str); 1] = [("public_id", "big.bin")];

#[tokio::test]
async fn chunks_become_one_asset_whether_or_not_the_total_is_known() {
    let media = start().await;
    let file: Vec<u8> = (0..2500_u32).map(|n| (n % 251) as u8).collect();
    for (id, totals) in [("node", ["-1", "-1", "2500"]), ("python", ["2500"; 3])] {
        let part = |n: usize| file.chunks(1000).nth(n).expect("a piece").to_vec();
        let (_, reply) = parse(send(&media, id, &format!("bytes 0-999/{}", totals[0]), &FIELDS, &part(0)).await).await;
        let expected =
            json!({"done": false, "bytes": 1000, "kind": "upload", "resource_type": "raw", "public_id": "big.bin"});
        assert_eq!(reply, expected);
        let (_, reply) =
            parse(send(&media, id, &format!("bytes 1000-1999/{}", totals[1]), &FIELDS, &part(1)).await).await;
        assert_eq!((&reply["done"], &reply["bytes"]), (&json!(false), &json!(2000)));
        let (status, reply) =
            parse(send(&media, id, &format!("bytes 2000-2499/{}", totals[2]), &FIELDS, &part(2)).await).await;
        assert_eq!((status, &reply["done"], &reply["bytes"]), (200, &json!(true), &json!(2500)));
        assert_eq!(reply["etag"], md5(&file));
        assert!(reply["signature"].is_string() && reply["secure_url"].is_string());
    }
    let asset = media.handle().asset(ResourceType::Raw, "big.bin").expect("stored");
    assert_eq!(media.handle().read(&asset).await.expect("readable"), file);
    assert_eq!(media.handle().traffic_of("big.bin").upload_requests, 6);
}

#[tokio::test]
async fn one_chunk_may_be_all_and_may_be_empty() {
    let media = start().await;
    let (_, reply) = parse(send(&media, "one", "bytes 0-4/5", &FIELDS, b"hello").await).await;
    assert_eq!((&reply["done"], &reply["bytes"]), (&json!(true), &json!(5)));
    let (_, reply) = parse(send(&media, "none", "bytes 0--1/0", &[("public_id", "empty")], b"").await).await;
    assert_eq!((&reply["done"], &reply["bytes"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn the_middle_may_come_in_any_order_and_twice() {
    let media = start().await;
    send(&media, "u", "bytes 0-1/6", &FIELDS, b"ab").await;
    send(&media, "u", "bytes 2-3/6", &FIELDS, b"xx").await;
    let (_, reply) = parse(send(&media, "u", "bytes 2-3/6", &FIELDS, b"cd").await).await;
    assert_eq!(reply["bytes"], 4, "a range that is sent again counts once");
    let (_, reply) = parse(send(&media, "u", "bytes 4-5/6", &FIELDS, b"ef").await).await;
    assert_eq!(reply["etag"], md5(b"abcdef"));
}

#[tokio::test]
async fn a_repeated_last_chunk_gets_the_same_reply() {
    let media = start().await;
    send(&media, "u", "bytes 0-1/4", &FIELDS, b"ab").await;
    let (_, first) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    let (_, again) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    assert_eq!(first, again);
    assert!(again.get("overwritten").is_none(), "it was not stored twice");
}

#[tokio::test]
async fn the_id_is_fixed_by_the_first_chunk() {
    let media = start().await;
    let id = |reply: &Value| reply["public_id"].as_str().expect("an id").to_owned();
    let (_, first) = parse(send(&media, "u", "bytes 0-1/4", &[], b"ab").await).await;
    let (_, last) = parse(send(&media, "u", "bytes 2-3/4", &[], b"cd").await).await;
    assert_eq!(id(&first), id(&last));

    // Python sends the id of the reply, folder and all, together with the folder again.
    let (_, first) = parse(send(&media, "v", "bytes 0-1/4", &[("folder", "f"), ("public_id", "p")], b"ab").await).await;
    assert_eq!(id(&first), "f/p");
    let (_, last) =
        parse(send(&media, "v", "bytes 2-3/4", &[("folder", "f"), ("public_id", "f/p")], b"cd").await).await;
    assert_eq!(id(&last), "f/p");
}

#[tokio::test]
async fn impossible_chunks_are_refused() {
    let media = start_with(|config| config.min_chunk = 4).await;
    assert_eq!(send(&media, "u", "bytes 0-3/10", &FIELDS, b"abcd").await.status(), 200);
    for (id, range, piece, text) in [
        ("u", "bytes 0-2/10", "abc", "All parts except EOF-chunk must be larger than 5mb"),
        ("u", "bytes 0-4/10", "abcd", "Content-Range announces 5 bytes, the file has 4"),
        ("stranger", "bytes 4-7/10", "efgh", "Parts are missing: nothing has arrived at byte 0"),
        ("stranger", "bytes 4-9/10", "efghij", "Parts are missing: nothing has arrived at byte 0"),
        ("u", "bytes 5-9/10", "fghij", "Parts are missing: nothing has arrived at byte 4"),
        ("u", "bytes 0-3/12", "abcd", "Content-Range announces 12 bytes in total, before it was 10"),
        ("u", "bytes 9-4/10", "abcd", "Invalid Content-Range bytes 9-4/10: the last byte lies before the first"),
    ] {
        assert_eq!(error(send(&media, id, range, &FIELDS, piece.as_bytes()).await).await, (400, text.to_owned()));
    }
    let request = media.upload("raw", &FIELDS, b"abcd").header("Content-Range", "bytes 0-3/10");
    let refused = error(request.send().await.expect("an answer")).await;
    assert_eq!(refused, (400, "Missing required parameter - X-Unique-Upload-Id".to_owned()));
    let request = media.upload("raw", &FIELDS, b"abcd").header("X-Upload-Part-Number", "1");
    assert_eq!(request.send().await.expect("an answer").status(), 400);
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn every_chunk_is_checked_for_its_signature() {
    let media = start().await;
    send(&media, "u", "bytes 0-1/4", &FIELDS, b"ab").await;
    let request = media.client.post(media.url("/v1_1/demo/raw/upload"));
    let request = request.multipart(form(signed_at(&FIELDS, now() - 4000), b"cd"));
    let request = request.header("X-Unique-Upload-Id", "u").header("Content-Range", "bytes 2-3/4");
    let (status, text) = error(request.send().await.expect("an answer")).await;
    assert!(status == 400 && text.starts_with("Stale request"), "{text}");
    let (_, reply) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    assert_eq!(reply["done"], true, "a fresh signature goes on where it stopped");
}

#[tokio::test]
async fn a_file_that_is_no_picture_is_refused_at_the_end() {
    let media = start().await;
    let send = async |range: &str, piece: &[u8]| {
        let request = media.upload("image", &[("public_id", "p")], piece);
        let request = request.header("X-Unique-Upload-Id", "u").header("Content-Range", range);
        request.send().await.expect("an answer")
    };
    send("bytes 0-1/4", b"ab").await;
    assert_eq!(error(send("bytes 2-3/4", b"cd").await).await, (400, "Invalid image file".to_owned()));
    let file = png(5, 5);
    let (half, total) = (file.len() / 2, file.len());
    send(&format!("bytes 0-{}/{total}", half - 1), &file[..half]).await;
    let (_, reply) = parse(send(&format!("bytes {half}-{}/{total}", total - 1), &file[half..]).await).await;
    assert_eq!((&reply["width"], &reply["etag"]), (&json!(5), &json!(md5(&file))));
}

#[tokio::test]
async fn a_fault_can_keep_an_upload_unfinished_for_ever() {
    let media = start().await;
    let fault = media.handle().install_fault(Fault::new(Effect::NeverDone).on("upload"));
    let (status, reply) = parse(send(&media, "u", "bytes 0-3/4", &FIELDS, b"abcd").await).await;
    assert_eq!((status, &reply["done"]), (200, &json!(false)));
    assert!(media.handle().assets().is_empty());
    media.handle().clear_fault(fault);
    let (_, reply) = parse(send(&media, "u", "bytes 0-3/4", &FIELDS, b"abcd").await).await;
    assert_eq!(reply["done"], true);
}

#[tokio::test]
async fn a_fault_can_spoil_a_chunk_and_with_it_all_that_is_made_of_it() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::WrongBytes).on("upload").skip(1).times(1));
    for (range, piece) in [("bytes 0-1/6", b"ab"), ("bytes 2-3/6", b"cd")] {
        send(&media, "u", range, &FIELDS, piece).await;
    }
    for _ in 0..2 {
        let (status, reply) = parse(send(&media, "u", "bytes 4-5/6", &FIELDS, b"ef").await).await;
        assert_eq!((status, &reply["bytes"], &reply["etag"]), (200, &json!(6), &json!(md5(b"abceef"))));
    }
    let asset = media.handle().asset(ResourceType::Raw, "big.bin").expect("stored");
    assert_eq!(media.handle().read(&asset).await.expect("readable"), b"abceef");
    for (range, piece) in [("bytes 0-1/4", b"ab"), ("bytes 2-3/4", b"cd")] {
        let (_, reply) = parse(send(&media, "another", range, &FIELDS, piece).await).await;
        assert!(reply["done"] == false || reply["etag"] == md5(b"abcd"), "{reply}");
    }
}

#[tokio::test]
async fn a_chunked_upload_goes_on_after_a_restart() {
    let media = start().await;
    send(&media, "u", "bytes 0-1/4", &FIELDS, b"ab").await;
    let Media { running, client, folder } = media;
    running.stop().await.expect("stopped");
    let restart = || Config { min_chunk: 1, ..Config::new(folder.path()) };
    let running = run(restart()).await;
    let media = Media { running, client, folder: tempfile::TempDir::new().expect("a folder") };
    let (_, first) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    assert_eq!(first["etag"], md5(b"abcd"));

    media.running.stop().await.expect("stopped");
    let media = Media { running: run(restart()).await, client: media.client, folder: media.folder };
    let (_, again) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    assert_eq!(first, again, "the reply to the last chunk is remembered");
}

#[tokio::test]
async fn an_abandoned_upload_is_forgotten() {
    let media = start_with(|config| config.partial_ttl = std::time::Duration::ZERO).await;
    send(&media, "u", "bytes 0-1/4", &FIELDS, b"ab").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    send(&media, "v", "bytes 0-3/4", &FIELDS, b"abcd").await;
    let (status, _) = parse(send(&media, "u", "bytes 2-3/4", &FIELDS, b"cd").await).await;
    assert_eq!(status, 400);
}
