//! Files that users upload, and the images that they show.

mod group_commit;
mod submit;
mod supersede;
