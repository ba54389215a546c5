//! The table of types in docs/api.md is the list.
//!
//! To write it anew: `STEEP_WRITE_DOCS=1 cargo test -p file-types the_types_in_the_page`.

use std::path::Path;

#[test]
fn the_types_in_the_page_are_those_of_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (opening, closing) = ("<!-- types -->\n", "\n<!-- end -->");
    let start = page.find(opening).expect("the page has a table of types") + opening.len();
    let length = page[start..].find(closing).expect("the table ends");
    let mut expected = page.clone();
    expected.replace_range(start..start + length, &file_types::table());
    if std::env::var_os("STEEP_WRITE_DOCS").is_some() {
        return std::fs::write(&path, expected).expect("the page is written");
    }
    let differs = expected.lines().zip(page.lines()).find(|(expected, page)| expected != page);
    assert!(
        expected == page,
        "docs/api.md differs from the list of types, first in {differs:?}; STEEP_WRITE_DOCS=1 with this test writes it anew"
    );
}
