//! What the pages link to and name exists: files, headings, tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use testkit::tools;

/// The files below a folder whose name ends so, without what is built or made by programs.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// The pages that people read, by their path.
fn pages() -> BTreeMap<PathBuf, String> {
    let pages = files(tools::workspace(), ".md").into_iter();
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).expect("a page"))).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("\n```").step_by(2).collect()
}

/// The names of a page's headings in addresses, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).lines().filter(|line| line.starts_with('#')).map(str::to_lowercase).collect::<Vec<_>>();
    let name = |heading: &String| {
        let text = heading.trim_start_matches('#').trim();
        let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect::<String>()
    };
    headings.iter().map(name).collect()
}

/// What stands between two marks, wherever that is on one line.
fn between<'page>(page: &'page str, opening: &'page str, closing: char) -> impl Iterator<Item = &'page str> {
    page.split(opening).skip(1).filter_map(move |rest| rest.split(closing).next()).filter(|text| !text.contains('\n'))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    assert!(pages.len() > 8, "{} pages", pages.len());
    let mut broken = Vec::new();
    for (path, page) in &pages {
        let text = prose(page);
        for link in between(&text, "](", ')').filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let Ok(target) = target.canonicalize() else {
                broken.push(format!("{}: {link}: no such file", path.display()));
                continue;
            };
            let has_heading = pages.get(&target).is_some_and(|page| anchors(page).contains(anchor));
            if !anchor.is_empty() && !has_heading {
                broken.push(format!("{}: {link}: no such heading", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_source_file_and_every_test_that_a_page_names_exists() {
    let sources = files(tools::workspace(), ".rs").into_iter();
    let sources: String = sources.map(|path| std::fs::read_to_string(path).expect("a source file")).collect();
    let mut missing = Vec::new();
    for (path, page) in pages() {
        let text = prose(&page);
        for named in between(&text, "`", '`') {
            let is_file = named.ends_with(".rs") && named.contains('/') && !named.contains(['<', '*', '{', ':']);
            if is_file && !tools::workspace().join(named).is_file() {
                missing.push(format!("{}: {named}: no such file", path.display()));
            }
            // Names of tests are sentences.
            let test = named.rsplit("::").next().unwrap_or_default();
            let is_metric = test.starts_with("steep_") || test.starts_with("http_server_");
            let is_test = !is_metric
                && test.matches('_').count() >= 4
                && test.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
            if is_test && !sources.contains(&format!("fn {test}(")) {
                missing.push(format!("{}: {named}: no such test", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
