//! Files that users upload, and the images that they show.

mod cancel;
mod sharing;
mod submit;
mod supersede;
