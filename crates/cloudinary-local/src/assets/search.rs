//! Search. Of Cloudinary's language it knows comparisons joined by `AND`.
//!
//! `public_id:cats/*`, `public_id="a b"`, `resource_type:image AND tags=kitten`. Fields are `public_id`, `asset_id`,
//! `resource_type`, `type`, `format`, `folder`, `asset_folder`, `display_name` and `tags`. Anything else gets 400,
//! never a wrong result. Results are ordered by resource type, delivery type and public id.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::assets::Asset;
use crate::assets::reply::{page, summary};
use crate::http::refusal::Refusal;
use crate::http::request::Request;

#[derive(Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    /// Matches everything that begins with the value.
    prefix: bool,
}

const FIELDS: [&str; 9] =
    ["public_id", "asset_id", "resource_type", "type", "format", "folder", "asset_folder", "display_name", "tags"];

pub(crate) fn search(request: &Request<'_>) -> Result<Response, Refusal> {
    let terms = parse(request.params.get("expression").unwrap_or_default())?;
    let mut assets = request.cx.state.store.all();
    assets.retain(|asset| {
        asset.identity.cloud == request.caller.account.cloud && terms.iter().all(|term| term.fits(asset))
    });
    let total = assets.len();
    let (page, next) = page(assets, &request.params)?;
    let resources: Vec<Value> = page.iter().map(|asset| Value::Object(summary(request, asset))).collect();
    let mut reply = json!({ "total_count": total, "time": 1, "resources": resources });
    if let (Value::Object(fields), Some(next)) = (&mut reply, next) {
        fields.insert("next_cursor".to_owned(), Value::from(next));
    }
    Ok(Json(reply).into_response())
}

fn parse(expression: &str) -> Result<Vec<Term>, Refusal> {
    let unsupported = |what: &str| {
        Refusal::bad_request(format!(
            "cloudinary-local understands <field>:<value> and <field>=<value> joined by AND, with an optional * at the \
             end; not {what}. Fields: {}",
            FIELDS.join(", ")
        ))
    };
    let mut terms = Vec::new();
    for text in expression.split(" AND ").map(str::trim).filter(|text| !text.is_empty()) {
        let (field, value) = text.split_once([':', '=']).ok_or_else(|| unsupported(text))?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let plain = quoted.unwrap_or(value);
        let odd = quoted.is_none() && plain.contains([' ', '"', '(', ')', '[', ']', '<', '>']);
        if !FIELDS.contains(&field) || plain.is_empty() || odd {
            return Err(unsupported(text));
        }
        let (value, prefix) = plain.strip_suffix('*').map_or((plain, false), |value| (value, true));
        terms.push(Term { field: field.to_owned(), value: value.to_owned(), prefix });
    }
    Ok(terms)
}

impl Term {
    fn fits(&self, asset: &Asset) -> bool {
        let same = |text: &str| if self.prefix { text.starts_with(&self.value) } else { text == self.value };
        let identity = &asset.identity;
        match self.field.as_str() {
            "public_id" => same(&identity.public_id),
            "asset_id" => same(&asset.asset_id),
            "resource_type" => same(identity.resource_type.as_str()),
            "type" => same(identity.delivery_type.as_str()),
            "format" => same(asset.format.as_deref().unwrap_or_default()),
            "folder" => same(identity.public_id.rsplit_once('/').map_or("", |(folder, _)| folder)),
            "asset_folder" => same(&asset.labels.asset_folder),
            "display_name" => same(&asset.labels.display_name),
            _ => asset.labels.tags.iter().any(|tag| same(tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_joined_by_and() {
        let terms = parse(r#"public_id:cats/* AND tags="a b" AND resource_type=image"#).expect("an expression");
        let terms: Vec<_> = terms.iter().map(|term| (term.field.as_str(), term.value.as_str(), term.prefix)).collect();
        assert_eq!(terms, [("public_id", "cats/", true), ("tags", "a b", false), ("resource_type", "image", false)]);
        assert!(parse("").expect("nothing means everything").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["cat", "bytes>100", "public_id:a OR public_id:b", "NOT tags:a", "uploaded_at:[1d TO 2d]", "tags:"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
