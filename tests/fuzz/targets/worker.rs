//! Reads what a worker sends, which has looked at a stranger's bytes, and packages it.
#![no_main]

use bytes::BytesMut;
use fuzz::origin::Live;
use inlet_origin::transcode::{Output, ipc};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut live = Live::new();
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = ipc::next_message(&mut buffer) {
        assert!(message.len() <= ipc::MAX_MESSAGE);
        let Ok(output) = Output::decode(message.clone()) else {
            break;
        };
        let again = output.encode().expect("it was one");
        // What stands behind a message's fields says nothing.
        assert!(again.size() <= message.len() + 4);
        live.give(&output);
    }
    live.render();
});
