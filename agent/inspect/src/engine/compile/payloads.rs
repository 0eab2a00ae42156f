//! Rules on packets and streams.

use std::{collections::HashMap, sync::Arc};

use super::super::{
    Inspection, Rule, Unit,
    addresses::Addresses,
    gate::few_ports,
    matcher::{Matcher, Noted, Pattern},
    pattern::{FastPattern, first_pattern},
};
use crate::{
    decode::Transport,
    protocol::{AppProtocol, registry},
    rule::{AboutFlow, PacketTest, Protocol, Target, Test},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The rules that look at payloads.
#[derive(Debug)]
pub(super) struct Payloads {
    /// Indexed by [`Kind`] and direction.
    groups: Vec<Group>,
    /// The unbounded patterns of streams and of TCP packets together, by direction: a segment in its place
    /// is searched once for both.
    segments: [Matcher; 2],
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    TcpStream,
    TcpPacket,
    Udp,
    Icmp,
    Other,
    Frame,
    StreamEvent,
}

const KINDS: [Kind; 7] = [
    Kind::TcpStream,
    Kind::TcpPacket,
    Kind::Udp,
    Kind::Icmp,
    Kind::Other,
    Kind::Frame,
    Kind::StreamEvent,
];

/// As what a segment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Side {
    Stream,
    Packet,
}

/// A group before its patterns are compiled.
#[derive(Default)]
struct Draft {
    patterns: Vec<Pattern>,
    others: Vec<u32>,
    addresses: Vec<(u32, Arc<Rule>)>,
    by_port: HashMap<u16, Vec<Pattern>>,
    by_protocol: HashMap<AppProtocol, Vec<Pattern>>,
}

/// Rules for one kind and direction.
#[derive(Debug)]
struct Group {
    matcher: Matcher,
    /// Rules without a pattern to search for.
    others: Vec<u32>,
    /// Rules about nothing but addresses, tried once in each direction of a flow.
    addresses: Addresses,
    /// Patterns that take a pass over the data of their own, of rules that are about few ports or
    /// one protocol: made only where it is these.
    by_port: HashMap<u16, Matcher>,
    by_protocol: Vec<(AppProtocol, Matcher)>,
}

impl Payloads {
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let of = |kind| [false, true].map(|to_server| (kind, to_server));
        let drafts = KINDS.into_iter().flat_map(of);
        let drafts: Vec<Draft> = drafts
            .map(|(kind, to_server)| Draft::new(rules, kind, to_server))
            .collect();
        let segments = [false, true].map(|to_server| {
            let kinds = [Kind::TcpStream, Kind::TcpPacket];
            let drafts = kinds.map(|kind| drafts.get(kind.position(to_server)));
            let patterns = drafts.into_iter().flatten().flat_map(|it| &it.patterns);
            Matcher::anywhere(patterns.cloned().collect())
        });
        Self {
            groups: drafts.into_iter().map(Group::new).collect(),
            segments,
        }
    }

    /// Hands the rules that could match to `candidate`, some more than once.
    pub(super) fn candidates(
        &self,
        inspection: &Inspection<'_>,
        fresh: usize,
        noted: &mut Noted,
        mut candidate: impl FnMut(u32),
    ) {
        let Some(group) = self.group(inspection) else {
            return;
        };
        let (data, start) = (inspection.data, inspection.data_start);
        group
            .matcher
            .find(data, start, fresh, noted, &mut candidate);
        group.special(inspection, fresh, noted, candidate);
    }

    /// The same for a segment that came in its place, as a part of the stream and as a packet: each rule
    /// goes to the one or the other, those whose pattern is in the stream to both.
    pub(super) fn of_segment(
        &self,
        stream: &Inspection<'_>,
        packet: &Inspection<'_>,
        fresh: usize,
        noted: &mut Noted,
        mut candidate: impl FnMut(u32, Side),
    ) {
        let Some(matcher) = self.segments.get(usize::from(stream.flow.to_server)) else {
            return;
        };
        let mut both = |rule| {
            candidate(rule, Side::Stream);
            candidate(rule, Side::Packet);
        };
        matcher.find(stream.data, stream.data_start, fresh, noted, &mut both);
        for (inspection, fresh, side) in [(stream, fresh, Side::Stream), (packet, 0, Side::Packet)]
        {
            let mut candidate = |rule| candidate(rule, side);
            if let Some(group) = self.group(inspection) {
                let (data, start) = (inspection.data, inspection.data_start);
                group
                    .matcher
                    .find_head(data, start, fresh, noted, &mut candidate);
                group.special(inspection, fresh, noted, candidate);
            }
        }
    }

    fn group(&self, inspection: &Inspection<'_>) -> Option<&Group> {
        let kind = match (inspection.unit, inspection.headers.transport) {
            (Unit::Stream, _) => Kind::TcpStream,
            (Unit::Frame, _) => Kind::Frame,
            (Unit::StreamEvent, _) => Kind::StreamEvent,
            (Unit::Packet, _) if inspection.headers.protocol == TCP => Kind::TcpPacket,
            (Unit::Packet, _) if inspection.headers.protocol == UDP => Kind::Udp,
            (Unit::Packet, Transport::Icmp { .. }) => Kind::Icmp,
            (Unit::Packet, _) => Kind::Other,
        };
        self.groups.get(kind.position(inspection.flow.to_server))
    }
}

impl Kind {
    /// Where its group of a direction is.
    fn position(self, to_server: bool) -> usize {
        let kind = KINDS.iter().position(|of| *of == self);
        kind.unwrap_or(0) * 2 + usize::from(to_server)
    }
}

impl Group {
    fn new(draft: Draft) -> Self {
        let by_port = draft.by_port.into_iter();
        let by_protocol = draft.by_protocol.into_iter();
        let addresses = draft.addresses.iter();
        Self {
            matcher: Matcher::new(draft.patterns),
            by_port: by_port.map(|(port, of)| (port, Matcher::new(of))).collect(),
            by_protocol: by_protocol.map(|(it, of)| (it, Matcher::new(of))).collect(),
            others: draft.others,
            addresses: Addresses::new(addresses.map(|(index, rule)| (*index, &**rule))),
        }
    }

    /// What there is beside the patterns that all data are searched for.
    fn special(
        &self,
        inspection: &Inspection<'_>,
        fresh: usize,
        noted: &mut Noted,
        mut candidate: impl FnMut(u32),
    ) {
        let flow = &inspection.flow;
        let ports = inspection.headers.ports();
        let port = if flow.to_server { ports.1 } else { ports.0 };
        let (data, start) = (inspection.data, inspection.data_start);
        let mut find = |matcher: &Matcher| {
            matcher.find(data, start, fresh, noted, &mut candidate);
        };
        self.by_port.get(&port).into_iter().for_each(&mut find);
        for (protocol, matcher) in &self.by_protocol {
            let speaks = flow.application.map(|spoken| protocol.includes(spoken));
            // While it is not known, what is found is kept in mind.
            if speaks.unwrap_or(!flow.application_failed) {
                find(matcher);
            }
        }
        self.others.iter().for_each(|rule| candidate(*rule));
        let [to_server, to_client] = flow.packets;
        let sent = if flow.to_server { to_server } else { to_client };
        // Their answer is the same for all packets of a flow.
        if sent <= 1 {
            let (source, destination) = (inspection.headers.source, inspection.headers.destination);
            self.addresses.find(source, destination, candidate);
        }
    }
}

impl Draft {
    fn new(rules: &[Arc<Rule>], kind: Kind, to_server: bool) -> Self {
        let mut draft = Self::default();
        for (index, rule) in (0_u32..).zip(rules) {
            let direction = rule.flow.to_server.is_none_or(|wanted| wanted == to_server);
            let fast = first_pattern(rule);
            let hints = hints_at(rule, kind, fast);
            if !direction || !hints && !looks_at(rule, kind) {
                continue;
            }
            match fast {
                Some(fast) => draft.add(index, rule, fast, to_server),
                None if rule.about_flow() == Some(AboutFlow::Addresses) => {
                    draft.addresses.push((index, Arc::clone(rule)));
                }
                None => draft.others.push(index),
            }
        }
        draft
    }

    fn add(&mut self, index: u32, rule: &Rule, fast: FastPattern<'_>, to_server: bool) {
        let pattern = Pattern {
            bytes: fast.bytes.to_vec(),
            bound: fast.bound,
            rule: index,
        };
        let ports = few_ports(rule, to_server);
        match (pattern.takes_a_pass(), ports, rule.application) {
            (true, Some(ports), _) => {
                for port in ports {
                    self.by_port.entry(port).or_default().push(pattern.clone());
                }
            }
            (true, None, Some(protocol)) => {
                self.by_protocol.entry(protocol).or_default().push(pattern);
            }
            _ => self.patterns.push(pattern),
        }
    }
}

/// Whether a rule on transactions has its pattern in payloads of this kind.
fn hints_at(rule: &Rule, kind: Kind, fast: Option<FastPattern<'_>>) -> bool {
    let transport = match kind {
        Kind::TcpStream => registry::Transport::Tcp,
        Kind::Udp => registry::Transport::Udp,
        _ => return false,
    };
    let carried = rule
        .application
        .is_none_or(|protocol| registry::carries(transport, protocol));
    carried
        && rule.on_transactions()
        && fast.is_some_and(|fast| fast.group.target == Target::Payload)
}

pub(super) fn looks_at(rule: &Rule, kind: Kind) -> bool {
    if rule.on_transactions() {
        return false;
    }
    let any = matches!(
        rule.protocol,
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::Packet | Protocol::Ether
    );
    let event = rule
        .packet
        .iter()
        .any(|test| matches!(test, PacketTest::StreamEvent(_)));
    if event || kind == Kind::StreamEvent {
        return event && kind == Kind::StreamEvent;
    }
    match kind {
        Kind::StreamEvent => false,
        Kind::Frame => {
            let event = |test: &PacketTest| matches!(test, PacketTest::DecodeEvent(_));
            any || rule.protocol == Protocol::Arp || rule.packet.iter().any(event)
        }
        Kind::TcpStream => on_stream(rule),
        Kind::TcpPacket => match rule.protocol {
            Protocol::Tcp | Protocol::Application(_) => !on_stream(rule) || is_anchored(rule),
            Protocol::TcpPacket => true,
            _ => any,
        },
        Kind::Udp => match rule.protocol {
            Protocol::Udp => true,
            Protocol::Application(it) => registry::carries(registry::Transport::Udp, it),
            _ => any,
        },
        Kind::Icmp => any || matches!(rule.protocol, Protocol::Icmp | Protocol::Icmpv6),
        Kind::Other => {
            any || matches!(
                rule.protocol,
                Protocol::Sctp | Protocol::Igmp | Protocol::Arp
            )
        }
    }
}

/// Whether a rule on the stream is matched on single packets too: messages of many protocols begin
/// where packets do, and a content that must be at a place may mean that of such a message.
fn is_anchored(rule: &Rule) -> bool {
    let anchored = |test: &Test| {
        let content = test.content();
        content.is_some_and(|it| it.offset.is_some() || it.depth.is_some())
    };
    rule.flow.stream.is_none()
        && rule
            .payload()
            .is_some_and(|group| group.tests.iter().any(anchored))
}

/// Whether a test's answer is the same for each packet that a stream is made of, or is about all of them.
const fn of_flow(test: &PacketTest) -> bool {
    matches!(
        test,
        PacketTest::StreamSize(..) | PacketTest::Protocol(_) | PacketTest::Reputation(_)
    )
}

/// Whether a rule is matched on the reassembled stream: it has content, and nothing in it asks for a
/// single packet.
fn on_stream(rule: &Rule) -> bool {
    let packet = rule.flow.stream == Some(false)
        || rule
            .groups
            .iter()
            .any(|group| matches!(group.target, Target::Header(_)))
        || rule.packet.iter().any(|test| !of_flow(test));
    match rule.protocol {
        Protocol::TcpStream => rule.payload().is_some(),
        Protocol::Tcp | Protocol::Application(_) => rule.payload().is_some() && !packet,
        _ => false,
    }
}
