//! A request's parameters, from query, form or JSON, as the texts that were signed.

use std::collections::BTreeMap;

use serde_json::Value;
use url::form_urlencoded;

use crate::http::refusal::Refusal;

/// Names and values exactly as they were sent, because the signature covers them so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    pub(crate) fn add_form(&mut self, text: &[u8]) {
        self.0.extend(form_urlencoded::parse(text).into_owned());
    }

    /// Adds the members of a JSON object as they are signed: `true` and numbers as JSON writes them, an array as a
    /// repeated field.
    pub(crate) fn add_json(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let members: serde_json::Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("The body is not a JSON object: {error}")))?;
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::Array(items) => {
                    for item in items {
                        self.push(format!("{name}[]"), json_text(item));
                    }
                }
                value => self.push(name, json_text(value)),
            }
        }
        Ok(())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(position).1)
    }

    /// The first non-empty value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Like [`Params::get`], but refuses a request without it.
    pub(crate) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    /// A boolean, in any of the spellings that SDKs use.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(other) => Err(Refusal::bad_request(format!("Invalid value {other} for parameter {name}"))),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Refusal::bad_request(format!("Invalid value {text} for parameter {name}")))
        };
        self.get(name).map(parse).transpose()
    }

    /// A list, written `name[]=a&name[]=b`, `name[0]=a&name[1]=b` or `name=a`.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let is_item = |key: &str| {
            key.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('[') && rest.ends_with(']') && !rest.contains("][")
            })
        };
        self.0.iter().filter(|(key, _)| is_item(key)).map(|(_, value)| value.as_str()).collect()
    }

    /// A comma-separated list, without blanks and duplicates.
    pub(crate) fn tags(&self, name: &str) -> Option<Vec<String>> {
        let mut tags: Vec<String> = Vec::new();
        for tag in self.get(name)?.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
        Some(tags)
    }

    /// Keys and values written `k=v|k2=v2`, where a backslash protects `=` and `|`.
    pub(crate) fn key_values(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.get(name).map(key_values)
    }
}

fn json_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn key_values(text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let (mut key, mut value, mut in_value) = (String::new(), String::new(), false);
    let mut chars = text.chars();
    loop {
        let next = chars.next();
        match next {
            Some('|') | None => {
                if !key.is_empty() {
                    pairs.insert(std::mem::take(&mut key), std::mem::take(&mut value));
                }
                (in_value, value) = (false, String::new());
                if next.is_none() {
                    return pairs;
                }
            }
            Some('=') if !in_value => in_value = true,
            Some(c) => {
                let c = if c == '\\' { chars.next().unwrap_or('\\') } else { c };
                if in_value { value.push(c) } else { key.push(c) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_separators_stay_in_the_value() {
        let pairs = key_values(r"alt=A\|B\=C|k=v|empty=|x=1=2");
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("alt", "A|B=C"), ("empty", ""), ("k", "v"), ("x", "1=2")]);
    }

    #[test]
    fn json_values_become_the_texts_that_are_signed() {
        let mut params = Params::default();
        params
            .add_json(br#"{"overwrite":true,"timestamp":1795349840,"public_ids":["a","b"],"none":null}"#)
            .expect("json");
        assert_eq!(params.get("overwrite"), Some("true"));
        assert_eq!(params.get("timestamp"), Some("1795349840"));
        assert_eq!(params.list("public_ids"), ["a", "b"]);
        assert_eq!(params.get("none"), None);
    }

    #[test]
    fn lists_are_understood_in_every_spelling() {
        for text in ["public_ids%5B%5D=a&public_ids%5B%5D=b%2Fc", "public_ids[0]=a&public_ids[1]=b/c"] {
            let mut params = Params::default();
            params.add_form(text.as_bytes());
            assert_eq!(params.list("public_ids"), ["a", "b/c"], "{text}");
        }
    }

    #[test]
    fn booleans_come_in_four_spellings_and_no_other() {
        let mut params = Params::default();
        params.add_form(b"a=1&b=true&c=0&d=false&e=yes");
        let flag = |name| params.flag(name).ok().flatten();
        assert_eq!(
            [flag("a"), flag("b"), flag("c"), flag("d"), flag("e")],
            [Some(true), Some(true), Some(false), Some(false), None]
        );
        assert!(params.flag("e").is_err());
    }
}
