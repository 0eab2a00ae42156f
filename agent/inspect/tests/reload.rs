//! Other rules in the middle of traffic.

mod support;

use hydrophone_inspect::InspectorLimits;
use support::{Ends, Pipeline, ends};

/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;

fn established(rules: &str) -> (Pipeline, Ends) {
    let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    (pipeline, ends)
}

#[test]
fn new_rules_find_what_old_flows_carry() {
    let (mut pipeline, ends) = established("");
    pipeline.data(&ends, b"GET /", FIRST);
    pipeline.inspector.replace_engine(support::engine(
        r#"alert tcp any any -> any 80 (msg:"new"; flow:established; content:"GET /x"; sid:9;)"#,
    ));
    pipeline.data(&ends, b"x", FIRST + 5);
    assert_eq!(pipeline.sids(), [9], "the window was kept");
}

#[test]
fn what_a_flow_remembers_means_the_same_to_new_rules() {
    let (mut pipeline, ends) = established(
        r#"alert tcp any any -> any 80 (content:"one"; flowbits:set,first; noalert; sid:1;)"#,
    );
    pipeline.data(&ends, b"one ", FIRST);
    // Other rules with other names come before it.
    pipeline.inspector.replace_engine(support::engine(
        "alert tcp any any -> any 80 (content:\"two\"; flowbits:isset,other; sid:2;)\n\
         alert tcp any any -> any 80 (content:\"two\"; flowbits:isset,first; sid:3;)",
    ));
    pipeline.data(&ends, b"two ", FIRST + 4);
    assert_eq!(pipeline.sids(), [3]);
}

#[test]
fn a_transaction_is_looked_at_again_by_new_rules() {
    let rule = |sid: u32, uri: &str| {
        format!(
            "alert http any any -> any any (http.uri; content:\"{uri}\"; http.request_body; content:\"end\"; sid:{sid};)\n"
        )
    };
    let (mut pipeline, ends) = established(&rule(1, "/none"));
    let head = b"POST /asked HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n";
    pipeline.data(&ends, head, FIRST);
    // The rule that matches has the number that another one had.
    let rules = rule(7, "/asked") + &rule(8, "/other");
    pipeline.inspector.replace_engine(support::engine(&rules));
    let behind = FIRST + u32::try_from(head.len()).unwrap();
    pipeline.data(&ends, b"in end", behind);
    assert_eq!(pipeline.sids(), [7]);
}
