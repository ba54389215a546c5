//! Bodies of messages, from whoever can publish to our exchange.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::Envelope;

fuzz_target!(|body: &[u8]| match Envelope::decode(body) {
    // What a worker reads it must be able to pass on unchanged.
    Ok(envelope) => assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(&envelope)),
    // The reason becomes a header of the dead letter.
    Err(reason) => assert!(!reason.to_string().is_empty()),
});
