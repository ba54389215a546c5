//! Replies of a media host that may be anything: Cloudinary, a proxy in front of it, or somebody in its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steep_fuzz::media_host;

fuzz_target!(init: {
    media_host::start();
}, |script: &[u8]| media_host::play(script));
