//! Serving what was stored.

use reqwest::header::{ACCEPT, IF_NONE_MATCH, IF_RANGE, ORIGIN, RANGE};
use reqwest::{Method, Response};

use crate::support::{Media, md5, picture, png, signed, start, start_with};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

async fn dimensions(media: &Media, path: &str) -> (u32, u32) {
    let response = media.get(path).await;
    assert_eq!(response.status(), 200, "{path}: {:?}", response.headers());
    let bytes = response.bytes().await.expect("bytes");
    let picture = image::load_from_memory(&bytes).expect("a picture");
    (picture.width(), picture.height())
}

#[tokio::test]
async fn an_asset_comes_back_with_its_type_and_validators() {
    let media = start().await;
    let file = png(4, 4);
    media.store("image", &[("public_id", "a/p ü")], &file).await;
    for path in ["a/p%20%C3%BC.png", "v1/a/p%20%C3%BC", "v99999/a/p%20%C3%BC.png", "a%2Fp%20%C3%BC.png?_a=x"] {
        let response = media.get(&format!("/demo/image/upload/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), "image/png");
        assert_eq!(header(&response, "content-length"), file.len().to_string());
        assert_eq!(header(&response, "etag"), format!("\"{}\"", md5(&file)));
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        assert_eq!(header(&response, "cache-control"), "public, max-age=2592000");
        assert!(header(&response, "last-modified").ends_with(" GMT"));
        assert_eq!(response.bytes().await.expect("bytes"), file);
    }
    let head = media.client.head(media.url("/demo/image/upload/a/p%20%C3%BC")).send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, file.len().to_string().as_str()));
    assert!(head.bytes().await.expect("nothing").is_empty());
}

#[tokio::test]
async fn the_urls_of_a_reply_work() {
    let media = start().await;
    let file = b"%PDF-1.4 something".to_vec();
    for (kind, id, file) in [("image", "doc", file), ("raw", "a b/ü!.txt", b"text".to_vec())] {
        let reply = media.store(kind, &[("public_id", id)], &file).await;
        let url = reply["secure_url"].as_str().expect("a URL");
        let response = media.client.get(url).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{url}");
        assert_eq!(response.bytes().await.expect("bytes"), file);
    }
}

#[tokio::test]
async fn parts_and_conditions_are_honoured() {
    let media = start().await;
    media.store("raw", &[("public_id", "digits")], b"0123456789").await;
    let get = async |name, value: &str| {
        let request = media.client.get(media.url("/demo/raw/upload/digits")).header(name, value);
        request.send().await.expect("an answer")
    };
    let response = get(RANGE, "bytes=2-5").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-range")), (206, "bytes 2-5/10"));
    assert_eq!(response.text().await.expect("text"), "2345");
    assert_eq!(get(RANGE, "bytes=-3").await.text().await.expect("text"), "789");
    let response = get(RANGE, "bytes=10-").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-range")), (416, "bytes */10"));
    assert_eq!(get(RANGE, "bytes=0-1,3-4").await.status(), 200);
    assert_eq!(get(RANGE, "bytes=8-99").await.text().await.expect("text"), "89");
    assert_eq!(get(RANGE, "bytes=-30").await.text().await.expect("text"), "0123456789");
    let etag = format!("\"{}\"", md5(b"0123456789"));
    assert_eq!(get(IF_NONE_MATCH, &etag).await.status(), 304);
    assert_eq!(get(IF_NONE_MATCH, &format!("\"other\", W/{etag}")).await.status(), 304);
    assert_eq!(get(IF_NONE_MATCH, "\"other\"").await.status(), 200);
    for (condition, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
        let request = media.client.get(media.url("/demo/raw/upload/digits"));
        let response = request.header(RANGE, "bytes=2-5").header(IF_RANGE, condition).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{condition}");
        assert_eq!(header(&response, "etag"), etag);
    }
}

#[tokio::test]
async fn what_a_browser_could_run_is_served_as_bytes() {
    let media = start().await;
    media.store("raw", &[("public_id", "page.html")], b"<script>").await;
    assert_eq!(header(&media.get("/demo/raw/upload/page.html").await, "content-type"), "application/octet-stream");
    media.store("image", &[("public_id", "drawing")], b"<svg xmlns='http://www.w3.org/2000/svg'/>").await;
    let response = media.get("/demo/image/upload/drawing.svg").await;
    assert!(header(&response, "content-security-policy").contains("sandbox"));
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn restricted_assets_need_a_signed_url() {
    let media = start().await;
    media
        .store("image", &[("public_id", "sample"), ("type", "authenticated")], &picture(9, 9, image::ImageFormat::Jpeg))
        .await;
    media
        .store("image", &[("public_id", "sample"), ("type", "private")], &picture(8, 8, image::ImageFormat::Jpeg))
        .await;
    for (path, status) in [
        ("authenticated/sample.jpg", 401),
        ("authenticated/s--lGdq5NKP--/sample.jpg", 401),
        ("authenticated/s--lGdq5NKO--/v1/sample.jpg", 200),
        ("authenticated/w_2/sample.jpg", 401),
        ("private/sample.jpg", 401),
        ("private/s--lGdq5NKO--/sample.jpg", 200),
        ("private/w_2/sample.jpg", 200),
        ("upload/sample.jpg", 404),
    ] {
        assert_eq!(media.get(&format!("/demo/image/{path}")).await.status(), status, "{path}");
    }
    let query = signed(&[("public_id", "sample"), ("type", "private"), ("format", "jpg"), ("attachment", "true")]);
    let request = media.client.get(media.url("/v1_1/demo/image/download")).query(&query);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert!(header(&response, "content-disposition").starts_with("attachment"));
}

#[tokio::test]
async fn pictures_are_resized_converted_and_turned() {
    let media = start().await;
    media.store("image", &[("public_id", "p")], &picture(400, 200, image::ImageFormat::Jpeg)).await;
    for (path, expected) in [
        ("w_100/p.jpg", (100, 50)),
        ("c_fill,h_100,w_100/p.jpg", (100, 100)),
        ("c_limit,h_1000,w_1000/v1/p", (400, 200)),
        ("c_pad,w_50,h_50,b_black/a_90/p.png", (50, 50)),
        ("w_0.5/q_auto:good/p.jpg", (200, 100)),
    ] {
        assert_eq!(dimensions(&media, &format!("/demo/image/upload/{path}")).await, expected, "{path}");
        assert_eq!(dimensions(&media, &format!("/demo/image/upload/{path}")).await, expected, "{path}, from the cache");
    }
    let response = media.get("/demo/image/upload/p.png").await;
    assert_eq!(header(&response, "content-type"), "image/png");
    assert_eq!(image::guess_format(&response.bytes().await.expect("bytes")).expect("known"), image::ImageFormat::Png);

    let request = media.client.get(media.url("/demo/image/upload/f_auto/p")).header(ACCEPT, "image/webp,*/*");
    let response = request.send().await.expect("an answer");
    assert_eq!((header(&response, "content-type"), header(&response, "vary").contains("accept")), ("image/webp", true));
    let response = media.get("/demo/image/upload/fl_attachment:mine/p.jpg").await;
    assert_eq!(header(&response, "content-disposition"), "attachment; filename=\"mine.jpg\"");
}

#[tokio::test]
async fn a_derived_picture_follows_its_original() {
    let media = start().await;
    media.store("image", &[("public_id", "p")], &png(100, 50)).await;
    assert_eq!(dimensions(&media, "/demo/image/upload/w_10/p.png").await, (10, 5));
    media.store("image", &[("public_id", "p")], &png(100, 100)).await;
    assert_eq!(dimensions(&media, "/demo/image/upload/w_10/p.png").await, (10, 10));
    let derived = std::fs::read_dir(media.folder.path().join("derived")).expect("a folder").count();
    assert_eq!(derived, 1, "those of the old version are gone");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_never_passed_through() {
    let media = start_with(|config| config.max_pixels = 10_000).await;
    media.store("image", &[("public_id", "p")], &png(50, 50)).await;
    media.store("image", &[("public_id", "big")], &png(200, 200)).await;
    media.store("raw", &[("public_id", "r")], b"x").await;
    for (path, text) in [
        ("image/upload/w_abc/p.png", "Invalid width in transformation: abc"),
        ("image/upload/t_thumb/p.png", "Unknown transformation thumb"),
        ("image/upload/e_blur/p.png", "cloudinary-local does not support the transformation e_blur"),
        ("image/upload/p.tiff", "cloudinary-local does not support the transformation f_tiff"),
        ("image/upload/w_10/big.png", "Resource has too many pixels: 40000. Maximum is 10000."),
        ("image/upload/w_5000/p.png", "Resource has too many pixels: 25000000. Maximum is 10000."),
        ("raw/upload/w_10/r", "cloudinary-local does not transform raw assets"),
    ] {
        let response = media.get(&format!("/demo/{path}")).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-cld-error")), (400, text), "{path}");
    }
    let response = media.get("/demo/image/upload/none.png").await;
    assert_eq!((response.status().as_u16(), header(&response, "x-cld-error")), (404, "Resource not found - none.png"));
    assert_eq!(media.get("/nobody/image/upload/p.png").await.status(), 404);
}

#[tokio::test]
async fn browsers_may_upload_and_read_the_errors() {
    let media = start().await;
    let request = media.client.request(Method::OPTIONS, media.url("/v1_1/demo/auto/upload"));
    let request = request.header(ORIGIN, "http://app.example").header("Access-Control-Request-Method", "POST");
    let request = request.header("Access-Control-Request-Headers", "x-unique-upload-id,content-range");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert!(header(&response, "access-control-allow-headers").contains("x-unique-upload-id"));
    let request = media.client.post(media.url("/v1_1/demo/auto/upload")).header(ORIGIN, "http://app.example");
    let response = request.send().await.expect("an answer");
    assert!(header(&response, "access-control-expose-headers").contains("x-cld-error"));
}
