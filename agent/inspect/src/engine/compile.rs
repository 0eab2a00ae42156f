//! Rules into groups, so that only those are tried that could match.

use std::{collections::HashMap, sync::Arc};

use super::{
    Inspection, Rule, Scratch, Unit, matcher::Matcher, pattern::fast_pattern, state::States,
};
use crate::{
    decode::Transport,
    flow::Direction,
    protocol::{AppProtocol, Buffer, Stage, Transaction},
    rule::{AboutFlow, PacketTest, Protocol, StateChange, StateTest, Target, Transform},
    signature::Action,
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// All rules, in groups by what they look at and in which direction.
#[derive(Debug)]
pub(super) struct Compiled {
    /// In the order in which they are tried: `pass` first, and who sets a bit before who asks for it.
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) states: Vec<States>,
    pub(super) about_flow: Vec<Option<AboutFlow>>,
    /// See [`Rule::decided_at`].
    decided_at: Vec<Option<Stage>>,
    /// A rule asks for the hash of a file or mail.
    pub(super) hashes: bool,
    /// Payloads, indexed by [`Kind`] and direction.
    groups: Vec<Group>,
    /// Buffers of transactions.
    lists: Vec<List>,
    /// Positions in `lists` for each buffer.
    by_buffer: Vec<Vec<usize>>,
    /// Rules on transactions without a pattern, by protocol (none: all) and direction.
    others: HashMap<(Option<AppProtocol>, bool), Vec<u32>>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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

/// Rules for one kind and direction.
#[derive(Debug)]
struct Group {
    matcher: Matcher,
    /// Rules without a pattern to search for.
    others: Vec<u32>,
    /// Of these: rules about nothing but addresses, tried once in each direction of a flow.
    addresses: Vec<u32>,
}

/// How a rule is tried, for who wants to know why it costs what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// What its tests are done on.
    pub on: PlanUnit,
    /// What is searched for first, and where: `None` when the rule is tried on everything.
    pub pattern: Option<(Target, &'a [u8])>,
}

/// What the tests of a rule are done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanUnit {
    /// Each transaction.
    Transaction,
    /// The reassembled stream.
    Stream,
    /// What happens to a stream.
    StreamEvent,
    /// Each packet.
    Packet,
}

impl<'a> Plan<'a> {
    pub(super) fn new(rule: &'a Rule) -> Self {
        let on = if rule.on_transactions() {
            PlanUnit::Transaction
        } else if looks_at(rule, Kind::StreamEvent) {
            PlanUnit::StreamEvent
        } else if looks_at(rule, Kind::TcpStream) {
            PlanUnit::Stream
        } else {
            PlanUnit::Packet
        };
        let pattern = fast_pattern(rule, |group| match group.target {
            Target::Transaction(_) => on == PlanUnit::Transaction && !rule.transactional,
            Target::Payload => on != PlanUnit::Transaction,
            _ => false,
        });
        Self {
            on,
            pattern: pattern.map(|(group, pattern)| (group.target, pattern)),
        }
    }
}

/// Rules that search one buffer after the same transforms.
#[derive(Debug)]
struct List {
    buffer: Buffer,
    transforms: Vec<Transform>,
    /// By direction: to the client, to the server.
    matchers: [Matcher; 2],
}

/// Patterns, each with its rule.
type Patterns = Vec<(Vec<u8>, u32)>;

impl Compiled {
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut rules = rules.to_vec();
        rules.sort_by_key(|rule| order(rule));
        let states = rules.iter().map(|rule| States::new(rule)).collect();
        let mut groups = Vec::new();
        for kind in KINDS {
            for to_server in [false, true] {
                groups.push(Group::new(&rules, kind, to_server));
            }
        }
        let mut compiled = Self {
            states,
            decided_at: rules.iter().map(|rule| rule.decided_at()).collect(),
            hashes: rules.iter().any(|rule| wants_hashes(rule)),
            about_flow: rules.iter().map(|rule| rule.about_flow()).collect(),
            groups,
            lists: Vec::new(),
            by_buffer: vec![Vec::new(); Buffer::ALL.len()],
            others: HashMap::new(),
            rules: Vec::new(),
        };
        compiled.transactions(&rules);
        compiled.rules = rules;
        compiled
    }

    /// Groups the rules on transactions.
    fn transactions(&mut self, rules: &[Arc<Rule>]) {
        // Few lists: searching them costs less than a map of keys that hold patterns.
        let mut patterns: Vec<(Buffer, &[Transform], [Patterns; 2])> = Vec::new();
        for (index, rule) in (0_u32..).zip(rules) {
            if !rule.on_transactions() {
                continue;
            }
            let directions = [false, true].into_iter().filter(|to_server| {
                rule.flow
                    .to_server
                    .is_none_or(|wanted| wanted == *to_server)
            });
            let fast = fast_pattern(rule, |group| matches!(group.target, Target::Transaction(_)));
            for to_server in directions {
                match &fast {
                    Some((group, pattern)) if !rule.transactional => {
                        let Target::Transaction(buffer) = group.target else {
                            continue;
                        };
                        let known = patterns.iter().position(|(of, transforms, _)| {
                            *of == buffer && *transforms == group.transforms
                        });
                        let at = known.unwrap_or_else(|| {
                            patterns.push((buffer, &group.transforms, Default::default()));
                            patterns.len() - 1
                        });
                        let Some((.., [to_client, server])) = patterns.get_mut(at) else {
                            continue;
                        };
                        let list = if to_server { server } else { to_client };
                        list.push((pattern.to_vec(), index));
                    }
                    _ => self
                        .others
                        .entry((rule.application, to_server))
                        .or_default()
                        .push(index),
                }
            }
        }
        for (buffer, transforms, lists) in patterns {
            if let Some(positions) = self.by_buffer.get_mut(buffer.index()) {
                positions.push(self.lists.len());
            }
            self.lists.push(List {
                buffer,
                transforms: transforms.to_vec(),
                matchers: lists.map(Matcher::new),
            });
        }
    }

    /// Whether a rule that does not match where a transaction has come to `stage` never will.
    pub(super) fn decided(&self, rule: u32, stage: Stage) -> bool {
        let at = usize::try_from(rule)
            .ok()
            .and_then(|rule| self.decided_at.get(rule));
        at.copied().flatten().is_some_and(|at| at <= stage)
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
            (Unit::Frame, _) => Kind::Frame,
            (Unit::StreamEvent, _) => Kind::StreamEvent,
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
        let [to_server, to_client] = inspection.flow.packets;
        let sent = if inspection.flow.to_server {
            to_server
        } else {
            to_client
        };
        // Their lists can be long, and their answer is the same for all packets of a flow.
        let addresses = if sent <= 1 { &*group.addresses } else { &[] };
        for rule in group.others.iter().chain(addresses) {
            scratch.candidate(*rule);
        }
    }

    /// Adds the rules whose pattern is in what `transaction` has got in this direction since the
    /// last call to its candidates.
    pub(super) fn transaction_candidates(
        &self,
        transaction: &mut Transaction,
        protocol: Option<AppProtocol>,
        direction: Direction,
    ) {
        let to_server = direction == Direction::ToServer;
        let mut found = core::mem::take(&mut transaction.matching.candidates);
        let side = usize::from(to_server);
        let begun = transaction.matching.begun.get_mut(side);
        if begun.is_some_and(|begun| !core::mem::replace(begun, true)) {
            let special = protocol.and_then(|_| self.others.get(&(protocol, to_server)));
            let general = self.others.get(&(None, to_server));
            for rule in [special, general].into_iter().flatten().flatten() {
                push(&mut found, *rule);
            }
            // Rules about what the protocol is one of.
            for wider in [
                AppProtocol::Http,
                AppProtocol::Http1,
                AppProtocol::Http2,
                AppProtocol::Dns,
            ] {
                if protocol.is_some_and(|it| it != wider && wider.includes(it)) {
                    let rules = self.others.get(&(Some(wider), to_server));
                    for rule in rules.into_iter().flatten() {
                        push(&mut found, *rule);
                    }
                }
            }
        }
        for at in 0..transaction.instances().len() {
            let Some(instance) = transaction.instances().get(at) else {
                break;
            };
            if instance.direction != direction || instance.is_scanned() {
                continue;
            }
            let lists = self.by_buffer.get(instance.buffer.index());
            for list in lists
                .into_iter()
                .flatten()
                .filter_map(|at| self.lists.get(*at))
            {
                debug_assert_eq!(list.buffer, instance.buffer);
                let bytes = transaction.bytes(instance);
                let Some(matcher) = list.matchers.get(side) else {
                    continue;
                };
                if list.transforms.is_empty() {
                    matcher.find(bytes, instance.scanned(), |rule| push(&mut found, rule));
                } else if instance.is_closed() {
                    let mut data = std::borrow::Cow::Borrowed(bytes);
                    for transform in &list.transforms {
                        data = std::borrow::Cow::Owned(transform.apply(&data).into_owned());
                    }
                    matcher.find(&data, 0, |rule| push(&mut found, rule));
                }
            }
            transaction.mark_scanned(at);
        }
        transaction.matching.candidates = found;
    }
}

fn wants_hashes(rule: &Rule) -> bool {
    rule.groups.iter().any(|group| {
        matches!(
            group.target,
            Target::Transaction(
                Buffer::FileMd5 | Buffer::FileSha1 | Buffer::FileSha256 | Buffer::EmailBodyMd5
            )
        )
    })
}

/// Adds a rule once, in order.
fn push(rules: &mut Vec<u32>, rule: u32) {
    if let Err(at) = rules.binary_search(&rule) {
        rules.insert(at, rule);
    }
}

/// What is tried first: `pass`, then who only sets bits, who asks and sets, who only asks, then by
/// severity.
fn order(rule: &Rule) -> (bool, u8, u8) {
    let asks = rule
        .states
        .iter()
        .any(|test| matches!(test, StateTest::Bit { .. }));
    let sets = rule
        .changes
        .iter()
        .any(|change| matches!(change, StateChange::Bit { .. }));
    let bits = match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    (rule.action != Action::Pass, bits, rule.signature.severity)
}

impl Group {
    fn new(rules: &[Arc<Rule>], kind: Kind, to_server: bool) -> Self {
        let mut patterns = Vec::new();
        let mut others = Vec::new();
        let mut addresses = Vec::new();
        for (index, rule) in (0_u32..).zip(rules) {
            let direction = rule.flow.to_server.is_none_or(|wanted| wanted == to_server);
            if !direction || !looks_at(rule, kind) {
                continue;
            }
            match fast_pattern(rule, |group| group.target == Target::Payload) {
                Some((_, pattern)) => patterns.push((pattern.to_vec(), index)),
                None if rule.about_flow() == Some(AboutFlow::Addresses) => addresses.push(index),
                None => others.push(index),
            }
        }
        Self {
            matcher: Matcher::new(patterns),
            others,
            addresses,
        }
    }
}

fn looks_at(rule: &Rule, kind: Kind) -> bool {
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
            Protocol::Tcp | Protocol::Application(_) => !on_stream(rule),
            Protocol::TcpPacket => true,
            _ => any,
        },
        Kind::Udp => any || matches!(rule.protocol, Protocol::Udp | Protocol::Application(_)),
        Kind::Icmp => any || matches!(rule.protocol, Protocol::Icmp | Protocol::Icmpv6),
        Kind::Other => {
            any || matches!(
                rule.protocol,
                Protocol::Sctp | Protocol::Igmp | Protocol::Arp
            )
        }
    }
}

/// Whether a rule is matched on the reassembled stream: it has content, and nothing in it asks for a
/// single packet.
fn on_stream(rule: &Rule) -> bool {
    let packet = rule.flow.stream == Some(false)
        || rule
            .groups
            .iter()
            .any(|group| matches!(group.target, Target::Header(_)))
        || rule.packet.iter().any(|test| {
            !matches!(
                test,
                PacketTest::StreamSize(..) | PacketTest::Protocol { .. }
            )
        });
    match rule.protocol {
        Protocol::TcpStream => rule.payload().is_some(),
        Protocol::Tcp | Protocol::Application(_) => rule.payload().is_some() && !packet,
        _ => false,
    }
}
