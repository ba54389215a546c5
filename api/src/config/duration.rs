//! Durations as the original's environment has them: `15m`, `1d`.

use std::time::Duration;

/// The longest duration that is taken: ten years.
const MAX_SECONDS: u64 = 10 * 365 * 86_400;

/// Reads a whole number with a unit (`ms`, `s`, `m`, `h`, `d` or `w`), or without one for seconds.
///
/// # Errors
///
/// What would have been accepted, in words, for anything else and for zero.
pub fn parse(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration such as 90s, 15m, 12h or 1d";
    let text = text.trim();
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    let milliseconds_each = match unit.trim() {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    match number.checked_mul(milliseconds_each) {
        Some(0) => Err(format!("{EXPECTED}, not zero")),
        Some(milliseconds) if milliseconds <= MAX_SECONDS * 1000 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(format!("{EXPECTED}, of ten years at most")),
    }
}

/// As [`parse`], or zero.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_or_zero(text: &str) -> Result<Duration, String> {
    if matches!(text.trim(), "0" | "0s") { Ok(Duration::ZERO) } else { parse(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_original_writes_them() {
        for (text, seconds) in
            [("1d", 86_400), ("15m", 900), ("10 h", 36_000), ("2w", 1_209_600), ("90", 90), ("1000ms", 1)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "d", "1y", "-1d", "1.5h", "0s", "99999999999w", "1d2h", "soon"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
