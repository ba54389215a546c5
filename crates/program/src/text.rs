//! Text from outside, before it is shown: in names, in a terminal, in the log.

/// Whether a character does something to what is shown around it instead of being shown: it moves a cursor, breaks a line,
/// reverses a direction (Unicode Standard Annex 9), or is there and cannot be seen, by which one name looks like another
/// (`Default_Ignorable_Code_Point` of the Unicode Character Database).
///
/// The joiners U+200C and U+200D are none of these: Persian and emoji are written with them. Neither are the selectors
/// U+FE00 to U+FE0F, which choose how emoji look. Tags are, since they carry any text; [`shown`] knows the flags that are spelled with
/// them.
pub fn hides(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// England, Scotland and Wales: what follows a black flag. Of other places fonts show that flag alone, and what is spelled behind it
/// hides.
const FLAGS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// Each character, and whether it is shown where it stands: it does not hide, or is part of a flag.
pub fn shown(text: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut rest, mut of_flag) = (text, 0_usize);
    text.chars().map(move |char| {
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
        let is_of_flag = of_flag > 0;
        of_flag = of_flag.saturating_sub(1);
        if char == '\u{1f3f4}'
            && let Some(flag) = FLAGS.iter().find(|flag| rest.starts_with(*flag))
        {
            of_flag = flag.chars().count();
        }
        (char, is_of_flag || !hides(char))
    })
}

/// Text in one line, with everything escaped that [`hides`]. Made a second time, it changes nothing.
pub fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text of several lines: line feeds and tabs stay.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |char| matches!(char, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (char, is_shown) in shown(text) {
        if is_shown || stays(char) { escaped.push(char) } else { escaped.extend(char.escape_unicode()) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_escaped_and_nothing_else() {
        assert_eq!(visible("\u{1b}]0;pwned\u{7}\u{1b}[2J"), "\\u{1b}]0;pwned\\u{7}\\u{1b}[2J");
        assert_eq!(visible("two\nlines\u{202e}\u{2028}"), "two\\u{a}lines\\u{202e}\\u{2028}");
        assert_eq!(visible(&visible("two\nlines")), "two\\u{a}lines");
        for hidden in "\u{ad}\u{34f}\u{115f}\u{1160}\u{180e}\u{3164}\u{fff9}\u{fffb}\u{e0000}\u{e0041}\u{e007f}".chars()
        {
            assert_eq!(visible(&format!("a{hidden}")), format!("a\\u{{{:x}}}", u32::from(hidden)));
        }
        assert_eq!(visible_lines("{\n\t1}\r\u{9b}2J"), "{\n\t1}\\u{d}\\u{9b}2J");
        for text in
            ["Ada O'Neil", "\u{1f469}\u{200d}\u{1f4bb}", "\u{5d0}\u{5d3}\u{5d4}", "\u{645}\u{6cc}\u{200c}\u{62e}"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn flags_that_are_spelled_with_tags_are_shown_and_other_tags_are_not() {
        let tags =
            |text: &str| text.chars().filter_map(|char| char::from_u32(0xe0000 + u32::from(char))).collect::<String>();
        let flag = |place: &str| format!("\u{1f3f4}{}\u{e007f}", tags(place));
        let hidden = |text: &str| shown(text).filter(|(_, is_shown)| !is_shown).count();
        for place in ["gbeng", "gbsct", "gbwls"] {
            let text = format!("Ada {0}{0}\u{1f3f4} of \u{1f3f4}{0}", flag(place));
            assert_eq!((hidden(&text), visible(&text)), (0, text), "{place}");
        }
        for (text, count) in [
            (tags("gbeng"), 5),
            (flag("hidden"), 7),
            (flag("ustx"), 5),
            (format!("\u{1f3f4}{}", tags("gbeng")), 5),
            (format!("{}{}", flag("gbeng"), tags("more")), 4),
            (format!("\u{1f3f4} {}\u{e007f}", tags("gbeng")), 6),
            (format!("\u{1f3f3}{}\u{e007f}", tags("gbeng")), 6),
        ] {
            assert_eq!(hidden(&text), count, "{text:?}");
        }
    }
}
