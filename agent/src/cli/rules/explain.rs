//! One rule in words: what it looks for, and how it is tried.

use hydrophone_inspect::{
    Anomaly,
    engine::{Engine, PlanUnit, Rule},
    rule::{
        FlagsMode, FlagsTest, Group, IntegerComparison, IntegerValue, PacketTest, Protocol, Scope,
        StateChange, StateTest, StreamSide, Threshold, ThresholdKind, Track, VlanLayer,
    },
    signature::Action,
};

use super::words;

/// The lines that explain a rule. What stems from the rule file is not yet escaped.
pub(super) fn explain(rule: &Rule) -> Vec<String> {
    let mut lines = Vec::new();
    heading(rule, &mut lines);
    lines.push("looks at".to_owned());
    header(rule, &mut lines);
    lines.push("matches when all of these hold".to_owned());
    let before = lines.len();
    for group in &rule.groups {
        tests(group, &mut lines);
    }
    for test in &rule.numbers {
        lines.push(format!("  {}", words::number(test)));
    }
    for event in &rule.events {
        lines.push(format!("  the parser reports {event}"));
    }
    lines.extend(rule.packet.iter().map(|test| format!("  {}", packet(test))));
    lines.extend(rule.states.iter().map(|test| format!("  {}", state(test))));
    if lines.len() == before {
        lines.push("  nothing more is asked".to_owned());
    }
    ends(rule, &mut lines);
    outcome(rule, &mut lines);
    plan(rule, &mut lines);
    lines
}

fn heading(rule: &Rule, lines: &mut Vec<String>) {
    let signature = &rule.signature;
    lines.push(format!(
        "{}:{}:{}  {}",
        signature.gid, signature.sid, signature.rev, signature.msg
    ));
    let class = match signature.classtype.as_str() {
        "" => "no class",
        class => class,
    };
    let mut about = format!("  severity {}, {class}", signature.severity);
    if !signature.attack.is_empty() {
        about.push_str(&format!(", ATT&CK {}", signature.attack.join(", ")));
    }
    lines.push(about);
    for (kind, reference) in &signature.references {
        lines.push(format!("  reference: {kind},{reference}"));
    }
    lines.push(format!("  from {}:{}", rule.place.0, rule.place.1));
}

fn header(rule: &Rule, lines: &mut Vec<String>) {
    lines.push(format!("  protocol: {}", protocol(rule.protocol)));
    lines.push(format!(
        "  from: {}, port {}",
        rule.source, rule.source_port
    ));
    lines.push(format!(
        "  to:   {}, port {}",
        rule.destination, rule.destination_port
    ));
    if rule.bidirectional {
        lines.push("  or the other way round".to_owned());
    }
    if rule.transactional {
        lines.push("  both directions of one transaction (=>)".to_owned());
    }
    let flow = [
        rule.flow.to_server.map(|to_server| match to_server {
            true => "what the client sends",
            false => "what the server sends",
        }),
        rule.flow.established.map(|established| match established {
            true => "established connections",
            false => "connections that are not established",
        }),
        rule.flow.stream.map(|stream| match stream {
            true => "the stream only",
            false => "packets only",
        }),
        rule.flow.fragmented.map(|fragmented| match fragmented {
            true => "reassembled fragments only",
            false => "no fragments",
        }),
    ];
    let flow: Vec<_> = flow.into_iter().flatten().collect();
    if !flow.is_empty() {
        lines.push(format!("  flow: {}", flow.join("; ")));
    }
}

fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Application(_) => format!("{} over whatever carries it", protocol.name()),
        _ => protocol.name().to_owned(),
    }
}

fn tests(group: &Group, lines: &mut Vec<String>) {
    let transforms: Vec<_> = group.transforms.iter().map(words::transform).collect();
    let transforms = match transforms.as_slice() {
        [] => String::new(),
        some => format!(" ({})", some.join(", then ")),
    };
    let target = words::target(group.target);
    if group.tests.is_empty() {
        lines.push(format!("  {target}{transforms} is there"));
        return;
    }
    lines.push(format!("  {target}{transforms}"));
    for test in &group.tests {
        lines.push(format!("    - {}", words::test(test)));
    }
}

fn packet(test: &PacketTest) -> String {
    match test {
        PacketTest::Flags(flags) => tcp_flags(*flags),
        PacketTest::PayloadSize(size) => format!("the payload has {} bytes", words::integer(*size)),
        PacketTest::Number(number, test) => {
            format!("{} is {}", number.name(), words::integer(*test))
        }
        PacketTest::SameIp => "both addresses are the same".to_owned(),
        PacketTest::IpOption(None) => "there is an IP option".to_owned(),
        PacketTest::IpOption(Some(option)) => format!("there is the IP option {option}"),
        PacketTest::FragmentBits { bits, mode } => {
            format!("of the fragment bits, {} {bits:#x}", mode_words(*mode))
        }
        PacketTest::DecodeEvent(event) => raised("decoder", event.anomalies()),
        PacketTest::StreamEvent(set) => raised("stream", set.iter()),
        PacketTest::StreamSize(side, size) => {
            let side = match side {
                StreamSide::Client => "the client",
                StreamSide::Server => "the server",
                StreamSide::Both => "each side",
                StreamSide::Either => "one side",
            };
            format!("{side} has sent {} bytes", words::integer(*size))
        }
        PacketTest::VlanId(id, layer) => {
            let layer = match layer {
                VlanLayer::Any => "a VLAN".to_owned(),
                VlanLayer::All => "each VLAN".to_owned(),
                VlanLayer::At(layer) => format!("the VLAN of layer {layer}"),
            };
            format!("{layer} is {}", words::integer(*id))
        }
        PacketTest::Protocol(test) => format!(
            "the application protocol is {}{test}",
            if test.negated { "not " } else { "" },
        ),
        PacketTest::Reputation(test) => words::reputation(test),
        PacketTest::Checksum(of, right) => format!(
            "the {of} checksum is {}",
            if *right { "right" } else { "wrong" }
        ),
    }
}

/// `by` raises one of these. Some events of other engines are never raised here.
fn raised(by: &str, anomalies: impl Iterator<Item = Anomaly>) -> String {
    let names: Vec<_> = anomalies.map(Anomaly::name).collect();
    if names.is_empty() {
        format!("the {by} reports what it never reports here: no match")
    } else {
        format!("the {by} reports {}", names.join(" or "))
    }
}

fn tcp_flags(test: FlagsTest) -> String {
    let names: String = "FSRPAUEC"
        .chars()
        .enumerate()
        .filter(|(bit, _)| test.wanted >> bit & 1 == 1)
        .map(|(_, name)| name)
        .collect();
    let names = if names.is_empty() { "none" } else { &names };
    format!("of the TCP flags, {} {names}", mode_words(test.mode))
}

const fn mode_words(mode: FlagsMode) -> &'static str {
    match mode {
        FlagsMode::Exact => "exactly",
        FlagsMode::All => "at least",
        FlagsMode::Any => "any of",
        FlagsMode::None => "none of",
    }
}

const fn owner(scope: Scope) -> &'static str {
    match scope {
        Scope::Flow => "the flow",
        Scope::Source => "the source address",
        Scope::Destination => "the destination address",
        Scope::Pair => "the pair of addresses",
    }
}

fn state(test: &StateTest) -> String {
    match test {
        StateTest::Bit {
            scope,
            names,
            negated,
        } => format!(
            "{} {} been marked {}",
            owner(*scope),
            if *negated { "has not" } else { "has" },
            names.join(" or ")
        ),
        StateTest::Integer {
            name,
            comparison,
            value,
        } => {
            let comparison = match comparison {
                IntegerComparison::Less => "less than",
                IntegerComparison::LessOrEqual => "at most",
                IntegerComparison::Equal => "equal to",
                IntegerComparison::NotEqual => "other than",
                IntegerComparison::Greater => "more than",
                IntegerComparison::GreaterOrEqual => "at least",
            };
            format!(
                "the flow's counter {name} is {comparison} {}",
                operand(value)
            )
        }
        StateTest::IntegerIsSet { name, negated } => format!(
            "the flow's counter {name} {} been set",
            if *negated { "has not" } else { "has" }
        ),
    }
}

fn operand(value: &IntegerValue) -> String {
    match value {
        IntegerValue::Number(number) => number.to_string(),
        IntegerValue::Name(name) => format!("counter {name}"),
    }
}

fn change(change: &StateChange) -> String {
    match change {
        StateChange::Bit {
            scope,
            name,
            set,
            expire,
        } => {
            let verb = match set {
                Some(true) => "marks",
                Some(false) => "unmarks",
                None => "toggles the mark of",
            };
            let until = match (scope, expire) {
                (Scope::Flow, _) => String::new(),
                (_, expire) => format!(" for {expire} s"),
            };
            format!("{verb} {} as {name}{until}", owner(*scope))
        }
        StateChange::Integer { name, add, value } => match add {
            Some(true) => format!("adds {} to the flow's counter {name}", operand(value)),
            Some(false) => format!("takes {} from the flow's counter {name}", operand(value)),
            None => format!("sets the flow's counter {name} to {}", operand(value)),
        },
    }
}

/// What must hold of who the two ends are.
fn ends(rule: &Rule, lines: &mut Vec<String>) {
    let Some(conditions) = rule.conditions() else {
        return;
    };
    lines.push("and of who the two ends are (decided when an alert is due)".to_owned());
    if conditions.external {
        lines.push("  they are not known to be of one service ($EXTERNAL_NET)".to_owned());
    }
    for (flag, wanted) in &conditions.flags {
        let not = if *wanted { "" } else { "not " };
        lines.push(format!("  {not}{}", flag.name()));
    }
    for group in &conditions.groups {
        tests(group, lines);
    }
}

/// What a match does.
fn outcome(rule: &Rule, lines: &mut Vec<String>) {
    lines.push("a match".to_owned());
    lines.extend(rule.changes.iter().map(|of| format!("  {}", change(of))));
    match (rule.action, rule.silent) {
        (Action::Pass, _) => lines.push("  silences all other rules (pass)".to_owned()),
        (Action::Alert, true) => lines.push("  raises no alert (noalert)".to_owned()),
        (Action::Alert, false) => lines.push(format!(
            "  alerts{}",
            rule.thresholds
                .iter()
                .map(threshold)
                .collect::<Vec<_>>()
                .join(" and")
        )),
    }
}

fn threshold(threshold: &Threshold) -> String {
    let Threshold {
        kind,
        track,
        count,
        seconds,
        multiplier,
        unique,
    } = *threshold;
    let track = match track {
        Track::BySource => "source",
        Track::ByDestination => "destination",
        Track::ByRule => "rule",
        Track::ByBoth => "pair of addresses",
        Track::ByFlow => "flow",
    };
    let within = match seconds {
        0 => String::new(),
        seconds => format!(" within {seconds} s"),
    };
    let often = match kind {
        ThresholdKind::Limit => format!("at most {count} times{within}"),
        ThresholdKind::Threshold => format!("at every {count}th match{within}"),
        ThresholdKind::Both => format!("once after {count} matches{within}"),
        ThresholdKind::Backoff => {
            format!("after {count} matches, then after {multiplier} times as many each time")
        }
        ThresholdKind::Filter => format!("at each match after the first {count}{within}"),
    };
    let unique = match unique {
        None => "",
        Some(false) => ", counting distinct source ports",
        Some(true) => ", counting distinct destination ports",
    };
    format!(", {often} for each {track}{unique}")
}

/// How the engine tries it.
fn plan(rule: &Rule, lines: &mut Vec<String>) {
    lines.push("how it is tried".to_owned());
    let plan = Engine::plan(rule);
    lines.push(format!(
        "  on {}",
        match plan.on {
            PlanUnit::Transaction => "each transaction",
            PlanUnit::Stream => "the reassembled stream",
            PlanUnit::StreamEvent => "what happens to a stream",
            PlanUnit::Packet => "each packet",
        }
    ));
    if let Some(application) = rule.application {
        lines.push(format!("  application protocol: {}", application.name()));
    }
    lines.push(match plan.pattern {
        Some((target, pattern)) => format!(
            "  searched first (fast pattern): {} in {}",
            words::bytes(pattern),
            words::target(target)
        ),
        None => "  no fast pattern: it is tried on everything of its kind".to_owned(),
    });
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
