//! Any stream is cut into the same messages, however it comes; reading their attributes never fails.
#![no_main]

use lanward::system::ubus::frame::{Decoder, Desynchronised, Frame};
use libfuzzer_sys::fuzz_target;

fn frames(stream: &[u8], size: usize) -> (Vec<Frame>, Option<Desynchronised>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for mut piece in stream.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else {
        return;
    };
    let whole = frames(stream, usize::MAX);
    assert_eq!(frames(stream, usize::from(*size).max(1)), whole);
    for frame in &whole.0 {
        if let Frame::Message(message) = frame {
            let _ = message.parse();
        }
    }
});
