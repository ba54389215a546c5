//! Uploads of whole files.

use cloudinary::signature::verify_response;
use cloudinary_local::ResourceType;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testkit::samples;
use tokio::io::AsyncWriteExt;

use crate::support::{error, form, json, md5, picture, png, signed, start, start_with};

#[tokio::test]
async fn an_image_is_stored_and_described() {
    let media = start().await;
    let file = png(7, 5);
    let reply =
        media.store("image", &[("public_id", "a/pic"), ("tags", "x, y,x"), ("context", r"alt=A\|B|k=v")], &file).await;

    assert_eq!(reply["public_id"], "a/pic");
    assert_eq!((&reply["width"], &reply["height"], &reply["format"]), (&json!(7), &json!(5), &json!("png")));
    assert_eq!((&reply["resource_type"], &reply["type"]), (&json!("image"), &json!("upload")));
    assert_eq!(reply["bytes"], file.len());
    assert_eq!(reply["etag"], md5(&file));
    assert_eq!(reply["tags"], json!(["x", "y"]));
    assert_eq!(reply["context"], json!({"custom": {"alt": "A|B", "k": "v"}}));
    assert_eq!(reply["original_filename"], "file");
    assert_eq!(reply["placeholder"], false);
    assert!(reply.get("existing").is_none() && reply.get("overwritten").is_none());
    let (version, signature) =
        (reply["version"].as_u64().expect("a version"), reply["signature"].as_str().expect("one"));
    assert!(verify_response("a/pic", version, "abcd", signature));
    let url = format!("{}/demo/image/upload/v{version}/a/pic.png", media.running.base_url());
    assert_eq!((&reply["url"], &reply["secure_url"]), (&json!(url), &json!(url)));

    let asset = media.handle().asset(ResourceType::Image, "a/pic").expect("stored");
    assert_eq!(media.handle().read(&asset).await.expect("readable"), file);
}

#[tokio::test]
async fn auto_tells_images_films_and_the_rest_apart() {
    let media = start().await;
    let film = [b"\0\0\0\x18ftypisom\0\0\0\0mp42".as_slice(), &[0; 100]].concat();
    for (file, kind, format) in [
        (picture(3, 3, image::ImageFormat::Jpeg), "image", Some("jpg")),
        (film, "video", Some("mp4")),
        (b"just text".to_vec(), "raw", None),
    ] {
        let reply = media.store("auto", &[], &file).await;
        assert_eq!(reply["resource_type"], kind);
        assert_eq!(reply["format"].as_str(), format);
    }
    // The field that Go sends wins over the path and is not signed.
    let fields = [("resource_type", "raw"), ("public_id", "p")];
    assert_eq!(media.store("auto", &fields, &png(1, 1)).await["resource_type"], "raw");
}

#[tokio::test]
async fn what_is_not_of_the_kind_asked_for_is_refused() {
    let media = start().await;
    for (kind, file, text) in [
        ("image", b"<html>".to_vec(), "Invalid image file"),
        ("image", Vec::new(), "Invalid image file"),
        ("image", png(4, 4)[..20].to_vec(), "Invalid image file"),
        ("video", png(4, 4), "Unsupported video format or file"),
    ] {
        let refused = media.upload(kind, &[("public_id", "p")], &file).send().await.expect("an answer");
        assert_eq!(error(refused).await, (400, text.to_owned()));
    }
    let response =
        media.upload("image", &[("allowed_formats", "jpg,webp")], &png(4, 4)).send().await.expect("an answer");
    assert_eq!(error(response).await, (400, "Image format png not allowed".to_owned()));
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn without_overwrite_the_first_upload_stays() {
    let media = start().await;
    let (one, two) = (png(1, 1), png(2, 2));
    let first = media.store("image", &[("public_id", "p"), ("overwrite", "0")], &one).await;
    let second = media.store("image", &[("public_id", "p"), ("overwrite", "false")], &two).await;
    assert_eq!(second["existing"], true);
    for field in ["etag", "version", "asset_id", "signature"] {
        assert_eq!(first[field], second[field], "{field}");
    }

    let third = media.store("image", &[("public_id", "p")], &two).await;
    assert_eq!(third["overwritten"], true);
    assert_eq!(third["etag"], md5(&two));
    assert!(third["version"].as_u64() > first["version"].as_u64());
    let blobs = std::fs::read_dir(media.folder.path().join("blobs")).expect("a folder").count();
    assert_eq!(blobs, 1, "the replaced bytes are gone");
}

#[tokio::test]
async fn of_concurrent_first_uploads_exactly_one_is_stored() {
    let media = start().await;
    let mut uploads = Vec::new();
    for size in 1..=12 {
        let request = media.upload("image", &[("public_id", "p"), ("overwrite", "0")], &png(size, size));
        uploads.push(tokio::spawn(async move { json(request.send().await.expect("an answer")).await.1 }));
    }
    let mut replies = Vec::new();
    for upload in uploads {
        replies.push(upload.await.expect("no panic"));
    }
    assert_eq!(replies.iter().filter(|reply| reply.get("existing").is_none()).count(), 1);
    assert!(replies.iter().all(|reply| reply["etag"] == replies[0]["etag"]), "all describe the same asset");
}

#[tokio::test]
async fn the_public_id_comes_from_the_client_the_file_name_or_chance() {
    let media = start().await;
    let id = async |fields: &[(&str, &str)]| media.store("raw", fields, b"x").await["public_id"].clone();
    assert_eq!(id(&[("public_id", "p"), ("folder", "fo")]).await, "fo/p");
    assert_eq!(
        id(&[("use_filename", "1"), ("unique_filename", "0"), ("filename_override", "C:\\a\\My?.txt")]).await,
        "My_.txt"
    );
    let unique = id(&[("use_filename", "true")]).await;
    assert!(
        unique.as_str().is_some_and(|id| id.starts_with("file_") && id.ends_with(".bin") && id.len() == 15),
        "{unique}"
    );
    let random = id(&[]).await;
    assert!(random.as_str().is_some_and(|id| id.len() == 24 && id.ends_with(".bin")), "{random}");
    for bad in ["a?b", "/a", "v12/x", "a "] {
        let response = media.upload("raw", &[("public_id", bad)], b"x").send().await.expect("an answer");
        let (status, text) = error(response).await;
        assert!(status == 400 && text.starts_with(&format!("public_id ({bad}) is invalid")), "{text}");
    }
}

#[tokio::test]
async fn a_large_file_goes_to_disk_whole() {
    let media = start().await;
    let file: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let reply = media.store("raw", &[("public_id", "large")], &file).await;
    assert_eq!((&reply["bytes"], &reply["etag"]), (&json!(file.len()), &json!(md5(&file))));
    let asset = media.handle().asset(ResourceType::Raw, "large").expect("stored");
    assert_eq!(media.handle().read(&asset).await.expect("readable"), file);
    let left = std::fs::read_dir(media.folder.path().join("incoming")).expect("a folder").count();
    assert_eq!(left, 0, "nothing waits any more");
}

#[tokio::test]
async fn limits_are_enforced_per_kind_and_per_request() {
    let media = start_with(|config| {
        config.max_raw = 1000;
        config.max_request = 100_000;
    })
    .await;
    let response = media.upload("raw", &[], &[0; 1001]).send().await.expect("an answer");
    assert_eq!(error(response).await, (400, "File size too large. Got 1001. Maximum is 1000.".to_owned()));

    let response = media.upload("raw", &[], &[0; 400_000]).send().await.expect("the body is read before the answer");
    assert_eq!(response.status(), 413);
    assert!(response.headers()["content-type"].to_str().expect("text").starts_with("text/html"));
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn parameters_come_as_json_form_or_query_too() {
    let media = start().await;
    let uri = "data:text/plain;base64,aGVsbG8=";
    let fields = signed(&[("public_id", "json"), ("tags", "a,b")]);
    let mut body: serde_json::Map<_, _> = fields.into_iter().map(|(name, value)| (name, json!(value))).collect();
    body.insert("file".to_owned(), json!(uri));
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).json(&body);
    let (status, reply) = json(request.send().await.expect("an answer")).await;
    assert_eq!((status, &reply["etag"], &reply["tags"]), (200, &json!(md5(b"hello")), &json!(["a", "b"])));

    let mut fields = signed(&[("public_id", "form")]);
    fields.push(("file".to_owned(), uri.to_owned()));
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).form(&fields);
    assert_eq!(json(request.send().await.expect("an answer")).await.1["bytes"], 5);

    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).query(&signed(&[("public_id", "query")]));
    let request = request.multipart(form(Vec::new(), b"hello"));
    assert_eq!(json(request.send().await.expect("an answer")).await.1["public_id"], "query");
}

#[tokio::test]
async fn missing_parts_are_named() {
    let media = start().await;
    let form = signed(&[]).into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form);
    let refused = error(request.send().await.expect("an answer")).await;
    assert_eq!(refused, (400, "Missing required parameter - file".to_owned()));

    let refused = error(media.upload("raw", &[("overwrite", "maybe")], b"x").send().await.expect("an answer")).await;
    assert_eq!(refused, (400, "Invalid value maybe for parameter overwrite".to_owned()));
    let response = media.client.post(media.url("/v1_1/demo/film/upload")).send().await.expect("an answer");
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn text_with_a_content_type_is_overlooked_as_cloudinary_does() {
    let media = start().await;
    let mut form = Form::new();
    for (name, value) in signed(&[]) {
        form = form.part(name, Part::text(value).mime_str("text/plain").expect("a type"));
    }
    let form = form.part("file", Part::bytes(b"x".to_vec()).file_name("x"));
    let response =
        media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form).send().await.expect("an answer");
    let text = "Upload preset must be specified when using unsigned upload";
    assert_eq!(error(response).await, (400, text.to_owned()));
}

#[tokio::test]
async fn an_asynchronous_upload_answers_first_and_stores_then() {
    let media = start().await;
    let reply = media.store("raw", &[("public_id", "later"), ("async", "true")], b"hello").await;
    assert_eq!((&reply["status"], &reply["public_id"]), (&json!("pending"), &json!("later")));
    for _ in 0..500 {
        if media.handle().asset(ResourceType::Raw, "later").is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not stored within five seconds");
}

#[tokio::test]
async fn arriving_bytes_are_counted_per_public_id() {
    let media = start().await;
    media.store("raw", &[("public_id", "p")], &[0; 5000]).await;
    media.store("raw", &[("public_id", "p")], &[0; 5000]).await;
    media.store("raw", &[("public_id", "q"), ("folder", "f")], &[0; 100]).await;
    let (p, q, all) = (media.handle().traffic_of("p"), media.handle().traffic_of("f/q"), media.handle().traffic());
    assert_eq!((p.upload_requests, q.upload_requests, all.upload_requests), (2, 1, 3));
    assert!((10_000..13_000).contains(&p.body_bytes), "{p:?}");
    assert_eq!(all.body_bytes, p.body_bytes + q.body_bytes);
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_nothing_behind() {
    let media = start().await;
    let address = media.running.base_url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head = "POST /v1_1/demo/raw/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\
                Content-Type: multipart/form-data; boundary=abcde\r\n\r\n\
                --abcde\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&vec![1; 2_000_000]).await.expect("sent");
    let incoming = media.folder.path().join("incoming");
    let count = || std::fs::read_dir(&incoming).expect("a folder").count();
    let reaches = async |wanted: usize| {
        for _ in 0..500 {
            if count() == wanted {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        false
    };
    assert!(reaches(1).await, "the bytes go to disk as they arrive");
    drop(stream);
    assert!(reaches(0).await, "and are removed with the request");
    assert!(media.handle().assets().is_empty());
}

#[tokio::test]
async fn what_cloudinary_documents_is_taken_by_its_bytes_and_what_it_does_not_take_is_refused() {
    let media = start().await;
    for sample in [samples::pictures(), samples::other_pictures(), samples::films()].concat() {
        let kind = if sample.content_type.starts_with("image/") { "image" } else { "video" };
        let extension = file_types::by_content_type(sample.content_type).map(|known| known.extension);
        for path in ["auto", kind] {
            let reply = media.store(path, &[], &sample.bytes).await;
            assert_eq!(reply["resource_type"], kind, "{}: {reply}", sample.name);
            assert_eq!(reply["format"].as_str(), extension, "{}: {reply}", sample.name);
        }
    }
    let animated = samples::heif(b"avis", &[b"avif", b"msf1"], 8, 8);
    let refused = media.upload("image", &[], &animated).send().await.expect("an answer");
    assert_eq!(error(refused).await, (400, "Invalid image file".to_owned()));
}

#[tokio::test]
async fn a_picture_that_it_cannot_transform_comes_as_it_is_when_any_format_will_do() {
    let media = start().await;
    let heic = samples::heif(b"heic", &[b"mif1"], 8, 8);
    media.store("image", &[("public_id", "phone")], &heic).await;
    let response = media.get("/demo/image/upload/f_auto/v1/phone.heic").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"image/heic".parse().expect("a type"))
    );
    assert_eq!(response.bytes().await.expect("bytes"), heic);
}
