//! Files of every type, from whoever may upload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steep_fuzz::files;

fuzz_target!(|input: &[u8]| files::read(input));
