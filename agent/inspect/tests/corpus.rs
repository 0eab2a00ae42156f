//! Replays the inputs that the fuzz targets start from, and those that once broke something.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper: a fault is a failure"
)]

mod support;

use std::{fs, path::Path};

use support::drive;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        target(&bytes);
        // What is cut short must be survived too.
        for length in 0..bytes.len() {
            target(&bytes[..length]);
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn frames_alone() {
    replay("one_frame", drive::one_frame);
}

#[test]
fn frames_in_sequence() {
    replay("many_frames", drive::many_frames);
}

#[test]
fn segments_of_a_connection() {
    replay("one_connection", drive::one_connection);
}

#[test]
fn rule_files() {
    replay("rules", drive::rules);
}
