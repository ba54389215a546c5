use bson::oid::ObjectId;
use bson::{DateTime, doc};
use futures_util::future::join_all;
use messages::{AssetId, Job, Trace, UploadMedia};
use store::{
    AssetState, Claim, Credentials, Error, Field, IdempotencyKey, JobState, NewUpload, NewUser, PasswordHash, Role,
    StoredAnswer,
};

use crate::ends::Ends;
use crate::support::{Fixture, LEASE, first, new_user, stored, upload};

fn answer(body: &str) -> StoredAnswer {
    StoredAnswer { status: 202, location: Some("/api/v1/jobs/1".to_owned()), body: body.to_owned() }
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey { scope: "POST /api/v1/media".to_owned(), key: key.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_user_has_assets_and_jobs_for_its_images() {
    let fixture = Fixture::new().await;
    let user = NewUser { username: "Grace".to_owned(), email: "Grace@Example.com".to_owned(), ..new_user() };
    let (avatar, cover) = (upload(Role::Avatar), upload(Role::CoverImage));
    let uploads = vec![avatar.clone(), cover.clone()];
    let trace = Trace {
        request_id: Some("a-request".to_owned()),
        traceparent: Some("00-trace".to_owned()),
        tracestate: Some("vendor=1".to_owned()),
    };
    let accepted = fixture.store.media().register(user, uploads, None, Some(trace.clone())).await.expect("accepted");

    assert_eq!((accepted.user.username.as_str(), accepted.user.email.as_str()), ("grace", "grace@example.com"));
    assert_eq!(accepted.user.avatar.pending, Some(avatar.asset));
    assert_eq!(accepted.user.avatar.content_type.as_deref(), Some("image/png"));
    assert_eq!(accepted.user.avatar.url, "");
    assert_eq!(accepted.user.cover_image.pending, Some(cover.asset));
    assert_eq!(fixture.read_user(accepted.user.id).await, accepted.user);
    for (upload, job) in [&avatar, &cover].into_iter().zip(&accepted.jobs) {
        assert_eq!(fixture.job(upload.job).await, *job);
        assert_eq!(job.state, JobState::Pending);
        assert_eq!(job.trace(), Some(trace.clone()));
        let asset = fixture.asset(upload.asset).await;
        assert_eq!(job.job(), Ok(Job::UploadMedia(UploadMedia { asset: asset.id, spool: upload.spool.clone() })));
        assert_eq!((asset.state, asset.seq, asset.owner), (AssetState::Pending, 1, accepted.user.id));
        assert_eq!(asset.public_id, format!("steep/{}/{}", upload.role, asset.id));
        assert!(fixture.is_in_use(upload.file).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_register_one_name_at_once_one_gets_it_and_the_others_leave_nothing() {
    for field in [Field::Username, Field::Email] {
        let fixture = Fixture::new().await;
        let mut racers = Vec::new();
        for _ in 0..8 {
            let mut user = new_user();
            match field {
                Field::Username => user.username = "grace".to_owned(),
                Field::Email => user.email = "grace@example.com".to_owned(),
            }
            let store = fixture.store.clone();
            racers.push(tokio::spawn(async move {
                store.media().register(user, vec![upload(Role::Avatar)], None, None).await
            }));
        }
        let mut winners = 0;
        for racer in racers {
            match racer.await.expect("no panic") {
                Ok(_) => winners += 1,
                Err(Error::Taken { field: named }) => assert_eq!(named, field),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(winners, 1);
        for collection in ["users", "assets", "jobs"] {
            assert_eq!(fixture.count(collection).await, 1, "{collection}");
        }
        let (username, email) = ("Grace", "Grace@example.com");
        assert_eq!(fixture.store.users().taken(username, email).await.expect("an answer"), Some(field));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_with_one_idempotency_key_one_is_accepted_and_the_others_get_its_answer() {
    let fixture = Fixture::new().await;
    let owner = fixture.read_user(fixture.user().await).await;
    let racers: Vec<_> = (0..8)
        .map(|racer| {
            let (store, owner) = (fixture.store.clone(), owner.clone());
            let idempotency = Some((key("one"), answer(&racer.to_string())));
            tokio::spawn(async move {
                (racer, store.media().submit(owner, vec![upload(Role::Media)], idempotency, None).await)
            })
        })
        .collect();
    let (mut winners, mut replays) = (Vec::new(), Vec::new());
    for racer in racers {
        match racer.await.expect("no panic") {
            (racer, Ok(_)) => winners.push(answer(&racer.to_string())),
            (_, Err(Error::Replayed(answer))) => replays.push(answer),
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert_eq!((winners.len(), replays.len()), (1, 7));
    assert!(replays.iter().all(|replay| *replay == winners[0]), "{replays:?}");
    assert_eq!(fixture.store.idempotency().find(&key("one")).await.expect("an answer"), winners.pop());
    assert_eq!(fixture.store.idempotency().find(&key("two")).await.expect("an answer"), None);
    assert_eq!((fixture.count("assets").await, fixture.count("jobs").await), (1, 1));
    let kept = fixture.collection("idempotency").find_one(doc! {}).await.expect("an answer").expect("a document");
    let age = kept.get_datetime("expireAt").expect("a time").timestamp_millis()
        - kept.get_datetime("createdAt").expect("a time").timestamp_millis();
    assert_eq!(age, 24 * 60 * 60 * 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_registration_is_told_from_a_taken_name() {
    let fixture = Fixture::new().await;
    let (user, idempotency) = (new_user(), Some((key("register"), answer("first"))));
    fixture.store.media().register(user.clone(), Vec::new(), idempotency.clone(), None).await.expect("accepted");
    let again = fixture.store.media().register(user.clone(), Vec::new(), idempotency, None).await;
    assert!(matches!(&again, Err(Error::Replayed(first)) if *first == answer("first")), "{again:?}");
    let namesake = NewUser { username: user.username, ..new_user() };
    let other =
        fixture.store.media().register(namesake, Vec::new(), Some((key("other"), answer("second"))), None).await;
    assert!(matches!(other, Err(Error::Taken { field: Field::Username })), "{other:?}");
    assert_eq!(fixture.store.idempotency().find(&key("other")).await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_nobody_leaves_nothing() {
    let fixture = Fixture::new().await;
    let nobody = store::new_user_id();
    for role in [Role::Avatar, Role::CoverImage, Role::Media] {
        let replaced = fixture.store.media().replace_image(nobody, upload(role), None).await;
        assert!(matches!(replaced, Err(Error::NotFound { what: "user" })), "{replaced:?}");
    }
    assert_eq!((fixture.count("assets").await, fixture.count("jobs").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_what_it_uploads_as_its_asset_does() {
    let fixture = Fixture::new().await;
    let images = vec![upload(Role::Avatar), upload(Role::CoverImage)];
    let registered = fixture.store.media().register(new_user(), images, None, None).await.expect("accepted");
    let owner = registered.user.id;
    let [avatar, cover] = &*registered.jobs else { panic!("{registered:?}") };
    let newer = fixture.replace_avatar(owner).await.jobs.remove(0);
    for job in [avatar.clone(), cover.clone(), newer.clone(), fixture.submit(owner).await] {
        let asset = fixture.asset(job.asset.expect("an asset")).await;
        let source = job.source.clone().expect("a source");
        assert_eq!((source.role, &source.public_id, source.crc32), (asset.role, &asset.public_id, asset.crc32));
        assert_eq!(fixture.job(job.id).await.source, job.source);
        // What was superseded needs no file, and its job is not claimed.
        let expected = (job.id != avatar.id).then_some(source);
        assert_eq!(asset.source(), expected);
    }
    assert_eq!(fixture.try_claim(avatar.id, "late", LEASE).await, Claim::Finished(JobState::Cancelled));
    assert_eq!(fixture.claim(newer.id).await.job.source, newer.source);
}

/// Only people remove users, by hand.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_a_user_who_went_while_it_was_received_is_finished_as_any_other() {
    let fixture = Fixture::new().await;
    let owner = fixture.read_user(fixture.user().await).await;
    fixture.collection("users").delete_many(doc! {}).await.expect("gone");
    let accepted = fixture.store.media().submit(owner.clone(), vec![upload(Role::Media)], None, None).await;
    let accepted = accepted.expect("accepted");
    assert_eq!(accepted.user, owner);
    let (job, asset) = first(&accepted);
    let attempt = fixture.claim(job).await.attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!((outcome.state, outcome.file.is_some()), (JobState::Completed, true));
    assert_eq!(fixture.asset(asset).await.state, AssetState::Ready);
}

/// The api knows the user who uploads: it need not look a second time.
#[tokio::test(flavor = "multi_thread")]
async fn accepting_an_upload_looks_nothing_up() {
    let fixture = Fixture::new().await;
    let owner = fixture.read_user(fixture.user().await).await;
    let submitting = fixture.store.media().submit(owner, vec![upload(Role::Media)], None, None);
    fixture.profiling(submitting).await.expect("accepted");
    assert_eq!(fixture.profiled().await, [], "queries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_with_either_name_and_the_hash_is_replaced_once() {
    let fixture = Fixture::new().await;
    let user = new_user();
    fixture.store.media().register(user.clone(), Vec::new(), None, None).await.expect("accepted");
    let shouted = user.email.to_uppercase();
    for (username, email) in
        [(Some(user.username.as_str()), None), (None, Some(shouted.as_str())), (Some(&shouted), Some(&shouted))]
    {
        let Credentials { user: found, hash, .. } =
            fixture.store.users().find_for_sign_in(username, email).await.expect("an answer").expect("a user");
        assert_eq!((found.id, hash.expose()), (user.id, "a hash"));
    }
    assert!(fixture.store.users().find_for_sign_in(Some("nobody"), None).await.expect("an answer").is_none());
    assert!(fixture.store.users().find_for_sign_in(None, None).await.expect("an answer").is_none());

    let old = PasswordHash::from("a hash".to_owned());
    assert!(fixture.store.users().replace_password_hash(user.id, &old, "another").await.expect("an answer"));
    assert!(!fixture.store.users().replace_password_hash(user.id, &old, "a third").await.expect("an answer"));
    let hash = fixture
        .store
        .users()
        .find_for_sign_in(Some(&user.username), None)
        .await
        .expect("an answer")
        .expect("a user")
        .hash;
    assert_eq!(hash.expose(), "another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_newest_first_and_holds_the_owners_media_only() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let mut assets = Vec::new();
    for _ in 0..5 {
        assets.push(fixture.submit(owner).await.asset.expect("an asset"));
    }
    fixture.submit(other).await;
    fixture.replace_avatar(owner).await;
    assets.reverse();
    for (page, expected) in [(1, &assets[..2]), (2, &assets[2..4]), (3, &assets[4..]), (4, &[][..])] {
        let found = fixture.store.media().list(owner, page, 2).await.expect("an answer");
        assert_eq!((found.total, found.page, found.limit), (5, page, 2));
        assert_eq!(found.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), expected);
    }
    let odd = fixture.store.media().list(owner, 0, 0).await.expect("an answer");
    assert_eq!((odd.page, odd.limit, odd.items.len()), (1, 1, 1));
    let far = fixture.store.media().list(owner, u64::MAX, u64::MAX).await.expect("an answer");
    assert!(far.items.is_empty());
}

/// Ids of the first release grow with time, today's do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_by_the_time_at_which_uploads_were_accepted_and_by_an_index() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let media = fixture.store.media();
    // The least id is the newest, and the greatest the oldest.
    let ids = [3_u8, 2, 1].map(|number| AssetId::from_bytes([number; 12]));
    for (id, second) in ids.into_iter().zip(1..) {
        let upload = NewUpload { asset: id, ..upload(Role::Media) };
        media.submit(fixture.read_user(owner).await, vec![upload], None, None).await.expect("accepted");
        let accepted = doc! { "$set": { "createdAt": DateTime::from_millis(1_600_000_000_000 + second * 1_000) } };
        let asset = doc! { "_id": ObjectId::from_bytes(id.bytes()) };
        fixture.collection("assets").update_one(asset, accepted).await.expect("dated");
    }
    let newest =
        media.submit(fixture.read_user(owner).await, vec![upload(Role::Media)], None, None).await.expect("accepted");
    let [oldest, older, old] = ids;
    for (page, expected) in [(1, [first(&newest).1, old]), (2, [older, oldest])] {
        let listed = fixture.profiling(media.list(owner, page, 2)).await.expect("a list");
        assert_eq!(listed.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), expected);
        let explained = fixture.profiled().await;
        let [.., sorted] = &*explained else { panic!("nothing was recorded") };
        let explained = fixture.explain(sorted).await;
        assert!(explained.stages.iter().any(|stage| stage == "IXSCAN"), "{explained:?}");
        assert!(explained.stages.iter().all(|stage| stage != "SORT" && stage != "COLLSCAN"), "{explained:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_are_counted_until_they_end() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    assert_eq!(fixture.store.jobs().unfinished_uploads(owner).await.expect("a count"), 0);
    let (one, two) = (fixture.submit(owner).await, fixture.submit(owner).await);
    assert_eq!(fixture.store.jobs().unpublished_backlog(10).await.expect("a count"), 2);
    assert_eq!(fixture.store.jobs().mark_queued(&[one.id]).await.expect("an answer"), 1);
    assert_eq!(fixture.store.jobs().unpublished_backlog(10).await.expect("a count"), 1);
    assert_eq!(fixture.store.jobs().unfinished_uploads(owner).await.expect("a count"), 2);
    for job in [one, two] {
        let attempt = fixture.claim(job.id).await.attempt;
        fixture.store.discard(job.id, attempt, "no", true).await.expect("discarded");
    }
    assert_eq!(fixture.store.jobs().unfinished_uploads(owner).await.expect("a count"), 0);
}

/// How many of each there are does not depend on who else asks at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_of_many_who_ask_at_once_are_counted_together_and_by_an_index() {
    let fixture = Fixture::new().await;
    let mut owners = Vec::new();
    for number in 0..4 {
        let owner = fixture.user().await;
        for _ in 0..number {
            fixture.submit(owner).await;
        }
        owners.push((owner, number));
    }
    let asked = owners.iter().cycle().take(64).map(async |(owner, number)| {
        let counted = fixture.store.jobs().unfinished_uploads(*owner).await.expect("a count");
        (counted, *number)
    });
    let answers = fixture.profiling(join_all(asked)).await;
    assert!(answers.iter().all(|(counted, number)| counted == number), "{answers:?}");
    let queries = fixture.profiled().await;
    println!("{} queries for {} counts", queries.len(), answers.len());
    assert!((1..=8).contains(&queries.len()), "{queries:?}");
    for query in &queries {
        let explained = fixture.explain(query).await;
        assert!(explained.stages.iter().any(|stage| stage == "IXSCAN"), "{explained:?}");
        // Of six jobs; an explanation counts them at two of its stages.
        assert!(explained.docs_examined <= 12, "{explained:?}");
    }
}
