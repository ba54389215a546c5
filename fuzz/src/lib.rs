//! What fuzz targets work with. What a target asserts is told in docs/testing.md.

pub mod files;
pub mod forms;
pub mod media_host;
pub mod part_head;
