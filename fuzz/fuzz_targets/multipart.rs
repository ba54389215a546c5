//! Forms that clients send, over HTTP through the API into a spool.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steep_fuzz::forms;

fuzz_target!(init: {
    forms::start();
}, |request: &[u8]| forms::send(request));
