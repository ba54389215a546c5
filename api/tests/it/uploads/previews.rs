//! What was uploaded, shown from the spool and later from the media host.

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::{Document, doc};
use reqwest::Method;
use testkit::samples::{self, Sample};
use testkit::{Answer, Leftovers, jpeg, mp4};

use crate::support::{MEDIA, World, assert_refused, submit};

/// The path of the asset in an answer.
fn path_of(answer: &Answer) -> String {
    format!("{MEDIA}/{}", answer.data()["_id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_preview_is_of_the_type_it_was_found_to_be_and_cannot_run_anything() {
    let world = World::start().await;
    let member = world.member().await;
    // A picture to a decoder, and a page to whoever guesses.
    let picture = [&samples::gif()[..], b"<html><script>alert(1)</script></html>"].concat();
    let (html_name, svg_name) = ("evil.html", "evil.svg");
    for (file_name, content, content_type) in [
        (html_name, picture.clone(), "image/gif"),
        (svg_name, picture, "image/gif"),
        ("a.mp4", mp4(2_000).to_vec(), "video/mp4"),
    ] {
        let answer = submit(&member.client, file_name, &content).await.expect(202);
        // Whoever has the address may look.
        let shown = world.api.request(Method::GET, &path_of(&answer)).send().await.expect("an answer");
        assert_eq!(shown.status(), 200);
        for (name, value) in [
            ("content-type", content_type),
            ("x-content-type-options", "nosniff"),
            ("content-disposition", "inline"),
            ("content-security-policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("accept-ranges", "bytes"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(shown.headers().get(name).and_then(|value| value.to_str().ok()), Some(value), "{name}");
        }
        assert_eq!(shown.bytes().await.expect("bytes"), content);
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_preview_is_shown_inline_only_if_browsers_show_its_type_and_is_saved_otherwise() {
    let world = World::start().await;
    let member = world.member().await;
    let saved = [
        "image/tiff",
        "image/jp2",
        "image/jxr",
        "image/vnd.adobe.photoshop",
        "video/x-msvideo",
        "video/x-flv",
        "video/x-ms-wmv",
        "video/mp2t",
        "video/mpeg",
        "application/mxf",
        "audio/aiff",
        "audio/amr",
    ];
    for Sample { name, content_type, bytes } in
        [samples::pictures(), samples::other_pictures(), samples::films()].concat()
    {
        let answer = submit(&member.client, "a", &bytes).await.expect(202);
        let shown = world.api.request(Method::GET, &path_of(&answer)).send().await.expect("an answer");
        let disposition = if saved.contains(&content_type) { "attachment" } else { "inline" };
        assert_eq!(shown.headers()["content-disposition"], disposition, "{name}");
        assert_eq!(shown.headers()["content-type"], content_type, "{name}");
        assert_eq!(shown.headers()["x-content-type-options"], "nosniff", "{name}");
        assert_eq!(shown.bytes().await.expect("bytes"), bytes, "{name}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_picture_that_not_every_browser_shows_is_delivered_as_what_the_browser_shows_unless_told_otherwise() {
    let world = World::start().await;
    let member = world.member().await;
    for f_auto in [true, false] {
        let worker = world.env.worker_with(|config| config.settings.f_auto = f_auto).await;
        for Sample { name, content_type, bytes } in samples::pictures() {
            let answer = submit(&member.client, "a", &bytes).await.expect(202);
            member.client.wait_for_job(&answer.job(0), &["completed"]).await;
            let redirect = world.api.request(Method::GET, &path_of(&answer)).send().await.expect("an answer");
            let location = redirect.headers()["location"].to_str().expect("an address").to_owned();
            let asks = location.contains("/image/upload/f_auto/v");
            let is_rare = ["image/heic", "image/heif", "image/jxl"].contains(&content_type);
            assert_eq!(asks, is_rare && f_auto, "{name}: {location}");
            let delivered = reqwest::get(&location).await.expect("the media host");
            assert_eq!(
                (delivered.status().as_u16(), delivered.bytes().await.expect("bytes")),
                (200, bytes.into()),
                "{name}"
            );
        }
        drop(worker);
    }
    world.end().await;
}

#[tokio::test]
async fn a_preview_is_served_in_ranges_and_by_its_head() {
    let world = World::start().await;
    let member = world.member().await;
    let film = mp4(300_000);
    let path = path_of(&submit(&member.client, "film.mp4", &film).await.expect(202));
    for (range, first, last) in [
        ("bytes=0-99", 0, 99),
        ("bytes=299000-", 299_000, 299_999),
        ("bytes=-10", 299_990, 299_999),
        ("bytes=5-999999", 5, 299_999),
    ] {
        let part = world.api.request(Method::GET, &path).header("range", range).send().await.expect("an answer");
        assert_eq!(part.status(), 206, "{range}");
        assert_eq!(part.headers()["content-range"], format!("bytes {first}-{last}/300000"));
        assert_eq!(part.headers()["x-content-type-options"], "nosniff");
        assert_eq!(part.bytes().await.expect("bytes"), film.slice(first..=last));
    }
    let request = world.api.request(Method::GET, &path).header("range", "bytes=300000-");
    let beyond = world.api.send(request).await;
    assert_refused(&beyond, 416, &[]);
    assert_eq!(beyond.header("content-range"), "bytes */300000");

    let whole = world.api.request(Method::GET, &path).send().await.expect("an answer");
    let etag = whole.headers()["etag"].to_str().expect("a tag").to_owned();
    let known = world.api.request(Method::GET, &path).header("if-none-match", &etag).send().await.expect("an answer");
    assert_eq!(known.status(), 304);

    let head = world.api.request(Method::HEAD, &path).send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"300000".parse().expect("a value")));
    assert_eq!(head.bytes().await.expect("nothing").len(), 0);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn more_than_all_from_the_end_is_all_and_what_cannot_be_answered_in_part_is_answered_whole() {
    let world = World::start().await;
    let member = world.member().await;
    let film = mp4(3_000);
    let path = path_of(&submit(&member.client, "film.mp4", &film).await.expect(202));
    let ask = async |range: &str| {
        let request = world.api.request(Method::GET, &path).header("range", range);
        let answer = request.send().await.expect("an answer");
        let content_range = answer.headers().get("content-range").map(|range| range.to_str().expect("text").to_owned());
        (answer.status().as_u16(), content_range, answer.bytes().await.expect("bytes"))
    };
    for range in ["bytes=-3000", "bytes=-3001", "bytes=-99999999999999999999", "bytes=0-", "Bytes=0-2999"] {
        assert_eq!(ask(range).await, (206, Some("bytes 0-2999/3000".to_owned()), film.clone()), "{range}");
    }
    assert_eq!(ask("bytes=-500").await, (206, Some("bytes 2500-2999/3000".to_owned()), film.slice(2_500..)));
    // Another unit, and several ranges, which no front end asks for.
    for range in ["seconds=0-10", "bytes=0-9,20-29", "bytes=0-9, -10"] {
        assert_eq!(ask(range).await, (200, None, film.clone()), "{range}");
    }
    for range in ["bytes=3000-", "bytes=-0", "bytes=3000-4000", "bytes=9-8", "bytes=x"] {
        let (status, content_range, body) = ask(range).await;
        assert_eq!((status, content_range.as_deref()), (416, Some("bytes */3000")), "{range}");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["type"], "urn:steep:problem:range-not-satisfiable", "{range}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_part_is_of_the_bytes_that_the_client_has_the_rest_of() {
    let world = World::start().await;
    let member = world.member().await;
    let film = mp4(3_000);
    let path = path_of(&submit(&member.client, "film.mp4", &film).await.expect(202));
    let whole = world.api.request(Method::GET, &path).send().await.expect("an answer");
    let header = |name: &str| whole.headers()[name].to_str().expect("text").to_owned();
    let (etag, modified) = (header("etag"), header("last-modified"));
    for (condition, status) in [
        (etag.as_str(), 206),
        (&modified, 206),
        ("\"of other bytes\"", 200),
        (&format!("W/{etag}"), 200),
        ("Sat, 29 Oct 1994 19:43:31 GMT", 200),
        ("nonsense", 200),
    ] {
        let request =
            world.api.request(Method::GET, &path).header("range", "bytes=1000-").header("if-range", condition);
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (status, &whole.headers()["etag"]));
        let expected = if status == 206 { film.slice(1_000..) } else { film.clone() };
        assert_eq!(answer.bytes().await.expect("bytes"), expected, "{condition}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn the_tag_of_an_upload_outlives_its_move_to_the_media_host() {
    let world = World::start().await;
    let member = world.member().await;
    let picture = jpeg(3_000);
    let answer = submit(&member.client, "me.jpg", &picture).await.expect(202);
    let path = path_of(&answer);
    let ask = async |method: Method, name: &str, value: &str| {
        let answer = world.api.request(method, &path).header(name, value).send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers().clone(), answer.bytes().await.expect("bytes").len())
    };
    let (status, before, _) = ask(Method::GET, "accept", "*/*").await;
    assert_eq!(status, 200);
    let (etag, modified) = (before["etag"].to_str().expect("text"), before["last-modified"].to_str().expect("text"));
    assert!(etag.starts_with('"'), "a strong one: {etag}");
    let elsewhere = submit(&member.client, "again.jpg", &picture).await.expect(202);
    let twin = world.api.get(&path_of(&elsewhere)).await;
    assert_ne!(twin.header("etag"), etag, "another upload");

    let worker = world.env.worker().await;
    for job in [&answer, &elsewhere] {
        member.client.wait_for_job(&job.job(0), &["completed"]).await;
    }
    for method in [Method::GET, Method::HEAD] {
        let (status, after, _) = ask(method.clone(), "accept", "*/*").await;
        assert_eq!(status, 302);
        for name in ["etag", "last-modified"] {
            assert_eq!(after[name], before[name], "{method} {name}");
        }
        for (name, value, expected) in [
            ("if-none-match", etag, 304),
            ("if-none-match", &format!("\"x\", W/{etag}"), 304),
            ("if-none-match", "\"x\"", 302),
            ("if-modified-since", modified, 304),
            ("if-match", etag, 302),
            ("if-match", "\"x\"", 412),
            ("range", "bytes=0-9", 302),
        ] {
            let (status, headers, length) = ask(method.clone(), name, value).await;
            assert_eq!((status, &headers["etag"], length), (expected, &before["etag"], 0), "{method} {name}: {value}");
            assert_eq!(headers["cache-control"], if expected == 412 { "no-store" } else { "public, max-age=60" });
            assert_eq!(headers.contains_key("location"), expected == 302);
        }
    }
    // Whoever goes on with a download that began with the preview gets all of it: the media host has a tag of its own.
    let request = reqwest::Client::new().get(format!("{}{path}", world.api.url()));
    let whole = request.header("range", "bytes=1000-").header("if-range", etag).send().await.expect("an answer");
    assert_eq!(whole.status().as_u16(), 200);
    assert_eq!(whole.bytes().await.expect("bytes"), picture);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn the_tag_of_an_upload_whose_md5_was_taken_when_it_was_accepted_stays_that() {
    let world = World::start().await;
    let member = world.member().await;
    let picture = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
    let answer = submit(&member.client, "me.gif", picture).await.expect(202);
    let path = path_of(&answer);
    let md5 = "bc4be32fc23f91be8d1d93f61cf61838";
    let earlier = doc! { "$set": { "md5": md5 }, "$unset": { "crc32": "" } };
    let id = doc! { "job": answer.job(0) };
    world.env.database().collection::<Document>("assets").update_one(id, earlier).await.expect("changed");
    let tag = format!("\"{md5}\"");
    assert_eq!(world.api.get(&path).await.header("etag"), tag);

    let worker = world.env.worker().await;
    member.client.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(world.api.get(&path).await.expect(302).header("etag"), tag);
    // A download that began with the preview goes on at the media host.
    let request = reqwest::Client::new().get(format!("{}{path}", world.api.url()));
    let rest = request.header("range", "bytes=10-").header("if-range", &tag).send().await.expect("an answer");
    assert_eq!((rest.status().as_u16(), rest.headers()["etag"].to_str().ok()), (206, Some(tag.as_str())));
    assert_eq!(rest.bytes().await.expect("bytes"), picture[10..]);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn an_address_ends_with_the_extension_of_its_type_and_works_with_any_or_none() {
    let world = World::start().await;
    let member = world.member().await;
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec();
    let (film, picture) = (mp4(3_000).to_vec(), jpeg(3_000).to_vec());
    let (mut jobs, mut moved) = (Vec::new(), Vec::new());
    // The bytes decide, not the name.
    for (file_name, content, extension) in [("a.mov", &film, "mp4"), ("a.jpeg", &picture, "jpg"), ("a", &gif, "gif")] {
        let answer = submit(&member.client, file_name, content).await.expect(202);
        let (id, address) = (answer.data()["_id"].as_str().expect("an id"), answer.data()["url"].as_str());
        assert!(address.is_some_and(|address| address.ends_with(&format!("{MEDIA}/{id}.{extension}"))), "{address:?}");
        jobs.push(answer.job(0));
        let job = member.client.get(&format!("/api/v1/jobs/{}", answer.job(0))).await.expect(200);
        assert_eq!(job.data()["links"]["asset"].as_str(), address);
        let listed = member.client.get(&format!("{MEDIA}?limit=1")).await.expect(200);
        assert_eq!(listed.data()["docs"][0]["url"].as_str(), address);
        for ending in [format!(".{extension}"), String::new(), ".MP4".to_owned(), ".webm/".to_owned(), "/".to_owned()] {
            let shown =
                world.api.request(Method::GET, &format!("{MEDIA}/{id}{ending}")).send().await.expect("an answer");
            assert_eq!(shown.status(), 200, "{ending}");
            assert_ne!(shown.headers()["content-type"], "video/webm");
            assert_eq!(shown.bytes().await.expect("bytes"), content, "{ending}");
            moved.push(format!("{MEDIA}/{id}{ending}"));
        }
    }
    let worker = world.env.worker().await;
    for job in jobs {
        member.client.wait_for_job(&job, &["completed"]).await;
    }
    for address in moved {
        world.api.get(&address).await.expect(302);
    }
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_spooled_file_leads_nowhere() {
    let world = World::start().await;
    let member = world.member().await;
    let picture = jpeg(3_000);
    let path = path_of(&submit(&member.client, "me.jpg", &picture).await.expect(202));
    let spooled = world.env.spooled();
    assert_eq!(spooled.len(), 1);
    let (file, aside) = (world.env.folder().join("spool/ready").join(&spooled[0]), world.env.folder().join("aside"));
    let outside = world.env.folder().join("outside");
    std::fs::write(&outside, "nobody's business").expect("written");
    std::fs::rename(&file, &aside).expect("set aside");
    std::os::unix::fs::symlink(&outside, &file).expect("a link");
    for method in [Method::GET, Method::HEAD] {
        let shown = world.api.request(method, &path).send().await.expect("an answer");
        assert_eq!(shown.status(), 404);
        assert!(!shown.text().await.expect("text").contains("business"));
    }
    std::fs::rename(&aside, &file).expect("in its place again");
    let shown = world.api.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(shown.bytes().await.expect("a picture"), picture);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn what_is_ready_is_a_redirect_to_the_media_host() {
    let world = World::start().await;
    let member = world.member().await;
    let picture = jpeg(3_000);
    let answer = submit(&member.client, "me.jpg", &picture).await.expect(202);
    let worker = world.env.worker().await;
    member.client.wait_for_job(&answer.job(0), &["completed"]).await;
    for method in [Method::GET, Method::HEAD] {
        let redirect = world.api.request(method, &path_of(&answer)).send().await.expect("an answer");
        assert_eq!(redirect.status(), 302);
        assert_eq!(redirect.headers()["cross-origin-resource-policy"], "cross-origin");
        let location = redirect.headers()["location"].to_str().expect("an address");
        assert_eq!(reqwest::get(location).await.expect("the media host").bytes().await.expect("a picture"), picture);
    }
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn what_failed_for_good_is_404_and_its_owner_is_told_why() {
    let world = World::start().await;
    let member = world.member().await;
    world.env.media().install_fault(
        Fault::new(Effect::Status {
            status: 400,
            message: Some("Invalid image file".to_owned()),
            html: None,
            retry_after: None,
            at: Moment::BeforeStoring,
        })
        .on("upload"),
    );
    let answer = submit(&member.client, "me.jpg", &jpeg(3_000)).await.expect(202);
    let worker = world.env.worker().await;
    let job = member.client.wait_for_job(&answer.job(0), &["discarded"]).await;
    assert!(job["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{job}");
    assert_refused(&world.api.get(&path_of(&answer)).await, 404, &[]);
    let listed = member.client.get(MEDIA).await;
    let asset = &listed.data()["docs"][0];
    assert_eq!((asset["state"].as_str(), asset["url"].as_str()), (Some("failed"), Some("")), "{asset}");
    assert!(asset["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{asset}");
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    drop(worker);
}

#[tokio::test]
async fn a_preview_goes_on_while_its_upload_hangs() {
    let world = World::start().await;
    let member = world.member().await;
    world.env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
    let picture = jpeg(3_000);
    let answer = submit(&member.client, "me.jpg", &picture).await.expect(202);
    let worker = world.env.worker().await;
    member.client.wait_for_job(&answer.job(0), &["running"]).await;
    let shown = world.api.request(Method::GET, &path_of(&answer)).send().await.expect("an answer");
    assert_eq!(shown.bytes().await.expect("a picture"), picture);
    world.env.media().clear_faults();
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn an_id_that_is_none_is_422_and_one_that_is_unknown_is_404() {
    let world = World::start().await;
    for id in [
        "1",
        "xyz",
        "0123456789abcdef0123456",
        "0123456789abcdef012345678",
        "..%2f..%2fid",
        "%00",
        "%ff",
        "%20",
        "{id}",
        ".mp4",
        "0123456789abcdef01234567.",
        "0123456789abcdef01234567.mp4.exe",
        "0123456789abcdef01234567.%2fmp4",
        "0123456789abcdef01234567.extension",
    ] {
        let answer = world.api.get(&format!("{MEDIA}/{id}")).await;
        assert_eq!(answer.status, 422, "{id}: {}", answer.body);
        assert_refused(&answer, 422, &["id"]);
    }
    for unknown in ["0123456789abcdef01234567", "0123456789abcdef01234567.mp4"] {
        assert_refused(&world.api.get(&format!("{MEDIA}/{unknown}")).await, 404, &[]);
    }
    world.end().await;
}
