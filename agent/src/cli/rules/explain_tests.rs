use std::sync::Arc;

use hydrophone_inspect::rule::{RuleSetBuilder, Variables};

use super::*;
use crate::cli::rules::Filter;

fn rule(text: &str) -> Arc<Rule> {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("own.rules", text);
    let (set, diagnostics) = builder.build();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    Arc::clone(set.rules.first().unwrap())
}

#[test]
fn a_rule_on_transactions_in_words() {
    let rule = rule(
        "alert http $EXTERNAL_NET any -> [10.0.0.0/8,!10.0.0.1] 80 (msg:\"Two\"; \
         flow:established,to_server; http.method; content:\"POST\"; \
         http.uri; to_lowercase; content:\"/admin|3b|\"; nocase; pcre:\"/a\\d+$/R\"; bsize:>8; \
         flowbits:isset,seen; flowbits:set,done; src.container.name; content:\"web\"; \
         threshold:type limit, track by_src, count 1, seconds 60; \
         metadata:mitre_technique_id T1190; priority:2; sid:7; rev:3;)",
    );
    let expected = "\
1:7:3  Two
  severity 2, no class, ATT&CK T1190
  from own.rules:1
looks at
  protocol: http over whatever carries it
  from: any, port any
  to:   10.0.0.0-10.255.255.255 but not 10.0.0.1, port 80
  flow: what the client sends; established connections
matches when all of these hold
  http.method
    - contains \"POST\"
  http.uri (in lower case)
    - contains \"/admin|3b|\" in any case
    - matches /a\\d+$/, from the end of the previous match on
    - has a length of at least 9
  the flow has been marked seen
and of who the two ends are (decided when an alert is due)
  they are not known to be of one service ($EXTERNAL_NET)
  src.container.name
    - contains \"web\"
a match
  marks the flow as done
  alerts, at most 1 times within 60 s for each source
how it is tried
  on each transaction
  application protocol: http
  searched first (fast pattern): \"/admin|3b|\" in http.uri";
    let explained = explain(&rule).join("\n");
    assert!(explained == expected, "{explained}");
}

#[test]
fn a_rule_on_packets_in_words() {
    let rule =
        rule("pass tcp any any <> any 22 (msg:\"Three\"; flags:S,CE; ttl:<5; sid:8; rev:1;)");
    let explained = explain(&rule).join("\n");
    for line in [
        "  or the other way round",
        "  of the TCP flags, exactly S",
        "  ttl is at most 4",
        "  silences all other rules (pass)",
        "  on each packet",
        "  no fast pattern: it is tried on everything of its kind",
    ] {
        assert!(explained.contains(line), "{line} in\n{explained}");
    }
}

#[test]
fn bytes_are_shown_as_rules_write_them() {
    assert_eq!(words::bytes(b"a\r\nb;"), "\"a|0d 0a|b|3b|\"");
    assert_eq!(words::bytes(b"GET /"), "\"GET /\"");
    assert_eq!(words::bytes(&[0xff]), "\"|ff|\"");
}

#[test]
fn every_starter_rule_can_be_explained() {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("starter", hydrophone_inspect::rule::STARTER);
    let (set, _) = builder.build();
    for rule in &set.rules {
        assert!(explain(rule).len() > 8, "{}", rule.signature.sid);
    }
}

#[test]
fn a_filter_takes_what_all_of_it_names() {
    let rule = rule(
        "alert http any any -> any any (msg:\"Log4Shell lookup\"; http.uri; content:\"jndi\"; \
         classtype:web-application-attack; metadata:mitre_technique_id T1190.001; sid:7; rev:1;)",
    );
    let text = |text: &str| Some(text.to_owned());
    let takes = |filter: Filter| filter.takes(&rule);
    let filter = Filter::default;
    assert!(takes(filter()));
    assert!(takes(Filter {
        sid: Some(7),
        classtype: text("web-application-attack"),
        severity: Some(1),
        protocol: text("http"),
        msg: text("log4shell"),
        attack: text("t1190"),
    }));
    for other in [
        Filter {
            sid: Some(8),
            ..filter()
        },
        Filter {
            classtype: text("trojan-activity"),
            ..filter()
        },
        Filter {
            severity: Some(3),
            ..filter()
        },
        Filter {
            protocol: text("dns"),
            ..filter()
        },
        Filter {
            msg: text("shellshock"),
            ..filter()
        },
        Filter {
            attack: text("T119"),
            ..filter()
        },
    ] {
        assert!(!takes(other));
    }
}
