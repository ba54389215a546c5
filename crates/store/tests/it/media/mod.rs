//! Files that users upload, and the images that they show.

mod cancel;
mod notified;
mod sharing;
mod submit;
mod supersede;
