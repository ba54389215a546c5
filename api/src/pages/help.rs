//! What to do: docs/operations.md, which is in this program, so that it is at hand when nothing else is.

use std::sync::LazyLock;

use axum::response::Response;
use maud::{Markup, html};

use super::entry::Visit;
use super::layout::Tab;

const TEXT: &str = include_str!("../../../docs/operations.md");
static PAGE: LazyLock<String> = LazyLock::new(|| render(TEXT).into_string());

/// The address of a section, which documents and alerts name by its file.
pub(super) fn address(section: &str) -> String {
    let name = section.split_once('#').map_or("", |(_, name)| name);
    format!("/dashboard/help#{name}")
}

pub(super) async fn page(visit: Visit) -> Response {
    visit.page(Tab::None, "What to do", maud::PreEscaped(PAGE.clone()))
}

/// Headings, paragraphs and what stands between fences; tables and lists keep their lines.
fn render(text: &str) -> Markup {
    let mut blocks: Vec<Markup> = Vec::new();
    let mut lines = text.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            blocks.push(html! { h2 id=(slug(title)) { (inline(title)) } });
            continue;
        }
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push(html! { pre { (code.join("\n")) } });
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let mut block = vec![line];
        while let Some(next) = lines.next_if(|next| !next.trim().is_empty() && !next.starts_with("```")) {
            block.push(next);
        }
        blocks.push(paragraph(&block));
    }
    html! { div.help { @for block in &blocks { (block) } } }
}

fn paragraph(lines: &[&str]) -> Markup {
    if lines.iter().any(|line| line.starts_with("---|")) {
        let rows: Vec<&&str> = lines.iter().filter(|line| !line.starts_with("---|")).collect();
        return html! {
            ul { @for row in rows.iter().skip(1) { li { (inline(&row.replace(" | ", ": "))) } } }
        };
    }
    if lines[0].starts_with("* ") {
        let items = lines.join("\n").replace("\n  ", " ");
        return html! { ul { @for item in items.split("\n").map(|item| item.trim_start_matches("* ")) { li { (inline(item)) } } } };
    }
    html! { p { (inline(&lines.join(" "))) } }
}

/// Code and bold text; links are their text, as they lead to files that are not here.
fn inline(text: &str) -> Markup {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match after.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?.1))) {
            Some((name, after)) if !name.contains('`') || name.matches('`').count() == 2 => {
                plain.push_str(name);
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    html! {
        @for (index, part) in plain.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else {
                @for (index, part) in part.split("**").enumerate() { @if index % 2 == 1 { strong { (part) } } @else { (part) } }
            }
        }
    }
}

/// As GitHub makes the names of headings.
fn slug(title: &str) -> String {
    let kept = title.to_lowercase();
    kept.chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-'))
        .map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_page_is_there_by_its_name() {
        let page = render(TEXT).into_string();
        for title in TEXT.lines().filter_map(|line| line.strip_prefix("## ")) {
            assert!(page.contains(&format!("<h2 id=\"{}\">", slug(title))), "{title}");
        }
        assert_eq!(address("docs/operations.md#dead-letters"), "/dashboard/help#dead-letters");
        assert!(page.contains("<h2 id=\"dead-letters\">"));
        assert!(!page.contains("```") && !page.contains("]("), "{page}");
    }
}
