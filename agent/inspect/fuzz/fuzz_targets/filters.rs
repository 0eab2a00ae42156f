//! `cargo +nightly fuzz run filters tests/corpus/filters` in `agent/inspect`.
#![no_main]

#[path = "../../tests/support/drive.rs"]
mod drive;
#[path = "../../tests/support/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::filters(input));
