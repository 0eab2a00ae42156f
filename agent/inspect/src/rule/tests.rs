use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::signature::Action;

fn load(text: &str) -> (Vec<Arc<Rule>>, Vec<Diagnostic>) {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("test.rules", text);
    let (set, diagnostics) = builder.build();
    (set.rules, diagnostics)
}

fn one(options: &str) -> Arc<Rule> {
    let (rules, diagnostics) = load(&format!("alert tcp any any -> any any ({options} sid:1;)"));
    assert_eq!(diagnostics, [], "{options}");
    Arc::clone(&rules[0])
}

/// The first complaint about one rule with these options.
fn fault(options: &str) -> Diagnostic {
    let (rules, mut diagnostics) =
        load(&format!("alert tcp any any -> any any ({options} sid:1;)"));
    assert!(rules.is_empty(), "{options} loaded");
    diagnostics.remove(0)
}

/// The contents of a rule's payload.
fn contents(rule: &Rule) -> Vec<&Content> {
    let tests = rule.payload().map_or(&[][..], |group| &group.tests);
    tests.iter().filter_map(Test::content).collect()
}

#[test]
fn a_whole_rule_is_read() {
    let (rules, diagnostics) = load(
        "alert tcp [10.0.0.0/8,!10.1.0.0/16] 1024: -> $HOME_NET [80,8000:8080,!8004] (\\\n\
         \tmsg:\"a \\\"quoted\\\" message\"; flow:established,to_server; \\\n\
         \tcontent:\"GET |2f 5C|\\;\"; nocase; depth:16; content:!\"ok\"; distance:1; within:9; \\\n\
         \tthreshold:type limit, track by_src, count 2, seconds 60; classtype:web-application-attack; \\\n\
         \treference:cve,2021-44228; metadata:mitre_technique_id T1190, mitre_technique_id T1059; \\\n\
         \tsid:7; rev:3;)\r\n",
    );
    assert_eq!(diagnostics, []);
    let rule = &rules[0];
    assert_eq!(rule.signature.msg, "a \"quoted\" message");
    assert_eq!(
        (
            rule.signature.sid,
            rule.signature.rev,
            rule.signature.severity
        ),
        (7, 3, 1)
    );
    assert_eq!(rule.signature.attack, ["T1190", "T1059"]);
    assert_eq!(
        rule.signature.references,
        [("cve".to_owned(), "2021-44228".to_owned())]
    );
    let contents = contents(rule);
    assert_eq!(contents[0].pattern, b"get /\\;");
    assert_eq!(contents[0].depth, Some(Value::Number(16)));
    assert!(contents[1].negated && contents[1].is_relative());
    assert_eq!(
        (rule.flow.to_server, rule.flow.established),
        (Some(true), Some(true))
    );
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(rule.source.contains(address("10.2.3.4")));
    assert!(!rule.source.contains(address("10.1.3.4")));
    assert!(!rule.source.contains(address("11.0.0.1")));
    assert!(rule.destination.contains(address("fd00::1")));
    for (port, inside) in [(80, true), (8003, true), (8004, false), (443, false)] {
        assert_eq!(rule.destination_port.contains(port), inside, "port {port}");
    }
    assert!(!rule.source_port.contains(1023));
}

#[test]
fn complaints_name_the_place_and_the_rest_loads() {
    let text = "# comment\n\
                alert tcp any any -> any any (msg:\"a\"; sid:1;)\n\
                alert tcp any any -> any any (msg:\"b\"; pcre:\"/x/\"; contnet:\"y\"; sid:2;)\n\
                alert tcp any any -> any any (\\\n\
                \x20   msg:\"c\"; \\\n\
                \x20   lua:x; sid:3;)\n\
                alert tcp any any -> any any (msg:\"d\"; sid:1;)\n\
                alert tcp any 99999 >> any any (msg:\"e\"; sid:5;)\n";
    let (rules, diagnostics) = load(text);
    assert_eq!(rules.len(), 1);
    let shown: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "test.rules:3:52: error: keyword `contnet` is not supported (did you mean `content`?)",
            "test.rules:6:5: error: keyword `lua` is not supported",
            "test.rules:7:40: error: sid 1 stands already at test.rules:2",
            "test.rules:8:15: error: `99999` is no port (0-65535, LOW:HIGH, :HIGH, LOW:, a [list], a $VARIABLE or any)",
            "test.rules:8:21: error: unknown direction `>>` (->, <> or =>)",
        ]
    );
    let rendered = diagnostics[0].render(text);
    let lines: Vec<&str> = rendered.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert!(lines[1][caret..].starts_with("contnet"), "{rendered}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, message) in [
        ("content:\"\";", "empty content"),
        (
            "content:\"abc\"; depth:2;",
            "the content has 3 bytes and cannot lie within 2",
        ),
        (
            "content:\"abc\"; within:2;",
            "the content has 3 bytes and cannot lie within 2",
        ),
        (
            "content:\"a\"; offset:1; distance:1;",
            "a content counts from the start or from the previous match, not both",
        ),
        ("nocase;", "there is no content before it"),
        (
            "content:\"a|4\";",
            "`|` without its closing `|` in a content",
        ),
        ("content:\"a|4|\";", "half a byte of hex in a content"),
        ("content:\"a|zz|\";", "no hex digit between `|` and `|`"),
        ("content:\"a\\x\";", "unknown escape in a content"),
        ("content:abc;", "a content is written in double quotes"),
        (
            "content:!\"a\"; fast_pattern;",
            "a negated content cannot be the fast_pattern",
        ),
        (
            "flow:to_server,to_client;",
            "`to_client` contradicts what stands before",
        ),
        ("flags:X;", "unknown TCP flag `X`"),
        ("flags:S,S;", "a flag is both wanted and ignored"),
        ("dsize:5<>5;", "`5<>5` is no number or range"),
        (
            "threshold:type limit, track by_src, count 0, seconds 1;",
            "a threshold needs type, track, count and seconds, both above 0",
        ),
        ("rev:x;", "`x` is no number that fits here"),
        ("msg:\"a\"; msg:\"b\";", "given twice"),
        ("flow:to_server; flow:established;", "given twice"),
        ("content:\"a\"; nocase:yes;", "takes no value"),
        ("content:\"a\"; startswith:3;", "takes no value"),
        ("content:\"a\"; endswith:3;", "takes no value"),
        ("priority:0;", "a priority is 1 (worst) to 255"),
        ("itype:8;", "needs a rule for icmp"),
        ("icode:0;", "needs a rule for icmp"),
    ] {
        assert_eq!(fault(options).message, message, "{options}");
    }
    assert_eq!(
        load("alert tcp any any -> any any (msg:\"x\";)").1[0].message,
        "a rule needs a sid above 0"
    );
    assert_eq!(
        load("alert tcp any any -> any any").1[0].message,
        "a rule's options stand in parentheses"
    );
    assert_eq!(
        load("alert tcp any -> any any (sid:1;)").1[0].message,
        "a rule's header has 7 fields, this one has 6"
    );
    assert_eq!(
        load("alert tcp $NOWHERE any -> any any (sid:1;)").1[0].message,
        "unknown variable `$NOWHERE`"
    );
    let (rules, diagnostics) = load("alert tcp any any -> any any (classtype:odd; sid:1;)");
    assert_eq!(
        (rules.len(), diagnostics[0].severity),
        (1, Severity::Warning)
    );
}

#[test]
fn actions_flags_and_ranges() {
    assert_eq!(
        load("pass ip any any <> any any (sid:1;)").0[0].action,
        Action::Pass
    );
    assert!(load("drop ip any any <> any any (sid:1;)").0[0].bidirectional);
    let flags = |text| match one(&format!("flags:{text};")).packet[0] {
        PacketTest::Flags(test) => test,
        _ => panic!("no flags"),
    };
    assert!(flags("S,CE").matches(0x02) && flags("S,CE").matches(0xc2));
    assert!(!flags("S").matches(0x12));
    assert!(flags("+S").matches(0x12) && flags("S+").matches(0x12));
    assert!(flags("*SF").matches(0x01) && !flags("*SF").matches(0x10));
    assert!(flags("!SF").matches(0x10) && !flags("!SF").matches(0x01));
    assert!(flags("0").matches(0));
    let dsize = |text| match one(&format!("dsize:{text};")).packet[0] {
        PacketTest::PayloadSize(test) => test,
        _ => panic!("no dsize"),
    };
    assert!(dsize("<10").matches(9) && !dsize("<10").matches(10));
    assert!(dsize("1<>4").matches(2) && !dsize("1<>4").matches(4) && !dsize("1<>4").matches(1));
    assert!(dsize("!0").matches(1) && !dsize("!0").matches(0));
}

#[test]
fn variables_nest_and_negate() {
    let mut variables = Variables::default();
    variables.set("WEB", "[172.18.0.0/24,$MORE]");
    variables.set("MORE", "!172.18.0.9");
    variables.set("LOOP", "[$LOOP]");
    let mut builder = RuleSetBuilder::new(variables);
    builder.add_source(
        "v",
        "alert tcp !$WEB any -> [fd00::/8,172.18.0.1-172.18.0.3] any (sid:1;)\n\
         alert tcp $LOOP any -> any any (sid:2;)",
    );
    let (set, diagnostics) = builder.build();
    assert_eq!(diagnostics[0].message, "list too deep or too long");
    let rule = &set.rules[0];
    let inside = |group: &AddressGroup, text: &str| group.contains(text.parse().unwrap());
    assert!(!inside(&rule.source, "172.18.0.5"));
    assert!(inside(&rule.source, "172.18.0.9"));
    assert!(inside(&rule.destination, "fd00::7") && inside(&rule.destination, "172.18.0.2"));
    assert!(!inside(&rule.destination, "172.18.0.4"));
}

#[test]
fn options_have_to_fit_the_protocol() {
    for (protocol, option, message) in [
        ("udp", "flags:S;", "needs a rule for tcp"),
        (
            "tcp-stream",
            "dsize:1;",
            "looks at packets, the rule only at the stream",
        ),
        ("ipx", "dsize:1;", "protocol `ipx` is not supported"),
    ] {
        let rule = format!("alert {protocol} any any -> any any ({option} sid:1;)");
        assert_eq!(load(&rule).1[0].message, message, "{rule}");
    }
}

#[test]
fn what_cannot_be_decided_or_never_matches_is_refused() {
    for (rule, message) in [
        (
            "pass tcp any any -> any any (content:\"a\"; same_service; sid:1;)",
            "a pass rule is decided before it is known who the two ends are",
        ),
        (
            "alert http any any -> any any (app-layer-event:http.nothing; sid:1;)",
            "no parser raises the event `http.nothing`",
        ),
        (
            "alert mqtt any any -> any any (content:\"a\"; sid:1;)",
            "protocol `mqtt` is not supported",
        ),
    ] {
        let (rules, diagnostics) = load(rule);
        assert_eq!(diagnostics[0].message, message);
        assert!(rules.is_empty(), "{rule}");
    }
}

#[test]
fn rules_and_sets_are_bounded() {
    let long = |text: &str, count: usize, expected: &str| {
        let complaint = fault(&text.repeat(count));
        assert!(complaint.message.starts_with(expected), "{complaint}");
    };
    long("reference:url,example.org;", 3_000, "rule longer than");
    long("content:\"a\";", 257, "more than 256 tests in one rule");
    let pattern = format!("content:\"{}\";", "a".repeat(8_193));
    long(&pattern, 1, "content longer than 8192 bytes");
    let members = format!("[{}1]", "1,".repeat(10_000));
    let (rules, diagnostics) = load(&format!("alert tcp any {members} -> any any (sid:1;)"));
    assert!(rules.is_empty());
    assert_eq!(diagnostics[0].message, "list too deep or too long");

    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.max_rules = 2;
    for sid in 1..5 {
        builder.add_source("many", &format!("alert ip any any -> any any (sid:{sid};)"));
    }
    let (set, diagnostics) = builder.build();
    assert_eq!((set.rules.len(), diagnostics.len()), (2, 2));
    assert_eq!(diagnostics[0].message, "more than 2 rules");
}

#[test]
fn the_starter_set_loads_without_a_complaint() {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source(STARTER_NAME, STARTER);
    let (set, diagnostics) = builder.build();
    let complaints: Vec<String> = diagnostics.iter().map(|d| d.render(STARTER)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(set.rules.len() >= 25);
    for rule in &set.rules {
        assert!(
            !rule.signature.attack.is_empty(),
            "sid {} has no ATT&CK id",
            rule.signature.sid
        );
        assert!(!rule.signature.msg.is_empty() && rule.signature.rev > 0);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken(text in "\\PC{0,400}") {
        let _ = load(&text);
    }

    #[test]
    fn anything_like_a_rule_is_taken(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "alert ", "tcp ", "any ", "-> ", "<> ", "[", "]", "!", "$HOME_NET ", "10.0.0.0/8", ",",
                "(", ")", ";", ":", "\"", "\\", "\\\n", "\n", "|", "41", "content", "msg", "nocase", "sid:1;",
                "flow:", "flags:S", "threshold:type limit", "distance:-1;", "within:1;", "#", "é",
            ]),
            0..40,
        )
    ) {
        for diagnostic in load(&parts.concat()).1 {
            let _ = diagnostic.render(&parts.concat());
        }
    }
}

#[test]
fn a_name_of_a_number_and_a_buffer_is_told_by_its_value() {
    let number = one("quic.version:1;");
    assert_eq!((number.numbers.len(), number.groups.len()), (1, 0));
    let buffer = one("quic.version; content:\"Q046\";");
    assert_eq!((buffer.numbers.len(), buffer.groups.len()), (0, 1));
}

#[test]
fn an_extension_is_the_end_of_a_files_name() {
    let rule = one("fileext:\"JPG\";");
    let content = rule.groups[0].tests[0].content().unwrap();
    assert_eq!(content.pattern, b".jpg");
    assert!(content.endswith && content.nocase);
}
