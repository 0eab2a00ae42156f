//! Rules into groups, so that only those are tried that could match.

use std::sync::Arc;

use super::{Inspection, Rule, Scratch, Unit, matcher::Matcher};
use crate::{decode::Transport, rule::Protocol};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// All rules, in groups by what they look at and in which direction.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rules: Vec<Arc<Rule>>,
    /// Indexed by [`Kind`] and direction.
    groups: Vec<Group>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TcpStream,
    TcpPacket,
    Udp,
    Icmp,
    Other,
}

const KINDS: [Kind; 5] = [
    Kind::TcpStream,
    Kind::TcpPacket,
    Kind::Udp,
    Kind::Icmp,
    Kind::Other,
];

/// Rules for one kind and direction.
#[derive(Debug)]
struct Group {
    matcher: Matcher,
    /// Rules without a pattern to search for.
    others: Vec<u32>,
}

impl Compiled {
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut groups = Vec::new();
        for kind in KINDS {
            for to_server in [false, true] {
                groups.push(Group::new(rules, kind, to_server));
            }
        }
        Self {
            rules: rules.to_vec(),
            groups,
        }
    }

    /// Notes the rules that could match. Patterns are searched for where they end after `fresh`.
    pub(super) fn candidates(
        &self,
        inspection: &Inspection<'_>,
        fresh: usize,
        scratch: &mut Scratch,
    ) {
        let kind = match (inspection.unit, inspection.headers.transport) {
            (Unit::Stream, _) => Kind::TcpStream,
            (Unit::Packet, _) if inspection.headers.protocol == TCP => Kind::TcpPacket,
            (Unit::Packet, _) if inspection.headers.protocol == UDP => Kind::Udp,
            (Unit::Packet, Transport::Icmp { .. }) => Kind::Icmp,
            (Unit::Packet, _) => Kind::Other,
        };
        let position = KINDS.iter().position(|of| *of == kind).unwrap_or(0) * 2;
        let Some(group) = self
            .groups
            .get(position + usize::from(inspection.flow.to_server))
        else {
            return;
        };
        group.matcher.find(inspection.data, fresh, |rule| {
            scratch.candidate(rule);
        });
        for rule in &group.others {
            scratch.candidate(*rule);
        }
    }
}

impl Group {
    fn new(rules: &[Arc<Rule>], kind: Kind, to_server: bool) -> Self {
        let mut patterns = Vec::new();
        let mut others = Vec::new();
        for (index, rule) in (0_u32..).zip(rules) {
            let direction = rule.flow.to_server.is_none_or(|wanted| wanted == to_server);
            if !direction || !looks_at(rule, kind) {
                continue;
            }
            match fast_pattern(rule) {
                Some(pattern) => patterns.push((pattern.to_vec(), index)),
                None => others.push(index),
            }
        }
        Self {
            matcher: Matcher::new(patterns),
            others,
        }
    }
}

fn looks_at(rule: &Rule, kind: Kind) -> bool {
    match kind {
        Kind::TcpStream => on_stream(rule),
        Kind::TcpPacket => match rule.protocol {
            Protocol::Tcp => !on_stream(rule),
            Protocol::TcpPacket | Protocol::Ip => true,
            _ => false,
        },
        Kind::Udp => matches!(rule.protocol, Protocol::Udp | Protocol::Ip),
        Kind::Icmp => matches!(rule.protocol, Protocol::Icmp | Protocol::Ip),
        Kind::Other => matches!(rule.protocol, Protocol::Sctp | Protocol::Ip),
    }
}

/// Whether a rule is matched on the reassembled stream: it has content, and nothing in it asks for a
/// single packet.
fn on_stream(rule: &Rule) -> bool {
    let packet = rule.flags.is_some() || rule.dsize.is_some() || rule.flow.stream == Some(false);
    match rule.protocol {
        Protocol::TcpStream => !rule.contents.is_empty(),
        Protocol::Tcp => !rule.contents.is_empty() && !packet,
        _ => false,
    }
}

/// What every HTTP message has. As a fast pattern it would make a rule half found, and tried again
/// with each segment, on all of them.
const ORDINARY: [&[u8]; 9] = [
    b"get /",
    b"post /",
    b"put /",
    b" http/1.1\r\n\r\n",
    b"\r\nhost: ",
    b"\r\nuser-agent: ",
    b"\r\naccept: */*",
    b"\r\ncontent-type: ",
    b"\r\ncontent-length: ",
];

/// The pattern to search for first: the author's choice, else the longest that must be there and is
/// not ordinary.
fn fast_pattern(rule: &Rule) -> Option<&[u8]> {
    let wanted = || rule.contents.iter().filter(|content| !content.negated);
    wanted()
        .find(|content| content.fast_pattern)
        .or_else(|| {
            wanted().max_by_key(|content| (!ordinary(&content.pattern), content.pattern.len()))
        })
        .map(|content| content.pattern.as_slice())
}

fn ordinary(pattern: &[u8]) -> bool {
    ORDINARY.iter().any(|text| {
        text.windows(pattern.len().max(1))
            .any(|part| part.eq_ignore_ascii_case(pattern))
    })
}
