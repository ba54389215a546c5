//! What an upload asks for, and the checks before its bytes are stored.

use crate::assets::file_type::{self, Media};
use crate::assets::public_id;
use crate::assets::staged_file::StagedFile;
use crate::assets::store::{NewAsset, Put};
use crate::assets::{DeliveryType, Identity, Labels, ResourceType};
use crate::credentials::Caller;
use crate::http::params::Params;
use crate::http::refusal::Refusal;
use crate::state::State;

/// What the path of an upload says. No resource type means `auto`.
#[derive(Debug)]
pub(crate) struct Target {
    pub cloud: String,
    pub resource_type: Option<ResourceType>,
    pub delivery_type: Option<DeliveryType>,
}

/// All of an upload but its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub caller: Caller,
    /// `None`: the content decides.
    pub resource_type: Option<ResourceType>,
    pub delivery_type: DeliveryType,
    /// Chosen by the client, with its folder, or fixed by an earlier chunk.
    pub public_id: Option<String>,
    pub folder: Option<String>,
    pub filename: Option<String>,
    use_filename: bool,
    unique_filename: bool,
    keep_filename: bool,
    overwrite: bool,
    allowed_formats: Vec<String>,
    labels: Labels,
    pub delete_token: bool,
    pub eager: Vec<String>,
    /// Who is to be told.
    pub notification_url: Option<String>,
}

impl Plan {
    pub(crate) fn new(caller: Caller, target: &Target, params: &Params) -> Result<Self, Refusal> {
        let invalid =
            |name: &str, text: &str| Refusal::bad_request(format!("Invalid value {text} for parameter {name}"));
        let resource_type = match params.get("resource_type") {
            None => target.resource_type,
            Some("auto") => None,
            Some(text) => Some(ResourceType::parse(text).ok_or_else(|| invalid("resource_type", text))?),
        };
        let delivery_type = match (target.delivery_type, params.get("type")) {
            (Some(delivery_type), _) => delivery_type,
            (None, None) => DeliveryType::Upload,
            (None, Some(text)) => DeliveryType::parse(text).ok_or_else(|| invalid("type", text))?,
        };
        let public_id = chosen_id(params);
        if let Some(public_id) = &public_id
            && let Some(problem) = public_id::problem(public_id)
        {
            return Err(Refusal::bad_request(format!("public_id ({public_id}) is invalid: {problem}")));
        }
        let folder = folder(params);
        let overwrite = !caller.unsigned && params.flag("overwrite")?.unwrap_or(true);
        Ok(Self {
            resource_type,
            delivery_type,
            public_id,
            filename: None,
            use_filename: params.flag("use_filename")?.unwrap_or(false),
            unique_filename: params.flag("unique_filename")?.unwrap_or(true),
            keep_filename: !params.flag("discard_original_filename")?.unwrap_or(false),
            overwrite,
            allowed_formats: params.tags("allowed_formats").unwrap_or_default(),
            labels: labels(params, folder.as_deref()),
            delete_token: params.flag("return_delete_token")?.unwrap_or(false),
            eager: params.get("eager").map(|text| text.split('|').map(str::to_owned).collect()).unwrap_or_default(),
            notification_url: params.get("notification_url").map(str::to_owned),
            folder,
            caller,
        })
    }

    /// The chosen id, or a new one.
    pub(crate) fn id_for(&self, resource_type: ResourceType) -> Result<String, Refusal> {
        if let Some(public_id) = &self.public_id {
            return Ok(public_id.clone());
        }
        let filename = self.filename.as_deref().unwrap_or_default();
        let id = if self.use_filename {
            public_id::from_filename(filename, resource_type, self.unique_filename)
        } else {
            match public_id::split_extension(public_id::base_name(filename)).1 {
                Some(extension) if resource_type == ResourceType::Raw => format!("{}.{extension}", public_id::random()),
                _ => public_id::random(),
            }
        };
        let id = prefixed(self.folder.as_deref(), &id);
        match public_id::problem(&id) {
            Some(problem) => Err(Refusal::bad_request(format!("public_id ({id}) is invalid: {problem}"))),
            None => Ok(id),
        }
    }

    /// What the file is stored as, or why it is refused.
    fn check(&self, state: &State, media: Media, bytes: u64) -> Result<Media, Refusal> {
        let wanted = self.resource_type.unwrap_or(media.resource_type);
        let maximum = match wanted {
            ResourceType::Image => state.config.max_image,
            ResourceType::Video => state.config.max_video,
            ResourceType::Raw => state.config.max_raw,
        };
        if bytes > maximum {
            return Err(Refusal::bad_request(format!("File size too large. Got {bytes}. Maximum is {maximum}.")));
        }
        let media = match wanted {
            ResourceType::Raw => Media { resource_type: ResourceType::Raw, format: None, width: None, height: None },
            ResourceType::Image if media.resource_type != wanted => {
                return Err(Refusal::bad_request("Invalid image file"));
            }
            ResourceType::Video if media.resource_type != wanted => {
                return Err(Refusal::bad_request("Unsupported video format or file"));
            }
            _ => media,
        };
        if let Some(format) = media.format
            && !self.allowed_formats.is_empty()
            && !self.allowed_formats.iter().any(|allowed| allowed.eq_ignore_ascii_case(format))
        {
            let kind = if wanted == ResourceType::Image { "Image" } else { "Video" };
            return Err(Refusal::bad_request(format!("{kind} format {format} not allowed")));
        }
        Ok(media)
    }

    fn original_filename(&self) -> Option<String> {
        let filename = self.filename.as_deref().filter(|_| self.keep_filename)?;
        let (stem, _) = public_id::split_extension(public_id::base_name(filename));
        Some(stem.to_owned()).filter(|stem| !stem.is_empty())
    }

    pub(crate) fn put(&self, state: &State, staged: StagedFile, now: i64) -> Result<Put, Refusal> {
        let media = file_type::inspect(&staged)?;
        let media = self.check(state, media, staged.len)?;
        let public_id = self.id_for(media.resource_type)?;
        let mut labels = self.labels.clone();
        if labels.display_name.is_empty() {
            labels.display_name = public_id.rsplit('/').next().unwrap_or_default().to_owned();
        }
        let identity = Identity::new(&self.caller.account.cloud, media.resource_type, self.delivery_type, public_id);
        let new = NewAsset { identity, media, original_filename: self.original_filename(), labels, now };
        Ok(state.store.put(new, staged, self.overwrite)?)
    }
}

/// The id that the client chose, with its folder.
pub(crate) fn chosen_id(params: &Params) -> Option<String> {
    params.get("public_id").map(|id| prefixed(folder(params).as_deref(), id))
}

fn folder(params: &Params) -> Option<String> {
    let folder = params.get("folder").or_else(|| params.get("public_id_prefix"))?;
    Some(folder.trim_matches('/').to_owned()).filter(|folder| !folder.is_empty())
}

fn prefixed(folder: Option<&str>, id: &str) -> String {
    folder.map_or_else(|| id.to_owned(), |folder| format!("{folder}/{id}"))
}

fn labels(params: &Params, folder: Option<&str>) -> Labels {
    Labels {
        tags: params.tags("tags").unwrap_or_default(),
        context: params.key_values("context").unwrap_or_default(),
        metadata: params.key_values("metadata").unwrap_or_default(),
        asset_folder: params.get("asset_folder").or(folder).unwrap_or_default().to_owned(),
        display_name: params.get("display_name").unwrap_or_default().to_owned(),
        moderation: params.get("moderation").map(|_| "pending".to_owned()),
    }
}
