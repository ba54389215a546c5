//! Who is let in, and the texts for those who are not.

use cloudinary::signature::{self, Algorithm, Version};
use cloudinary_local::FutureSkew;
use reqwest::RequestBuilder;
use reqwest::multipart::Form;

use crate::support::{Media, error, form, json, now, signed, signed_at, start, start_with};

fn post(media: &Media, fields: Vec<(String, String)>) -> RequestBuilder {
    media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form(fields, b"x"))
}

async fn refusal(request: RequestBuilder) -> (u16, String) {
    error(request.send().await.expect("an answer")).await
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn all_four_kinds_of_credentials_are_accepted() {
    let media = start_with(|config| config.oauth_tokens = vec!["tok".into()]).await;
    assert_eq!(status(post(&media, signed(&[]))).await, 200);
    assert_eq!(status(post(&media, fields(&[])).basic_auth("1234", Some("abcd"))).await, 200);
    assert_eq!(status(post(&media, fields(&[("timestamp", "1")])).bearer_auth("tok")).await, 200);
    let (_, reply) = json(post(&media, fields(&[("upload_preset", "open")])).send().await.expect("an answer")).await;
    assert!(reply["public_id"].is_string() && reply.get("signature").is_none() && reply.get("api_key").is_none());
}

#[tokio::test]
async fn a_signature_that_does_not_fit_is_answered_with_the_text_to_sign() {
    let media = start().await;
    let mut wrong = signed(&[("public_id", "a&b"), ("tags", "x")]);
    wrong[1].1 = "y".to_owned();
    let timestamp = wrong[2].1.clone();
    let signature = wrong[3].1.clone();
    let (status, text) = refusal(post(&media, wrong)).await;
    let expected =
        format!("Invalid Signature {signature}. String to sign - 'public_id=a%26b&tags=y&timestamp={timestamp}'.");
    assert_eq!((status, text), (401, expected));
}

#[tokio::test]
async fn wrong_names_are_refused_one_by_one() {
    let media = start().await;
    let mut other_key = signed(&[]);
    other_key.retain(|(name, _)| name != "api_key");
    assert_eq!(
        refusal(post(&media, other_key.clone())).await,
        (400, "Missing required parameter - api_key".to_owned())
    );
    other_key.push(("api_key".to_owned(), "999".to_owned()));
    assert_eq!(refusal(post(&media, other_key)).await, (401, "Invalid api_key 999".to_owned()));

    let request = media.client.post(media.url("/v1_1/nobody/raw/upload")).multipart(form(signed(&[]), b"x"));
    assert_eq!(refusal(request).await, (401, "Invalid cloud_name nobody".to_owned()));
    let request = media.client.get(media.url("/v1_1/nobody/ping")).basic_auth("1234", Some("abcd"));
    assert_eq!(refusal(request).await, (401, "cloud_name mismatch".to_owned()));
    let request = media.client.get(media.url("/v1_1/demo/ping")).basic_auth("1234", Some("nope"));
    assert_eq!(refusal(request).await, (401, "api_secret mismatch".to_owned()));
    let request = media.client.get(media.url("/v1_1/demo/ping"));
    assert_eq!(refusal(request).await, (401, "Invalid credentials".to_owned()));
    assert_eq!(refusal(post(&media, fields(&[])).bearer_auth("tok")).await.0, 401);

    let request = media.client.post(media.url("/v1_1/demo/image/destroy")).form(&[("public_id", "p")]);
    assert_eq!(refusal(request).await, (400, "Missing required parameter - signature".to_owned()));
}

#[tokio::test]
async fn a_signature_is_good_for_an_hour() {
    let media = start().await;
    assert_eq!(status(post(&media, signed_at(&[], now() - 3500))).await, 200);
    assert_eq!(status(post(&media, signed_at(&[], now() + 3500))).await, 200);
    assert_eq!(
        refusal(post(&media, signed_at(&[], 1_712_841_818))).await,
        (400, "Stale request - reported time is 2024-04-11 13:23:38 +0000 which is more than 1 hour ago".to_owned())
    );
    let milliseconds = now() * 1000;
    assert_eq!(refusal(post(&media, signed_at(&[], milliseconds))).await.0, 400);
    let media = start_with(|config| config.future_skew = FutureSkew::Any).await;
    assert_eq!(status(post(&media, signed_at(&[], milliseconds))).await, 200);
}

#[tokio::test]
async fn version_1_is_accepted_only_where_it_differs_and_only_if_permitted() {
    let sign = |version| {
        let mut fields = fields(&[("notification_url", "http://h/?a=1&b=2"), ("timestamp", &now().to_string())]);
        let signature = signature::sign(&fields, "abcd", Algorithm::Sha1, version);
        fields.push(("signature".to_owned(), signature));
        fields.push(("api_key".to_owned(), "1234".to_owned()));
        fields
    };
    let media = start().await;
    assert_eq!(status(post(&media, sign(Version::V2))).await, 200);
    assert_eq!(status(post(&media, sign(Version::V1))).await, 200);
    let media = start_with(|config| config.accept_v1 = false).await;
    assert_eq!(status(post(&media, sign(Version::V2))).await, 200);
    assert_eq!(status(post(&media, sign(Version::V1))).await, 401);
}

#[tokio::test]
async fn an_account_may_insist_on_sha256() {
    let sign = |algorithm| {
        let mut fields = fields(&[("public_id", "p"), ("timestamp", &now().to_string())]);
        let signature = signature::sign(&fields, "abcd", algorithm, Version::V2);
        fields.push(("signature".to_owned(), signature));
        fields.push(("api_key".to_owned(), "1234".to_owned()));
        fields
    };
    let media = start_with(|config| config.require_sha256 = true).await;
    assert_eq!(status(post(&media, sign(Algorithm::Sha1))).await, 401);
    let (_, reply) = json(post(&media, sign(Algorithm::Sha256)).send().await.expect("an answer")).await;
    assert_eq!(reply["signature"].as_str().map(str::len), Some(64));
}

#[tokio::test]
async fn unsigned_uploads_need_a_preset_and_may_not_do_everything() {
    let media = start().await;
    let with = |pairs: &[(&str, &str)]| post(&media, fields(pairs));
    let text = "Upload preset must be specified when using unsigned upload";
    assert_eq!(refusal(with(&[])).await, (400, text.to_owned()));
    assert_eq!(refusal(with(&[("upload_preset", "no")])).await, (400, "Upload preset not found".to_owned()));
    let (code, text) = refusal(with(&[("upload_preset", "open"), ("use_filename", "1")])).await;
    assert_eq!(code, 400);
    assert!(
        text.starts_with("Use filename parameter is not allowed when using unsigned upload. Only upload_preset,"),
        "{text}"
    );

    let (_, first) =
        json(with(&[("upload_preset", "open"), ("public_id", "p")]).send().await.expect("an answer")).await;
    let (_, again) =
        json(with(&[("upload_preset", "open"), ("public_id", "p")]).send().await.expect("an answer")).await;
    assert_eq!(again["existing"], true, "an unsigned upload never overwrites");
    assert_eq!(first["version"], again["version"]);
}

#[tokio::test]
async fn two_fields_may_stay_unsigned_where_a_new_sdk_leaves_them_out() {
    let media = start().await;
    media.store("raw", &[("public_id", "p")], b"x").await;
    let signed_without = |base: &[(&str, &str)]| {
        let mut fields = signed(base);
        fields.push(("notification_url".to_owned(), "http://h/".to_owned()));
        fields
    };
    let tags = signed_without(&[("command", "add"), ("tag", "t"), ("public_ids[]", "p")]);
    let request = media.client.post(media.url("/v1_1/demo/raw/tags")).form(&tags);
    assert_eq!(status(request).await, 200);
    let destroy = signed_without(&[("public_id", "p")]);
    let request = media.client.post(media.url("/v1_1/demo/raw/destroy")).form(&destroy);
    assert_eq!(status(request).await, 401, "nowhere else");
}

#[tokio::test]
async fn secrets_are_shown_nowhere() {
    let media = start().await;
    let form =
        signed(&[("public_id", "p")]).into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
    let request = media.client.post(media.url("/v1_1/demo/raw/upload")).multipart(form.text("file", "data:,x"));
    let body = request.send().await.expect("an answer").text().await.expect("text");
    assert!(!body.contains("abcd\""), "{body}");
    assert!(!format!("{:?}", cloudinary_local::Config::new("x")).contains("abcd"));
}
