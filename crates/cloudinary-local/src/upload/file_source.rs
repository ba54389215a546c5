//! The source of a file: the request itself, a data URI, or another server.

use std::io::{Read, Seek, SeekFrom};

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use futures_util::StreamExt;
use reqwest::Url;

use super::reach;
use crate::assets::staged_file::{StagedFile, StagedFileWriter};
use crate::http::blocking::blocking;
use crate::http::form::FilePart;
use crate::http::refusal::Refusal;
use crate::state::State;

/// Bytes of a URL, or of a data URI before its data.
const MAX_PREFIX: u64 = 8 * 1024;

/// The bytes that `file` stands for, and their file name.
pub(crate) async fn resolve(
    state: &std::sync::Arc<State>,
    file: FilePart,
) -> Result<(StagedFile, Option<String>), Refusal> {
    if !file.is_text {
        return Ok((file.staged, file.filename));
    }
    let (staged, head) = blocking(move || {
        let head = file.staged.head(MAX_PREFIX)?;
        Ok((file.staged, head))
    })
    .await?;
    if head.is_empty() {
        return Err(Refusal::missing("file"));
    }
    if head.starts_with(b"data:") {
        let state = state.clone();
        let decoded = blocking(move || decode_data_uri(&staged, &head, state.store.incoming())).await?;
        return Ok((decoded, None));
    }
    let url = String::from_utf8_lossy(&head).into_owned();
    if url.starts_with("http://") || url.starts_with("https://") {
        return fetch(state, &url).await;
    }
    let shown: String = url.chars().take(200).collect();
    Err(Refusal::bad_request(format!("Unsupported source URL: {shown}")))
}

/// Decodes `data:[<type>][;base64],<data>` (RFC 2397). Base64 is never in memory as a whole.
fn decode_data_uri(staged: &StagedFile, head: &[u8], incoming: &std::path::Path) -> Result<StagedFile, Refusal> {
    let invalid = || Refusal::bad_request("Invalid data URI");
    let comma = head.iter().position(|byte| *byte == b',').ok_or_else(invalid)?;
    let description = head.get(..comma).unwrap_or_default();
    let mut data = staged.open()?;
    data.seek(SeekFrom::Start(comma as u64 + 1))?;
    if description.ends_with(b";base64") {
        let decoded = DecoderReader::new(data, &STANDARD);
        return StagedFile::copy_from(decoded, incoming).map_err(|_| invalid());
    }
    let mut text = Vec::new();
    data.read_to_end(&mut text)?;
    let decoded: Vec<u8> = percent_encoding::percent_decode(&text).collect();
    Ok(StagedFile::from_bytes(decoded.into()))
}

async fn fetch(state: &State, url: &str) -> Result<(StagedFile, Option<String>), Refusal> {
    let failed = |reason: &dyn std::fmt::Display| Refusal::bad_request(format!("Error in loading {url} - {reason}"));
    let parsed = Url::parse(url).map_err(|error| failed(&error))?;
    let fetch_private = state.config.fetch_private;
    if !fetch_private {
        reach::check(&parsed).map_err(|error| failed(&error))?;
    }
    let client = reach::client(fetch_private).map_err(|error| failed(&error))?;
    let response = client.get(parsed).send().await.map_err(|error| failed(&reach::reason(error)))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(&status));
    }
    let name = response.url().path_segments().and_then(|mut segments| segments.next_back()).map(str::to_owned);
    let mut writer = StagedFileWriter::new(state.store.incoming());
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        writer.write(&piece.map_err(|error| failed(&error.without_url()))?).await?;
        if writer.len() > state.config.max_video {
            let (got, maximum) = (writer.len(), state.config.max_video);
            return Err(Refusal::bad_request(format!("File size too large. Got {got}. Maximum is {maximum}.")));
        }
    }
    Ok((writer.finish().await?, name.filter(|name| !name.is_empty())))
}
