//! One step of a transformation: dimensions, crop mode and rotation.

use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgba, RgbaImage};

use crate::http::refusal::Refusal;

/// Pixels, or a fraction of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Pixels(u32),
    Fraction(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Scale,
    Fit,
    Limit,
    Fill,
    Pad,
    Crop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Right90,
    Half,
    Left90,
    Horizontally,
    Vertically,
}

/// One segment of a delivery URL's transformations.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Step {
    width: Option<Size>,
    height: Option<Size>,
    crop: Mode,
    /// Which part stays: 0 is left or top, 1 the middle, 2 right or bottom.
    gravity: Option<(u8, u8)>,
    background: Option<[u8; 4]>,
    ratio: Option<f64>,
    turn: Option<Turn>,
}

impl Step {
    /// Sets what `<name>_<value>` says.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let invalid = |what: &str| Refusal::bad_request(format!("Invalid {what} in transformation: {value}"));
        match name {
            "w" => self.width = Some(size(value).ok_or_else(|| invalid("width"))?),
            "h" => self.height = Some(size(value).ok_or_else(|| invalid("height"))?),
            "c" => self.crop = crop(value).ok_or_else(|| invalid("crop mode"))?,
            "g" => self.gravity = Some(gravity(value).ok_or_else(|| invalid("gravity"))?),
            "b" => self.background = Some(color(value).ok_or_else(|| invalid("background"))?),
            "a" => self.turn = Some(turn(value).ok_or_else(|| invalid("angle"))?),
            "dpr" => {
                let ratio = value.parse().ok().filter(|ratio| (0.1..=10.0).contains(ratio));
                self.ratio = Some(ratio.ok_or_else(|| invalid("dpr"))?);
            }
            _ => {
                let message = format!("cloudinary-local does not support the transformation {name}_{value}");
                return Err(Refusal::bad_request(message));
            }
        }
        Ok(())
    }

    /// The dimensions asked for, given those of the picture.
    fn target(&self, picture: &DynamicImage) -> (Option<u32>, Option<u32>) {
        let ratio = self.ratio.unwrap_or(1.0);
        let pixels = |size: Size, of: u32| match size {
            Size::Pixels(pixels) => round(f64::from(pixels) * ratio),
            Size::Fraction(fraction) => round(f64::from(of) * fraction * ratio),
        };
        (self.width.map(|size| pixels(size, picture.width())), self.height.map(|size| pixels(size, picture.height())))
    }
}

fn size(value: &str) -> Option<Size> {
    if let Ok(pixels) = value.parse::<u32>() {
        return Some(Size::Pixels(pixels)).filter(|_| pixels > 0);
    }
    let fraction: f64 = value.parse().ok()?;
    (fraction > 0.0 && fraction <= 10.0).then_some(Size::Fraction(fraction))
}

fn crop(value: &str) -> Option<Mode> {
    Some(match value {
        "scale" => Mode::Scale,
        "fit" => Mode::Fit,
        "limit" => Mode::Limit,
        "fill" | "thumb" => Mode::Fill,
        "pad" => Mode::Pad,
        "crop" => Mode::Crop,
        _ => return None,
    })
}

/// Faces are not recognised: they count as the middle.
fn gravity(value: &str) -> Option<(u8, u8)> {
    Some(match value {
        "center" | "auto" | "face" | "faces" => (1, 1),
        "north" => (1, 0),
        "south" => (1, 2),
        "west" => (0, 1),
        "east" => (2, 1),
        "north_west" => (0, 0),
        "north_east" => (2, 0),
        "south_west" => (0, 2),
        "south_east" => (2, 2),
        _ => return None,
    })
}

fn color(value: &str) -> Option<[u8; 4]> {
    Some(match value {
        "white" => [255, 255, 255, 255],
        "black" => [0, 0, 0, 255],
        "red" => [255, 0, 0, 255],
        "green" => [0, 128, 0, 255],
        "blue" => [0, 0, 255, 255],
        "gray" | "grey" => [128, 128, 128, 255],
        "transparent" => [0, 0, 0, 0],
        _ => {
            let digits = value.strip_prefix("rgb:")?;
            let long: String =
                if digits.len() == 3 { digits.chars().flat_map(|c| [c, c]).collect() } else { digits.to_owned() };
            match hex::decode(long).ok()?.as_slice() {
                [red, green, blue] => [*red, *green, *blue, 255],
                [red, green, blue, alpha] => [*red, *green, *blue, *alpha],
                _ => return None,
            }
        }
    })
}

fn turn(value: &str) -> Option<Turn> {
    Some(match value {
        "90" | "-270" => Turn::Right90,
        "180" | "-180" => Turn::Half,
        "270" | "-90" => Turn::Left90,
        "hflip" => Turn::Horizontally,
        "vflip" => Turn::Vertically,
        _ => return None,
    })
}

/// At least one pixel.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u32 before")]
fn round(pixels: f64) -> u32 {
    pixels.round().clamp(1.0, f64::from(u32::MAX)) as u32
}

/// Refuses a result of more than `max_pixels` before it is made.
pub(crate) fn resize(picture: &DynamicImage, step: &Step, max_pixels: u64) -> Result<DynamicImage, Refusal> {
    let (has_width, has_height) = (picture.width(), picture.height());
    let (width, height) = (f64::from(has_width), f64::from(has_height));
    let (wanted_width, wanted_height) = step.target(picture);
    let across = wanted_width.map(|wanted| f64::from(wanted) / width);
    let down = wanted_height.map(|wanted| f64::from(wanted) / height);
    // If one dimension is given, the other follows.
    let (across, down) = match (across, down, step.crop) {
        (None, None, _) => (1.0, 1.0),
        (across, down, Mode::Crop) => (across.unwrap_or(1.0), down.unwrap_or(1.0)),
        (across, down, _) => {
            let either = across.or(down).unwrap_or(1.0);
            (across.unwrap_or(either), down.unwrap_or(either))
        }
    };
    let frame = (round(width * across), round(height * down));
    let scaled = match step.crop {
        Mode::Scale => frame,
        Mode::Fit | Mode::Pad => scale(width, height, across.min(down)),
        Mode::Limit => scale(width, height, across.min(down).min(1.0)),
        Mode::Fill => scale(width, height, across.max(down)),
        Mode::Crop => (has_width, has_height),
    };
    let largest = u64::from(frame.0.max(scaled.0)) * u64::from(frame.1.max(scaled.1));
    if largest > max_pixels {
        let message = format!("Resource has too many pixels: {largest}. Maximum is {max_pixels}.");
        return Err(Refusal::bad_request(message));
    }
    let mut result = picture.clone();
    if scaled != (has_width, has_height) {
        result = result.resize_exact(scaled.0, scaled.1, FilterType::CatmullRom);
    }
    match step.crop {
        Mode::Fill | Mode::Crop => {
            let (width, height) = (frame.0.min(result.width()), frame.1.min(result.height()));
            let (x, y) = anchor(step.gravity, result.width() - width, result.height() - height);
            result = result.crop_imm(x, y, width, height);
        }
        Mode::Pad if frame != scaled => {
            let background = Rgba(step.background.unwrap_or([255; 4]));
            let mut canvas = RgbaImage::from_pixel(frame.0, frame.1, background);
            let (left, top) = (frame.0.saturating_sub(scaled.0), frame.1.saturating_sub(scaled.1));
            let (x, y) = anchor(step.gravity, left, top);
            imageops::overlay(&mut canvas, &result.to_rgba8(), i64::from(x), i64::from(y));
            result = DynamicImage::ImageRgba8(canvas);
        }
        _ => {}
    }
    Ok(match step.turn {
        None => result,
        Some(Turn::Right90) => result.rotate90(),
        Some(Turn::Half) => result.rotate180(),
        Some(Turn::Left90) => result.rotate270(),
        Some(Turn::Horizontally) => result.fliph(),
        Some(Turn::Vertically) => result.flipv(),
    })
}

fn scale(width: f64, height: f64, factor: f64) -> (u32, u32) {
    (round(width * factor), round(height * factor))
}

/// The offset of something that leaves so much room across and down.
fn anchor(gravity: Option<(u8, u8)>, across: u32, down: u32) -> (u32, u32) {
    let (x, y) = gravity.unwrap_or((1, 1));
    let along = |room: u32, place: u8| match place {
        0 => 0,
        1 => room / 2,
        _ => room,
    };
    (along(across, x), along(down, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(text: &str) -> (u32, u32) {
        let mut step = Step::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('_').expect("name_value");
            step.set(name, value).expect("supported");
        }
        let picture = DynamicImage::new_rgb8(400, 200);
        let result = resize(&picture, &step, 25_000_000).expect("small enough");
        (result.width(), result.height())
    }

    #[test]
    fn each_crop_mode_reaches_its_dimensions() {
        for (text, expected) in [
            ("w_100", (100, 50)),
            ("h_100", (200, 100)),
            ("w_100,h_100", (100, 100)),
            ("w_0.5", (200, 100)),
            ("w_100,dpr_2.0", (200, 100)),
            ("w_100,h_100,c_fit", (100, 50)),
            ("w_1000,h_1000,c_limit", (400, 200)),
            ("w_100,h_100,c_fill", (100, 100)),
            ("w_100,h_100,c_thumb,g_face", (100, 100)),
            ("w_100,h_100,c_pad,b_rgb:f00", (100, 100)),
            ("w_50,h_20,c_crop,g_south_east", (50, 20)),
            ("w_999,h_20,c_crop", (400, 20)),
            ("a_90", (200, 400)),
        ] {
            assert_eq!(dimensions(text), expected, "{text}");
        }
    }

    #[test]
    fn a_huge_result_is_refused_before_it_is_made() {
        let mut step = Step::default();
        step.set("w", "100000").expect("a width");
        assert!(resize(&DynamicImage::new_rgb8(400, 200), &step, 25_000_000).is_err());
    }

    #[test]
    fn bad_values_are_named() {
        for (name, value) in
            [("w", "abc"), ("w", "0"), ("c", "imagga"), ("g", "xy"), ("b", "rgb:12"), ("a", "45"), ("e", "blur")]
        {
            assert!(Step::default().set(name, value).is_err(), "{name}_{value}");
        }
    }
}
