//! Faults: each does what it says to the requests it is meant for, and to no other.

use std::time::{Duration, Instant};

use cloudinary_local::{Effect, Fault, Moment, ResourceType};
use serde_json::json;

use crate::support::{Media, error, form, md5, now, signed_at, start, start_with};

const P: [(&str, &str); 1] = [("public_id", "p")];

fn drop_at(at: Moment) -> Effect {
    Effect::Drop { at, after_bytes: 0 }
}

fn status(status: u16) -> Effect {
    Effect::Status { status, message: None, html: None, retry_after: None, at: Moment::BeforeStoring }
}

async fn fails(media: &Media, file: &[u8]) -> reqwest::Error {
    let result = match media.upload("raw", &P, file).send().await {
        Ok(response) => response.bytes().await.map(|_| ()),
        Err(error) => Err(error),
    };
    result.expect_err("no usable answer")
}

fn is_stored(media: &Media) -> bool {
    media.handle().asset(ResourceType::Raw, "p").is_some()
}

#[tokio::test]
async fn a_dropped_connection_stores_or_does_not_as_it_says() {
    let media = start().await;
    for (at, stored) in [
        (Moment::BeforeReading, false),
        (Moment::Reading, false),
        (Moment::BeforeStoring, false),
        (Moment::AfterStoring, true),
    ] {
        media.handle().install_fault(Fault::new(drop_at(at)).on("upload").times(1));
        let failure = fails(&media, &[1; 300_000]).await;
        assert!(failure.status().is_none(), "{at:?}");
        assert_eq!(is_stored(&media), stored, "{at:?}");
    }
    let again = media.store("raw", &[("public_id", "p"), ("overwrite", "false")], &[1; 300_000]).await;
    assert_eq!((&again["existing"], &again["etag"]), (&json!(true), &json!(md5(&[1; 300_000]))));
    assert!(media.handle().faults().iter().all(|fault| fault.struck == 1));
}

#[tokio::test]
async fn a_connection_can_break_in_the_middle_of_the_body() {
    let media = start().await;
    let fault = Fault::new(Effect::Drop { at: Moment::Reading, after_bytes: 1_000_000 }).times(1);
    media.handle().install_fault(fault);
    fails(&media, &vec![1; 20_000_000]).await;
    let arrived = media.handle().traffic().body_bytes;
    assert!((1_000_000..5_000_000).contains(&arrived), "{arrived}");
    assert!(!is_stored(&media));
    // What came of it goes with the request, which ends after the client has seen it break.
    let (began, incoming) = (Instant::now(), media.folder.path().join("incoming"));
    while std::fs::read_dir(&incoming).expect("a folder").count() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "something stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_status_is_answered_in_cloudinarys_shape_or_as_a_page() {
    let media = start().await;
    media.handle().install_fault(Fault::new(status(500)).on("upload").times(1));
    let response = media.upload("raw", &P, b"x").send().await.expect("an answer");
    assert_eq!(error(response).await, (500, "General Error".to_owned()));

    let page = Effect::Status {
        status: 502,
        message: None,
        html: Some("<html>Bad Gateway</html>".to_owned()),
        retry_after: Some(7),
        at: Moment::AfterStoring,
    };
    media.handle().install_fault(Fault::new(page).on("upload").times(1));
    let response = media.upload("raw", &P, b"x").send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (502, &"7".parse().expect("a value")));
    assert_eq!(response.text().await.expect("text"), "<html>Bad Gateway</html>");
    assert!(is_stored(&media), "this one struck after storing");
    assert_eq!(media.upload("raw", &P, b"x").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_fault_strikes_only_what_it_is_meant_for() {
    let media = start().await;
    media.handle().install_fault(Fault::new(status(503)).on("destroy"));
    media.handle().install_fault(Fault::new(status(503)).public_id("bad/").skip(1));
    media.store("raw", &P, b"x").await;
    media.store("raw", &[("public_id", "bad/1")], b"x").await;
    let response = media.upload("raw", &[("public_id", "bad/1")], b"x").send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert_eq!(media.call("raw/destroy", &P).await.status(), 503);
    assert_eq!(media.get("/demo/raw/upload/p").await.status(), 200);
    assert_eq!(media.get("/demo/raw/upload/bad/1").await.status(), 503);
    assert_eq!(media.admin("resources/raw/upload/bad/1").await.status(), 503);
    media.handle().clear_faults();
    assert_eq!(media.call("raw/destroy", &P).await.status(), 200);
}

#[tokio::test]
async fn the_rate_limit_names_its_reset() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::RateLimit { limit: 500, reset_seconds: 90 }).times(1));
    let response = media.upload("raw", &P, b"x").send().await.expect("an answer");
    let headers = response.headers().clone();
    assert_eq!(headers["x-featureratelimit-limit"], "500");
    assert_eq!(headers["x-featureratelimit-remaining"], "0");
    let reset = httpdate::parse_http_date(headers["x-featureratelimit-reset"].to_str().expect("text")).expect("a date");
    let wait = reset.duration_since(std::time::SystemTime::now()).expect("in the future");
    assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
    let (code, text) = error(response).await;
    assert_eq!(code, 420);
    let start = "Rate Limit Exceeded. Limit of 500 api operations reached. Try again on ";
    assert!(text.starts_with(start) && text.ends_with(" UTC"), "{text}");
}

#[tokio::test]
async fn a_budget_is_spent_and_comes_back() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::Budget { limit: 2, window_seconds: 1 }).on("ping"));
    let ping = async || {
        let response = media.admin("ping").await;
        let remaining = response.headers()["x-featureratelimit-remaining"].to_str().expect("text").to_owned();
        (response.status().as_u16(), remaining)
    };
    assert_eq!(ping().await, (200, "1".to_owned()));
    assert_eq!(ping().await, (200, "0".to_owned()));
    assert_eq!(ping().await.0, 420);
    let deadline = Instant::now() + Duration::from_secs(5);
    while ping().await.0 == 420 {
        assert!(Instant::now() < deadline, "the window never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_delay_waits_and_goes_on_without_the_client() {
    let media = start().await;
    for at in [Moment::BeforeReading, Moment::BeforeStoring, Moment::AfterStoring] {
        media.handle().install_fault(Fault::new(Effect::Delay { ms: 300, at }).times(1));
        let started = Instant::now();
        media.store("raw", &[("public_id", "other")], b"x").await;
        assert!(started.elapsed() >= Duration::from_millis(300), "{at:?}");
    }
    media.handle().install_fault(Fault::new(Effect::Delay { ms: 500, at: Moment::BeforeStoring }).times(1));
    let request = media.upload("raw", &P, b"late").timeout(Duration::from_millis(100));
    assert!(request.send().await.expect_err("too late").is_timeout());
    assert!(!is_stored(&media));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_stored(&media) {
        assert!(Instant::now() < deadline, "the upload ended with its client");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn hanging_requests_do_not_keep_the_server_from_stopping() {
    let media = start().await;
    let mut waiting = Vec::new();
    for at in [Moment::BeforeReading, Moment::BeforeStoring, Moment::AfterStoring] {
        let id = format!("{at:?}");
        media.handle().install_fault(Fault::new(Effect::Hang { at }).on("upload").times(1));
        let request = media.upload("raw", &[("public_id", &id)], b"x");
        waiting.push(tokio::spawn(request.send()));
        let deadline = Instant::now() + Duration::from_secs(5);
        while media.handle().faults().last().is_none_or(|fault| fault.struck == 0) {
            assert!(Instant::now() < deadline, "{at:?} never struck");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let started = Instant::now();
    media.running.stop().await.expect("stopped");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for request in waiting {
        assert!(request.await.expect("no panic").is_err(), "no answer came");
    }
}

#[tokio::test]
async fn a_truncated_answer_announces_more_than_it_brings() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::Truncate).on("upload").times(1));
    let mut response = media.upload("raw", &P, b"x").send().await.expect("headers");
    let announced = response.content_length().expect("a length");
    let (mut arrived, mut broke) = (0, false);
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => arrived += piece.len() as u64,
            Ok(None) => break,
            Err(_) => {
                broke = true;
                break;
            }
        }
    }
    assert!(broke && arrived == announced / 2, "{arrived} of {announced}");
    assert!(is_stored(&media));
    media.handle().install_fault(Fault::new(Effect::Truncate).on("deliver").times(1));
    media.store("raw", &P, &[9; 400_000]).await;
    assert!(media.get("/demo/raw/upload/p").await.bytes().await.is_err());
}

#[tokio::test]
async fn a_clock_that_is_off_makes_requests_stale_and_shows_in_the_date() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::Clock { offset_seconds: 7200 }));
    let response = media.upload("raw", &P, b"x").send().await.expect("an answer");
    let date = httpdate::parse_http_date(response.headers()["date"].to_str().expect("text")).expect("a date");
    let offset = date.duration_since(std::time::SystemTime::now()).expect("ahead").as_secs();
    assert!((7190..=7200).contains(&offset), "{offset}");
    let (code, text) = error(response).await;
    assert!(code == 400 && text.starts_with("Stale request - reported time is "), "{text}");

    let corrected = form(signed_at(&P, now() + offset), b"x");
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(corrected);
    assert_eq!(request.send().await.expect("an answer").status(), 200);

    media.handle().clear_faults();
    media.handle().install_fault(Fault::new(Effect::StaleRequest).times(1));
    let (code, text) = error(media.upload("raw", &P, b"x").send().await.expect("an answer")).await;
    assert!(code == 400 && text.starts_with("Stale request"), "{text}");
}

#[tokio::test]
async fn slow_reading_takes_its_time() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::SlowRead { bytes_per_second: 100_000 }).times(1));
    let started = Instant::now();
    media.store("raw", &P, &[1; 50_000]).await;
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
}

#[tokio::test]
async fn replies_can_be_false() {
    let media = start().await;
    media.handle().install_fault(Fault::new(Effect::WrongEtag).on("upload").times(1));
    assert_ne!(media.store("raw", &P, b"x").await["etag"], md5(b"x"));
    media.handle().install_fault(Fault::new(Effect::WrongSignature).on("upload").times(1));
    let reply = media.store("raw", &P, b"x").await;
    let version = reply["version"].as_u64().expect("a version");
    let signature = reply["signature"].as_str().expect("a signature");
    assert!(!cloudinary::signature::verify_response("p", version, "abcd", signature));
    assert_eq!(reply["etag"], md5(b"x"));
}

#[tokio::test]
async fn files_can_be_kept_wrongly_and_the_reply_tells_the_truth_of_it() {
    let media = start().await;
    // In memory, on disk, and nothing at all.
    for bytes in [vec![7; 3], vec![7; 300_000], Vec::new()] {
        media.handle().install_fault(Fault::new(Effect::WrongBytes).on("upload").times(1));
        let mut wrong = bytes.clone();
        if let Some(last) = wrong.last_mut() {
            *last = 6;
        }
        let reply = media.store("raw", &P, &bytes).await;
        assert_eq!((&reply["etag"], &reply["bytes"]), (&json!(md5(&wrong)), &json!(bytes.len())));
        let asset = media.handle().asset(ResourceType::Raw, "p").expect("stored");
        assert!(media.handle().read(&asset).await.expect("readable") == wrong);
    }
}

#[tokio::test]
async fn faults_can_be_there_from_the_start() {
    let media =
        start_with(|config| config.faults = vec!["effect=status,status=500,times=1".parse().expect("a fault")]).await;
    assert_eq!(media.admin("ping").await.status(), 500);
    assert_eq!(media.admin("ping").await.status(), 200);
}
