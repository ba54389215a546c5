//! The `Content-Disposition` of a part (RFC 7578, 4.2).
//!
//! Not multer's reading of it: that looks for a parameter's name inside of quoted strings too, ends a quoted file name at
//! a quote that is escaped, and knows neither `filename*` nor Latin-1.

/// What a part is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: Option<String>,
    /// What the client calls the file. Empty when it names one in a way that nobody can read.
    pub(super) file_name: Option<String>,
}

impl Disposition {
    /// Reads whatever is there. Of a parameter that comes twice the first counts, and of a file's two names the extended
    /// one (RFC 8187), if it can be decoded.
    pub(super) fn parse(header: &[u8]) -> Self {
        let (mut name, mut plain, mut extended) = (None, None, None::<Vec<u8>>);
        let (_, mut rest) = split(header, b';');
        while !rest.is_empty() {
            let at = rest.iter().position(|byte| matches!(byte, b';' | b'=')).unwrap_or(rest.len());
            let (key, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if after.first() != Some(&b'=') {
                continue;
            }
            let value;
            (value, rest) = value_of(rest);
            let parameter = match key.trim_ascii().to_ascii_lowercase().as_slice() {
                b"name" => &mut name,
                b"filename" => &mut plain,
                b"filename*" => &mut extended,
                _ => continue,
            };
            parameter.get_or_insert(value);
        }
        let decoded = extended.as_deref().and_then(decoded).filter(|name| !name.is_empty());
        let plain = plain.as_deref().map(unescaped);
        let file_name = decoded.or(plain).or(extended.map(|_| String::new()));
        Self { name: name.as_deref().map(unescaped), file_name }
    }
}

/// What stands before the first such byte, and after it.
fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    let index = bytes.iter().position(|byte| *byte == at).unwrap_or(bytes.len());
    (&bytes[..index], bytes.get(index + 1..).unwrap_or_default())
}

/// The value that a text begins with, and what follows its semicolon.
fn value_of(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.trim_ascii_start().strip_prefix(b"\"") else {
        let (token, rest) = split(text, b';');
        return (token.trim_ascii().to_vec(), rest);
    };
    let (mut value, mut at) = (Vec::new(), 0);
    // Where the string ends if its last backslash stands for itself: so much of the value, and of the text.
    let mut unescaped_end = None;
    while let Some(&byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => {
                let rest = quoted[at + 1..].trim_ascii_start();
                if rest.is_empty() || rest.starts_with(b";") || unescaped_end.is_none() {
                    return (value, split(rest, b';').1);
                }
                // What ends here is followed by nothing that may follow: it ended before.
                break;
            }
            // Any other backslash stands for itself, as in C:\me.png: browsers escape none.
            (b'\\', Some(&next @ (b'"' | b'\\'))) => {
                if next == b'"' && unescaped_end.is_none() && may_follow(&quoted[at + 2..]) {
                    unescaped_end = Some((value.len(), at + 2));
                }
                value.push(next);
                at += 2;
            }
            _ => {
                value.push(byte);
                at += 1;
            }
        }
    }
    let Some((length, end)) = unescaped_end else { return (value, &[]) };
    value.truncate(length);
    value.push(b'\\');
    (value, split(&quoted[end..], b';').1)
}

/// Whether a text is what follows a value: nothing, or another parameter.
fn may_follow(text: &[u8]) -> bool {
    let Some(rest) = text.trim_ascii_start().strip_prefix(b";") else { return text.trim_ascii().is_empty() };
    let (key, rest) = rest.split_at(rest.iter().position(|byte| *byte == b'=').unwrap_or(rest.len()));
    let key = key.trim_ascii();
    !rest.is_empty() && !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(byte))
}

/// Text without the escapes of browsers, which write a quote and the ends of lines as `%22`, `%0D` and `%0A`, and a percent
/// sign as it is.
fn unescaped(value: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| hexadecimal(after)).flatten();
        if let Some(escaped @ (b'"' | b'\r' | b'\n')) = escaped {
            bytes.push(escaped);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    // Old clients send Latin-1, which is hardly ever UTF-8 by chance.
    String::from_utf8(bytes).unwrap_or_else(|error| latin_1(error.as_bytes()))
}

/// An extended value, `UTF-8'en'na%C3%AFve.png`. `None` when it is no such thing, or in another character set.
fn decoded(value: &[u8]) -> Option<String> {
    let (charset, rest) = split(value, b'\'');
    let (_language, mut rest) = split(rest, b'\'');
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            bytes.push(hexadecimal(rest)?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(latin_1(&bytes))
    } else {
        None
    }
}

/// The byte that a text's first two digits stand for.
fn hexadecimal(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(0)? * 16 + digit(1)?)
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[u8]) -> (Option<String>, Option<String>) {
        let Disposition { name, file_name } = Disposition::parse(&[b"form-data; ", parameters].concat());
        (name, file_name)
    }

    fn file_name(parameters: &str) -> String {
        let (name, file_name) = read(format!("name=\"file\"; {parameters}").as_bytes());
        assert_eq!(name.as_deref(), Some("file"), "{parameters}");
        file_name.unwrap_or_else(|| panic!("no file name in {parameters}"))
    }

    #[test]
    fn a_quoted_string_ends_at_its_quote_and_nowhere_else() {
        for (sent, meant) in [
            (r#"filename="a.png""#, "a.png"),
            (r#"filename="x; name=avatar.png""#, "x; name=avatar.png"),
            (r#"filename="filename=x.png; size=1""#, "filename=x.png; size=1"),
            (r#"filename="a \"quoted\" name.png"; size=1"#, r#"a "quoted" name.png"#),
            (r#"filename="a \"; b.png""#, r#"a "; b.png"#),
            (r#"filename="a %22quoted%22 name.png""#, r#"a "quoted" name.png"#),
            (r#"filename="two%0D%0Alines.png""#, "two\r\nlines.png"),
            (r#"filename="100%25 of %C3%AF %2.png%""#, "100%25 of %C3%AF %2.png%"),
            (r#"filename="C:\me\nice.png""#, r"C:\me\nice.png"),
            (r#"filename="C:\\me\\nice.png""#, r"C:\me\nice.png"),
            (r#"filename="C:\me\""#, r"C:\me\"),
            // A client that escapes nothing, and one that escapes what looks alike.
            (r#"filename="C:\me\"; size=1"#, r"C:\me\"),
            (r#"filename="C:\me\"; title="x\"; size="1""#, r"C:\me\"),
            (r#"filename="C:\me\" ; filename*=nothing"#, r"C:\me\"),
            (r#"filename="x\"; name=\"avatar""#, r#"x"; name="avatar"#),
            (r#"filename="x\"; name=avatar; \" y.png"; size=1"#, r#"x"; name=avatar; " y.png"#),
            (r#"filename="say \"hi\"; C:\me\""#, r#"say "hi"; C:\me\"#),
            (r#"filename="it has no end"#, "it has no end"),
            (r#"filename="""#, ""),
            ("filename=a.png", "a.png"),
            ("filename= not quoted.png ; size=1", "not quoted.png"),
            ("FileName = \"a.png\"", "a.png"),
            ("filename=\"first.png\"; filename=\"second.png\"", "first.png"),
        ] {
            assert_eq!(file_name(sent), meant, "{sent}");
        }
        assert_eq!(
            read(br#"filename="x; name=avatar.png"; name="file""#),
            (Some("file".to_owned()), Some("x; name=avatar.png".to_owned()))
        );
        assert_eq!(read(br#"filename="C:\me\"; name="file""#), (Some("file".to_owned()), Some(r"C:\me\".to_owned())));
    }

    #[test]
    fn an_extended_name_is_preferred_if_it_can_be_decoded() {
        for (sent, meant) in [
            ("filename*=UTF-8''na%C3%AFve.png", "naïve.png"),
            ("filename*=utf-8'en'na%c3%afve.png; filename=\"naive.png\"", "naïve.png"),
            ("filename=\"naive.png\"; filename*=UTF-8''na%C3%AFve.png", "naïve.png"),
            ("filename*=\"UTF-8''na%C3%AFve.png\"", "naïve.png"),
            ("filename*=ISO-8859-1''na%EFve.png", "naïve.png"),
            ("filename*=UTF-8''100%25%22.png", "100%\".png"),
            // Not UTF-8, half an escape, another character set, no character set, nothing at all.
            ("filename=\"naive.png\"; filename*=UTF-8''na%EFve.png", "naive.png"),
            ("filename=\"naive.png\"; filename*=UTF-8''naive.png%C", "naive.png"),
            ("filename=\"naive.png\"; filename*=UTF-16''naive.png", "naive.png"),
            ("filename=\"naive.png\"; filename*=other.png", "naive.png"),
            ("filename=\"naive.png\"; filename*=UTF-8''", "naive.png"),
            ("filename*=UTF-8''na%EFve.png", ""),
        ] {
            assert_eq!(file_name(sent), meant, "{sent}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_latin_1() {
        for (sent, meant) in [(&b"na\xefve.png"[..], "naïve.png"), ("naïve.png".as_bytes(), "naïve.png")] {
            let parameters = [b"name=\"file\"; filename=\"", sent, b"\""].concat();
            assert_eq!(read(&parameters), (Some("file".to_owned()), Some(meant.to_owned())), "{sent:?}");
        }
    }

    #[test]
    fn a_part_without_a_name_or_a_file_has_none() {
        for parameters in ["", ";;", "size=1", "name", "xname=a; namex=b", "=a"] {
            assert_eq!(read(parameters.as_bytes()), (None, None), "{parameters}");
        }
        assert_eq!(read(b"name=\"\""), (Some(String::new()), None));
        assert_eq!(Disposition::parse(b""), Disposition::default());
    }
}
