//! What rules see of application protocols, and what limits cut off.

mod support;

use hydrophone_inspect::InspectorLimits;
use support::{Pipeline, ends};

/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;
const REQUEST: &[u8] = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// The sids that one request raises, and what limits left out.
fn seen(rules: &str, body: usize) -> (Vec<u32>, u64) {
    let mut limits = InspectorLimits::default();
    limits.protocols.body = body;
    let mut pipeline = Pipeline::with_rules(rules, limits);
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    pipeline.data(&ends, REQUEST, FIRST);
    pipeline.finish();
    let left_out = pipeline.inspector.stats().protocols.bytes_left_out;
    (pipeline.sids(), left_out)
}

#[test]
fn files_are_hashed_when_a_rule_asks_for_it() {
    // MD5 of `abc` (RFC 1321 appendix A.5).
    let rule = r#"alert http any any -> any any (file.md5; content:"900150983cd24fb0d6963f7d28e17f72"; sid:1;)"#;
    assert_eq!(seen(rule, 1_024).0, [1]);
}

#[test]
fn what_limits_cut_off_is_counted() {
    let rule = r#"alert http any any -> any any (http.request_body; content:"ab"; sid:1;)"#;
    assert_eq!(seen(rule, 1_024), (vec![1], 0));
    let (sids, left_out) = seen(rule, 2);
    assert_eq!(sids, [1]);
    assert!(left_out > 0, "the third byte");
}
