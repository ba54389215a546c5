//! Text from outside, before it is shown: in names, in a terminal, in the log.

/// Whether a character does something to what is shown around it instead of being shown: it moves a cursor, breaks a line,
/// reverses a direction (Unicode Standard Annex 9), or is there and cannot be seen, by which one name looks like another
/// (`Default_Ignorable_Code_Point` of the Unicode Character Database).
///
/// The joiners U+200C and U+200D are none of these: Persian and emoji are written with them. Neither are the selectors
/// U+FE00 to U+FE0F, which choose how emoji look. Tags are, although three flags are spelled with them: they carry any text.
pub fn hides(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
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
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if hides(char) && !stays(char) { shown.extend(char.escape_unicode()) } else { shown.push(char) }
    }
    shown
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
}
