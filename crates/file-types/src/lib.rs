//! What a file is, by its bytes and never by its name, and whether it may be taken.
//!
//! [`TYPES`] is the one list: what a type is called, who takes it, how it is shown. [`detect`] tells the type by the first
//! bytes. A [`Reader`] sees the whole file pass, in memory that does not grow with it: it refuses a picture that claims too
//! many pixels or a file that ends too early, and leaves out metadata.
//!
//! Crates that know magic bytes (`infer`, `file-format`) miss brands of ISO files, MPEG streams and what an Ogg file holds;
//! those that leave out metadata want the file in memory.

#![warn(missing_docs)]

mod bmp;
mod detect;
mod error;
mod exif;
mod iso;
mod list;
mod reader;
mod walks;
mod work;

pub use bmp::bmp_size;
pub use detect::{FIRST_BYTES, detect};
pub use error::Fault;
pub use list::{FileType, Kind, Shown, TYPES, Taken, by_content_type, table};
pub use reader::{Reader, Rules};
