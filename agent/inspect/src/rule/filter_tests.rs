//! Lines of `threshold.config` and `classification.config`, and what is wrong with them.

use super::{Diagnostic, RuleSetBuilder, Severity, Variables};

fn complaints(lines: &str) -> Vec<Diagnostic> {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("a.rules", "alert ip any any -> any any (sid:1;)");
    builder.add_filters("threshold.config", lines);
    builder.build().1
}

#[test]
fn lines_that_suricata_documents_are_right() {
    let lines = "\
# a comment\n\
suppress gen_id 1, sig_id 1\n\
suppress gen_id 1, sig_id 1, track by_src, ip 209.132.180.67\n\
suppress gen_id 1, sig_id 1, track by_src, ip [192.168.0.0/16, 10.0.0.0/8,172.16.0.0/12]\r\n\
suppress gen_id 0, sig_id 0, track by_either, ip 2001:db8::/32\n\
threshold gen_id 1, sig_id 1, type both, track by_src, count 3, seconds 5\n\
event_filter gen_id 1, sig_id 1, type backoff, track by_flow, count 1, multiplier 10\n\
rate_filter gen_id 1, sig_id 1, track by_rule, \\\n   count 100, seconds 60, \\\n   new_action alert, timeout 30\n\
suppress gen_id 7001, sig_id 1";
    assert_eq!(complaints(lines), []);
}

#[test]
fn every_line_that_is_wrong_is_named_with_its_place() {
    let lines = "\
silence gen_id 1, sig_id 1\n\
suppress gen_id 1\n\
suppress gen_id 0, sig_id 1\n\
suppress gen_id 1, sig_id one\n\
suppress gen_id 1, sig_id 1, track by_source, ip 10.0.0.1\n\
suppress gen_id 1, sig_id 1, track by_src\n\
suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0\n\
suppress gen_id 1, sig_id 1, track by_src, ip $HOME_NET\n\
threshold gen_id 1, sig_id 1, type limit, track by_src, count 0, seconds 1\n\
threshold gen_id 1, sig_id 1\n\
rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 1, new_action pass\n\
rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 0, new_action pass, timeout 1";
    let complaints = complaints(lines);
    let places: Vec<_> = complaints.iter().map(|it| (it.line, it.column)).collect();
    let expected = [1, 1, 1, 20, 30, 1, 47, 47, 31, 1, 1, 56];
    assert_eq!(places, (1..).zip(expected).collect::<Vec<_>>());
    for complaint in &complaints {
        assert_eq!(complaint.severity, Severity::Error, "{complaint}");
        assert_eq!(&*complaint.file, "threshold.config");
    }
}

#[test]
fn what_cannot_be_done_or_names_no_rule_is_a_warning() {
    let lines = "\
rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 1, new_action drop, timeout 1\n\
suppress gen_id 1, sig_id 2";
    let warnings: Vec<_> = complaints(lines).iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "threshold.config:1:78: warning: `drop` is taken as `alert`: Hydrophone only observes",
            "threshold.config:2:1: warning: no rule has gid 1 and sid 2",
        ]
    );
}

#[test]
fn classes_are_read_and_bad_lines_are_named() {
    let mut builder = RuleSetBuilder::new(Variables::default());
    let lines = "# classes\n\
                 config classification: mine,Mine, and mine alone,4\n\
                 config classification: no-priority,None\n\
                 config classification: zero,Zero,0\n\
                 mine,Mine,1\n";
    builder.add_classifications("classification.config", lines);
    builder.add_source(
        "a.rules",
        "alert ip any any -> any any (classtype:mine; sid:1;)",
    );
    let (set, diagnostics) = builder.build();
    assert_eq!(set.rules[0].signature.severity, 4);
    let places: Vec<_> = diagnostics.iter().map(|it| (it.line, it.column)).collect();
    assert_eq!(places, [(3, 24), (4, 34), (5, 1)]);
}
