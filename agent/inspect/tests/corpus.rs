//! Replays the inputs that the fuzz targets start from, and those that once broke something.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper: a fault is a failure"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use support::drive;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name)
}

fn replay(name: &str, target: fn(&[u8])) {
    let folder = folder(name);
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

#[test]
fn files_of_filters() {
    replay("filters", drive::filters);
}

#[test]
fn files_of_reputations() {
    replay("reputations", drive::reputations);
}

#[test]
fn records_of_protocols() {
    replay("frames", drive::frames);
}

#[test]
fn sessions_of_protocols() {
    replay("one_protocol", |input| {
        drive::one_protocol(input);
    });
}

/// A session that no parser understands would show nothing.
#[test]
fn sessions_have_transactions() {
    for entry in fs::read_dir(folder("one_protocol")).unwrap() {
        let path = entry.unwrap().path();
        let seen = drive::one_protocol(&fs::read(&path).unwrap());
        assert!(seen > 0, "{}", path.display());
    }
}

/// Every session with some bytes replaced.
#[test]
fn damaged_sessions_of_protocols() {
    for entry in fs::read_dir(folder("one_protocol")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        // Not random, so that a fault is found again: steps that have no common factor with lengths.
        for round in 0..2_000_usize {
            let mut damaged = bytes.clone();
            for hit in 0..=round % 4 {
                let at = (round * 7_919 + hit * 104_729) % damaged.len();
                damaged[at] = u8::try_from((round * 31 + hit * 17) % 256).unwrap();
            }
            drive::one_protocol(&damaged);
        }
    }
}
