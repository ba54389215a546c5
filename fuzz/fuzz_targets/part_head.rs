//! Heads of parts, from whoever can send a form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steep_fuzz::part_head;

fuzz_target!(|header: &[u8]| part_head::read(header));
