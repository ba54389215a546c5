//! Resizing, re-encoding and rotating. Other transformations are refused, never ignored.

mod resize;

use std::fs;
use std::io::{BufReader, Cursor};
use std::path::PathBuf;
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgba};
use md5::{Digest, Md5};

use crate::assets::staged_file::TempPath;
use crate::assets::{Asset, ResourceType};
use crate::delivery::transform::resize::{Step, resize};
use crate::http::blocking::blocking;
use crate::http::refusal::Refusal;
use crate::state::State;

/// The default quality of a JPEG, and that of `q_auto`.
const QUALITY: u8 = 80;

/// How an asset is transformed before it is delivered.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    steps: Vec<Step>,
    /// The format of the result, if it is not the stored one.
    format: Option<ImageFormat>,
    stored: Option<ImageFormat>,
    quality: Option<u8>,
    /// To be saved by the browser, perhaps under that name.
    pub attachment: Option<Option<String>>,
    /// The result depends on what the client accepts.
    pub depends_on_accept: bool,
}

impl Recipe {
    /// Reads the transformations of a URL and its extension.
    pub(crate) fn parse(
        texts: &[&str],
        extension: Option<&str>,
        asset: &Asset,
        accepts_webp: bool,
    ) -> Result<Self, Refusal> {
        let stored = asset.format.as_deref();
        let mut recipe = Self {
            steps: Vec::new(),
            format: None,
            stored: stored.and_then(image_format),
            quality: None,
            attachment: None,
            depends_on_accept: false,
        };
        let same = |one: &str| one.replace("jpeg", "jpg") == stored.unwrap_or_default();
        if let Some(extension) = extension.filter(|extension| !same(extension)) {
            recipe.format = Some(output_format(extension)?);
        }
        for text in texts {
            let mut step = Step::default();
            for part in text.split(',') {
                let (name, value) = part.split_once('_').unwrap_or((part, ""));
                match (name, value) {
                    ("f", "auto") => {
                        recipe.depends_on_accept = true;
                        let to_webp = accepts_webp && matches!(stored, Some("jpg" | "png"));
                        recipe.format = recipe.format.or(to_webp.then_some(ImageFormat::WebP));
                    }
                    ("f", value) if same(value) => {}
                    ("f", value) => recipe.format = Some(output_format(value)?),
                    ("q", "auto") => recipe.quality = Some(QUALITY),
                    ("q", value) if value.starts_with("auto:") => recipe.quality = Some(QUALITY),
                    ("q", value) => recipe.quality = Some(quality(value)?),
                    ("fl", "attachment") => recipe.attachment = Some(None),
                    ("fl", value) => match value.strip_prefix("attachment:") {
                        Some(name) => recipe.attachment = Some(Some(name.to_owned())),
                        None => return Err(unsupported(part)),
                    },
                    ("t", name) => return Err(Refusal::bad_request(format!("Unknown transformation {name}"))),
                    _ => step.set(name, value)?,
                }
            }
            recipe.steps.push(step);
        }
        recipe.steps.retain(|step| *step != Step::default());
        if asset.identity.resource_type != ResourceType::Image && !recipe.keeps_bytes() {
            let kind = asset.identity.resource_type.as_str();
            return Err(Refusal::bad_request(format!("cloudinary-local does not transform {kind} assets")));
        }
        if !recipe.keeps_bytes() && recipe.stored.is_none() {
            let format = stored.unwrap_or("unknown");
            return Err(Refusal::bad_request(format!("cloudinary-local does not transform images of format {format}")));
        }
        Ok(recipe)
    }

    /// Whether the stored bytes are the result. A quality matters only for JPEG.
    pub(crate) fn keeps_bytes(&self) -> bool {
        let requality = self.quality.is_some() && self.stored == Some(ImageFormat::Jpeg);
        self.steps.is_empty() && self.format.is_none() && !requality
    }

    fn output(&self) -> ImageFormat {
        self.format.or(self.stored).unwrap_or(ImageFormat::Png)
    }

    /// As an extension.
    pub(crate) fn format_name(&self) -> &'static str {
        match self.output() {
            ImageFormat::Jpeg => "jpg",
            ImageFormat::WebP => "webp",
            ImageFormat::Gif => "gif",
            _ => "png",
        }
    }

    fn cache_key(&self) -> String {
        let quality = self.quality.unwrap_or(QUALITY);
        let text = format!("{:?} {quality} {}", self.steps, self.format_name());
        format!("{}.{}", hex::encode(Md5::digest(text)), self.format_name())
    }
}

fn unsupported(part: &str) -> Refusal {
    Refusal::bad_request(format!("cloudinary-local does not support the transformation {part}"))
}

fn image_format(name: &str) -> Option<ImageFormat> {
    match name {
        "jpg" | "jpeg" => Some(ImageFormat::Jpeg),
        "png" => Some(ImageFormat::Png),
        "webp" => Some(ImageFormat::WebP),
        "gif" => Some(ImageFormat::Gif),
        _ => None,
    }
}

fn output_format(name: &str) -> Result<ImageFormat, Refusal> {
    image_format(name).ok_or_else(|| unsupported(&format!("f_{name}")))
}

fn quality(value: &str) -> Result<u8, Refusal> {
    let quality = value.parse::<u8>().ok().filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| Refusal::bad_request(format!("Invalid quality in transformation: {value}")))
}

/// The file of the derived version and its ETag, rendered now or earlier; `None` if the asset's bytes are gone.
pub(crate) async fn render(
    state: &Arc<State>,
    asset: &Arc<Asset>,
    recipe: &Recipe,
) -> Result<Option<(PathBuf, String)>, Refusal> {
    let folder = state.store.derived(asset);
    let key = recipe.cache_key();
    let (file, etag) = (folder.join(&key), hex::encode(Md5::digest(format!("{} {key}", asset.md5))));
    if tokio::fs::try_exists(&file).await? {
        return Ok(Some((file, etag)));
    }
    let pixels = u64::from(asset.width.unwrap_or_default()) * u64::from(asset.height.unwrap_or_default());
    let most = state.config.max_pixels;
    if pixels > most {
        return Err(Refusal::bad_request(format!("Resource has too many pixels: {pixels}. Maximum is {most}.")));
    }
    let permit = state.transform_slots.acquire().await.map_err(|_| Refusal::Abort)?;
    let (state, source, recipe) = (state.clone(), state.store.blob_path(asset), recipe.clone());
    let target = file.clone();
    let made = blocking(move || {
        let source = match fs::File::open(source) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let encoded = transform(source, &recipe, most)?;
        fs::create_dir_all(&folder)?;
        let temp = TempPath::new_in(state.store.incoming());
        fs::write(temp.path(), encoded)?;
        temp.persist(&target)?;
        Ok(true)
    })
    .await?;
    drop(permit);
    Ok(made.then_some((file, etag)))
}

fn transform(source: fs::File, recipe: &Recipe, max_pixels: u64) -> Result<Vec<u8>, Refusal> {
    let broken = |error: image::ImageError| Refusal::bad_request(format!("Invalid image file: {error}"));
    let reader = ImageReader::new(BufReader::new(source)).with_guessed_format()?;
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    for step in &recipe.steps {
        picture = resize(&picture, step, max_pixels)?;
    }
    let mut encoded = Cursor::new(Vec::new());
    match recipe.output() {
        ImageFormat::Jpeg => {
            let flat = DynamicImage::ImageRgb8(flatten(&picture).to_rgb8());
            let encoder = JpegEncoder::new_with_quality(&mut encoded, recipe.quality.unwrap_or(QUALITY));
            flat.write_with_encoder(encoder).map_err(broken)?;
        }
        format => DynamicImage::ImageRgba8(picture.to_rgba8()).write_to(&mut encoded, format).map_err(broken)?,
    }
    Ok(encoded.into_inner())
}

/// Replaces transparency by white, for formats without it.
fn flatten(picture: &DynamicImage) -> DynamicImage {
    if !picture.color().has_alpha() {
        return picture.clone();
    }
    let mut canvas = image::RgbaImage::from_pixel(picture.width(), picture.height(), Rgba([255; 4]));
    image::imageops::overlay(&mut canvas, &picture.to_rgba8(), 0, 0);
    DynamicImage::ImageRgba8(canvas)
}
