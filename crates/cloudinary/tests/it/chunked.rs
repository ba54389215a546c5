//! Large files: chunks, interruptions, and going on.

use cloudinary::{Error, ErrorClass, ResourceType, Resume, Upload};
use cloudinary_local::{Effect, Fault, Moment};
use tokio::sync::watch;

use crate::support::{Media, assert_retry, refusal};

const CHUNK: u64 = 1000;

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

fn watched(media: &Media, public_id: &str, bytes: usize) -> (Upload, watch::Receiver<Option<Resume>>) {
    let (progress, position) = watch::channel(None);
    let upload = media.file(ResourceType::Raw, public_id, &pattern(bytes));
    (Upload { progress: Some(progress), ..upload }, position)
}

fn resumed(upload: &Upload, position: &watch::Receiver<Option<Resume>>) -> Upload {
    Upload { resume: position.borrow().clone(), ..upload.clone() }
}

fn lose_reply_to(chunk: u64) -> Fault {
    Fault::new(Effect::Drop { at: Moment::AfterStoring, after_bytes: 0 }).on("upload").skip(chunk).times(1)
}

#[tokio::test]
async fn a_file_arrives_whole_in_as_many_chunks_as_it_takes() {
    let media = Media::start().await;
    for (bytes, requests) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (2000, 2), (2001, 3), (3000, 3)] {
        let id = format!("of-{bytes}");
        let (upload, position) = watched(&media, &id, bytes);
        let stored = media.client().upload(&upload).await.unwrap();
        assert!(stored.holds(upload.bytes, Media::md5(&upload)), "{bytes}");
        assert_eq!(media.requests(&id), requests, "{bytes}");
        assert_eq!(media.deliver(&stored).await, pattern(bytes), "{bytes}");
        let chunks_before_the_last = (requests - 1) * CHUNK;
        let acknowledged = position.borrow().as_ref().map_or(0, |position| position.acknowledged_bytes);
        assert_eq!(acknowledged, chunks_before_the_last, "{bytes}");
    }
}

#[tokio::test]
async fn the_next_attempt_goes_on_at_the_chunk_that_failed() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 3500);
    let failure =
        Effect::Status { status: 500, message: None, html: None, retry_after: None, at: Moment::BeforeStoring };
    media.fault(Fault::new(failure).on("upload").skip(2).times(1));
    assert_retry(&media.client().upload(&upload).await.unwrap_err());
    assert_eq!(position.borrow().as_ref().unwrap().acknowledged_bytes, 2 * CHUNK);

    // What is configured by now does not matter: the chunks stay as they were.
    let client = media.client_with(|config| config.chunk_size = 700);
    let stored = client.upload(&resumed(&upload, &position)).await.unwrap();
    assert!(!stored.existing);
    assert_eq!(media.requests("a"), 3 + 2);
    assert_eq!(media.deliver(&stored).await, pattern(3500));
}

#[tokio::test]
async fn what_an_earlier_attempt_has_sent_is_summed_up_with_the_rest() {
    let media = Media::start().await;
    let client = media.client_with(|config| config.chunk_size = 1_000_000);
    let failure =
        Effect::Status { status: 500, message: None, html: None, retry_after: None, at: Moment::BeforeStoring };
    for (id, is_damaged) in [("whole", false), ("damaged", true)] {
        // Of a large file, which is not read at once.
        let (upload, position) = watched(&media, id, 3_500_000);
        media.fault(Fault::new(failure.clone()).on("upload").skip(2).times(1));
        assert_retry(&client.upload(&upload).await.unwrap_err());
        assert_eq!(position.borrow().as_ref().unwrap().acknowledged_bytes, 2_000_000);
        if is_damaged {
            let mut damaged = pattern(3_500_000);
            damaged[1_000] ^= 1;
            std::fs::write(&upload.path, damaged).unwrap();
        }
        let outcome = client.upload(&resumed(&upload, &position)).await;
        match is_damaged {
            false => assert!(outcome.unwrap().holds(3_500_000, Media::md5(&upload))),
            true => assert!(matches!(outcome, Err(Error::FileDamaged { .. })), "{outcome:?}"),
        }
    }
    assert_eq!(media.stored(), 1);
}

#[tokio::test]
async fn a_chunk_whose_reply_was_lost_may_be_sent_again() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 2500);
    media.fault(lose_reply_to(1));
    assert_retry(&media.client().upload(&upload).await.unwrap_err());
    assert_eq!(position.borrow().as_ref().unwrap().acknowledged_bytes, CHUNK);
    let stored = media.client().upload(&resumed(&upload, &position)).await.unwrap();
    assert!(!stored.existing);
    assert_eq!(media.requests("a"), 2 + 2);
}

#[tokio::test]
async fn the_lost_reply_to_the_last_chunk_is_found_out_without_sending_it_again() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 2500);
    media.fault(lose_reply_to(2));
    assert_retry(&media.client().upload(&upload).await.unwrap_err());
    let stored = media.client().upload(&resumed(&upload, &position)).await.unwrap();
    assert!(stored.existing);
    assert_eq!(media.requests("a"), 3);

    // An attempt that knows of no position sends everything, and gets the reply that was lost.
    let stored = media.client().upload(&upload).await.unwrap();
    assert!(stored.holds(upload.bytes, Media::md5(&upload)));
    assert_eq!(media.stored(), 1);
}

#[tokio::test]
async fn an_upload_that_the_server_has_forgotten_begins_anew() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 4500);
    // In the middle and at the end.
    for (round, acknowledged_bytes) in (0..).zip([2000, 4000]) {
        let id = format!("b{round}");
        let upload = Upload { public_id: id.clone(), name: id.clone(), ..upload.clone() };
        let upload_id = format!("forgotten-{round}");
        let resume = Some(Resume { upload_id, acknowledged_bytes, chunk_size: CHUNK, begun: 7 });
        let stored = media.client().upload(&Upload { resume, ..upload }).await.unwrap();
        assert!(!stored.existing);
        assert_eq!(media.requests(&id), 1 + 5, "it is found out at the first chunk");
        assert_eq!(position.borrow().as_ref().map(|position| position.begun), Some(8), "and told");
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_after_it_began_anew_does_not_begin_a_third_time() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 2500);
    media.fault("effect=status,status=400,message=No such upload,action=upload,times=2".parse().unwrap());
    let resume = Resume { upload_id: "forgotten".to_owned(), acknowledged_bytes: CHUNK, chunk_size: CHUNK, begun: 1 };
    let error = media.client().upload(&Upload { resume: Some(resume), ..upload.clone() }).await.unwrap_err();
    assert_eq!(refusal(&error).class, ErrorClass::Discard);
    assert_eq!(media.requests("a"), 2);

    // Where it stands now is the start, under an id of its own.
    let anew = resumed(&upload, &position);
    assert_eq!(anew.resume.as_ref().map(|anew| (anew.acknowledged_bytes, anew.begun)), Some((0, 2)));
    assert!(!media.client().upload(&anew).await.unwrap().existing);
    assert_eq!(media.requests("a"), 2 + 3);
}

#[tokio::test]
async fn a_position_that_does_not_fit_the_file_is_ignored() {
    let media = Media::start().await;
    let (upload, _) = watched(&media, "a", 2500);
    for acknowledged_bytes in [1234, 3000] {
        let resume = Some(Resume { upload_id: "x".to_owned(), acknowledged_bytes, chunk_size: CHUNK, begun: 1 });
        media.client().upload(&Upload { resume, ..upload.clone() }).await.unwrap();
    }
    assert_eq!(media.requests("a"), 2 * 3);
}

#[tokio::test]
async fn chunks_that_never_become_an_asset_are_no_success() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 2500);
    media.fault(Fault::new(Effect::NeverDone).on("upload").times(3));
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::Unassembled { .. }), "{error}");
    assert_retry(&error);
    let anew = resumed(&upload, &position);
    assert_eq!(anew.resume.as_ref().map(|anew| (anew.acknowledged_bytes, anew.begun)), Some((0, 2)));
    assert!(!media.client().upload(&anew).await.unwrap().existing);
}

/// Of the chunks that the host has, the same would come again: they are left alone.
#[tokio::test]
async fn a_file_that_was_put_together_wrongly_is_deleted_and_sent_from_its_first_byte_under_another_upload_id() {
    let media = Media::start().await;
    let (upload, position) = watched(&media, "a", 2500);
    media.fault(Fault::new(Effect::WrongBytes).on("upload").skip(1).times(1));
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupted(mismatch) if mismatch.found_bytes == 2500), "{error}");
    assert_retry(&error);
    assert_eq!((media.requests("a"), media.stored()), (3, 0));
    let anew = resumed(&upload, &position);
    assert_eq!(anew.resume.as_ref().map(|anew| (anew.acknowledged_bytes, anew.begun)), Some((0, 2)));
    let stored = media.client().upload(&anew).await.unwrap();
    assert!(!stored.existing);
    assert_eq!(media.requests("a"), 3 + 3);
    assert_eq!(media.deliver(&stored).await, pattern(2500));
}

#[tokio::test]
async fn chunks_below_the_hosts_minimum_are_the_operators_business() {
    let media = Media::start_with(|config| config.min_chunk = 5 << 20).await;
    let (upload, _) = watched(&media, "a", 2500);
    let error = media.client().upload(&upload).await.unwrap_err();
    assert_eq!(refusal(&error).class, ErrorClass::Operator);
    assert!(error.to_string().contains("CLOUDINARY_CHUNK_SIZE"), "{error}");
}

#[tokio::test]
async fn another_file_under_the_id_is_told_apart_after_the_last_chunk() {
    let media = Media::start().await;
    media.client().upload(&media.file(ResourceType::Raw, "a", b"other")).await.unwrap();
    let (upload, position) = watched(&media, "a", 2500);
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(&error, Error::Occupied(mismatch) if mismatch.found_bytes == 5), "{error}");
    assert_eq!(position.borrow().as_ref().map(|position| position.acknowledged_bytes), Some(2 * CHUNK));
}

#[tokio::test]
async fn a_clock_that_differs_does_not_stop_a_chunked_upload() {
    let media = Media::start().await;
    media.fault(Fault::new(Effect::Clock { offset_seconds: 3 * 3600 }));
    let (upload, _) = watched(&media, "a", 2500);
    media.client().upload(&upload).await.unwrap();
    assert_eq!(media.requests("a"), 3 + 1);
}
