//! `cargo +nightly fuzz run one_protocol tests/corpus/one_protocol` in `agent/inspect`.
#![no_main]

#[path = "../../tests/support/drive.rs"]
mod drive;
#[path = "../../tests/support/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    drive::one_protocol(input);
});
