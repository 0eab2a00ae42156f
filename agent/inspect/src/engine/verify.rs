//! Whether one rule matches: header, flow, packet, transaction, then its groups of tests.

use std::borrow::Cow;

use super::{
    Inspection, Rule, Unit,
    gate::has_ports,
    packet,
    search::{Outcome, Search, Work},
};
use crate::{
    decode::PacketView,
    packet::SocketId,
    protocol::{Instance, Stage, Transaction},
    rule::{Group, HeaderBuffer, Protocol, Target, Test, address_key},
};

/// What is known of a rule after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It matches.
    Match,
    /// It may match when more of the stream has arrived; not before the content of this index has,
    /// if one is known.
    NotYet(Option<usize>),
    /// Whatever follows in this direction, it does not match.
    Never,
}

/// Whether `rule` matches. `after` is a position in the data: some content must end behind it.
/// `exceeded` counts evaluations that were given up.
pub(super) fn rule(
    rule: &Rule,
    inspection: &Inspection<'_>,
    after: usize,
    exceeded: &mut u64,
) -> Verdict {
    if !in_direction(rule, inspection) || !addressed(rule, inspection) {
        return Verdict::Never;
    }
    if !speaks(rule, inspection) {
        let failed = inspection.flow.application_failed;
        let known = inspection.flow.application.is_some() && inspection.transaction.is_none();
        return if known || failed {
            Verdict::Never
        } else {
            Verdict::NotYet(None)
        };
    }
    if !established(rule, inspection)
        || !rule
            .packet
            .iter()
            .all(|test| packet::passes(test, inspection))
        || !transaction(rule, inspection)
    {
        return Verdict::NotYet(None);
    }
    let mut work = Work::new();
    let verdict = groups(rule, inspection, after, &mut work);
    *exceeded += u64::from(work.exceeded);
    verdict
}

fn groups(rule: &Rule, inspection: &Inspection<'_>, after: usize, work: &mut Work) -> Verdict {
    let mut later = Verdict::Match;
    for group in &rule.groups {
        let verdict = match group.target {
            Target::Payload => match payload(group, inspection, after, work) {
                // The window of the stream is another when more of the transaction comes.
                Verdict::Never if inspection.transaction.is_some() => Verdict::NotYet(None),
                verdict => verdict,
            },
            Target::Transaction(_) => instances(rule, group, inspection, work),
            Target::Header(HeaderBuffer::SctpChunkData) => {
                let mut chunks = inspection
                    .view
                    .into_iter()
                    .flat_map(PacketView::sctp_chunks);
                if chunks.any(|chunk| whole(group, chunk.data, work) == Verdict::Match) {
                    Verdict::Match
                } else {
                    Verdict::Never
                }
            }
            Target::Header(header) => match header_bytes(header, inspection) {
                Some(bytes) => whole(group, &bytes, work),
                None => Verdict::Never,
            },
            Target::Base64 => {
                let decoded = core::mem::take(&mut work.base64);
                let verdict = whole(group, &decoded, work);
                work.base64 = decoded;
                verdict
            }
            Target::Identity(_) => Verdict::Match,
        };
        match verdict {
            Verdict::Match => {}
            // What comes later may extract what this one needs: nothing behind it can be tried.
            Verdict::NotYet(_) => {
                later = verdict;
                break;
            }
            Verdict::Never => return Verdict::Never,
        }
    }
    later
}

/// Whether the tests of a group pass on these bytes alone.
pub(super) fn whole(group: &Group, bytes: &[u8], work: &mut Work) -> Verdict {
    let bytes = transformed(group, bytes);
    match Search::new(&bytes, work).group(&group.tests) {
        Outcome::Found => Verdict::Match,
        _ => Verdict::NotYet(None),
    }
}

fn payload(group: &Group, inspection: &Inspection<'_>, after: usize, work: &mut Work) -> Verdict {
    let mut search = Search {
        start: inspection.data_start,
        fresh: after,
        ..Search::new(inspection.data, work)
    };
    let outcome = search.group(&group.tests);
    match outcome {
        Outcome::Found => Verdict::Match,
        _ if search.never => Verdict::Never,
        _ => Verdict::NotYet(search.awaited),
    }
}

/// Some instance of the buffer passes; or there is none, and the rule wants that.
fn instances(rule: &Rule, group: &Group, inspection: &Inspection<'_>, work: &mut Work) -> Verdict {
    let Some(transaction) = inspection.transaction else {
        return Verdict::NotYet(None);
    };
    let needs_end = group.tests.iter().any(Test::needs_end) || !group.transforms.is_empty();
    let mut any = false;
    let mut open = false;
    for instance in transaction.instances() {
        if !concerns(rule, group, instance, inspection) {
            continue;
        }
        any = true;
        if needs_end && !instance.is_closed() {
            open = true;
            continue;
        }
        let bytes = transformed(group, transaction.bytes(instance));
        let mut search = Search {
            open: !instance.is_closed(),
            little_endian: transaction.is_little_endian(instance.direction),
            ..Search::new(&bytes, work)
        };
        if search.group(&group.tests) == Outcome::Found {
            return Verdict::Match;
        }
    }
    let Target::Transaction(buffer) = group.target else {
        return Verdict::NotYet(None);
    };
    let over = transaction.stage(inspection.flow.direction()) >= buffer.complete_at();
    let absent = group
        .tests
        .iter()
        .any(|test| matches!(test, Test::Absent { .. }));
    if absent && !any && !open && over {
        return Verdict::Match;
    }
    // What is over stays as it is.
    if over && !open && !rule.transactional {
        Verdict::Never
    } else {
        Verdict::NotYet(None)
    }
}

/// Whether an instance is of the group's buffer, and of the direction that is looked at.
pub(super) fn concerns(
    rule: &Rule,
    group: &Group,
    instance: &Instance,
    inspection: &Inspection<'_>,
) -> bool {
    group.target == Target::Transaction(instance.buffer)
        && (rule.transactional || instance.direction == inspection.flow.direction())
}

fn transformed<'a>(group: &Group, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let mut bytes = Cow::Borrowed(bytes);
    for transform in &group.transforms {
        bytes = match bytes {
            Cow::Borrowed(borrowed) => transform.apply(borrowed),
            Cow::Owned(owned) => Cow::Owned(transform.apply(&owned).into_owned()),
        };
    }
    bytes
}

/// Whether the content of this index ends in bytes that were not evaluated before.
pub(super) fn arrived(rule: &Rule, content: usize, inspection: &Inspection<'_>) -> bool {
    let tests = rule
        .payload()
        .map_or(&[][..], |group| group.tests.as_slice());
    let Some(content) = tests.get(content).and_then(Test::content) else {
        return true;
    };
    let before = content.pattern.len().saturating_sub(1);
    let low = inspection.fresh.saturating_sub(before);
    let mut work = Work::new();
    work.left = usize::MAX;
    let mut search = Search::new(inspection.data, &mut work);
    search.next(content, low, inspection.data.len()).is_some()
}

fn addressed(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    let headers = inspection.headers;
    let (source_port, destination_port) = headers.ports();
    let source = SocketId {
        address: headers.source,
        port: source_port,
    };
    let destination = SocketId {
        address: headers.destination,
        port: destination_port,
    };
    // What has no addresses is at no place that a rule could name.
    let nowhere = matches!(
        rule.protocol,
        Protocol::Packet | Protocol::Ether | Protocol::Arp
    ) && inspection.unit == Unit::Frame;
    of_protocol(rule, inspection)
        && (nowhere
            || between(rule, source, destination)
            || (rule.bidirectional || rule.transactional) && between(rule, destination, source))
}

fn of_protocol(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    let protocol = inspection.headers.protocol;
    match rule.protocol {
        Protocol::Icmp => matches!(protocol, 1 | 58),
        Protocol::Arp => inspection.view.is_some_and(|view| !view.arp.is_empty()),
        Protocol::Ether => inspection
            .view
            .is_some_and(|view| !view.ethernet.is_empty()),
        Protocol::Ip => inspection.view.is_none_or(|view| !view.ip.is_empty()),
        Protocol::Ipv4 => inspection.headers.source.is_ipv4(),
        Protocol::Ipv6 => inspection.headers.source.is_ipv6(),
        other => other.transport().is_none_or(|wanted| wanted == protocol),
    }
}

fn between(rule: &Rule, source: SocketId, destination: SocketId) -> bool {
    (!has_ports(rule)
        || rule.source_port.contains(source.port)
            && rule.destination_port.contains(destination.port))
        && rule.source.contains(source.address)
        && rule.destination.contains(destination.address)
}

fn in_direction(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    let stream = inspection.unit == Unit::Stream;
    rule.flow
        .to_server
        .is_none_or(|wanted| wanted == inspection.flow.to_server)
        && (inspection.transaction.is_some()
            || rule.flow.stream.is_none_or(|wanted| wanted == stream))
        && rule
            .flow
            .fragmented
            .is_none_or(|wanted| wanted == inspection.flow.fragmented)
}

/// Whether the flow speaks what the rule is about.
fn speaks(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    match rule.application {
        None => true,
        Some(wanted) => inspection
            .flow
            .application
            .is_some_and(|spoken| wanted.includes(spoken)),
    }
}

fn established(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    rule.flow
        .established
        .is_none_or(|wanted| wanted == inspection.flow.established)
}

/// Numbers and events of the transaction.
fn transaction(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    if rule.numbers.is_empty() && rule.events.is_empty() {
        return true;
    }
    let Some(transaction) = inspection.transaction else {
        return false;
    };
    numbers(rule, transaction, inspection)
        && rule.events.iter().all(|event| {
            transaction.events().iter().any(|(direction, raised)| {
                raised == event && *direction == inspection.flow.direction()
            })
        })
}

fn numbers(rule: &Rule, transaction: &Transaction, inspection: &Inspection<'_>) -> bool {
    let direction = inspection.flow.direction();
    rule.numbers.iter().all(|test| {
        let both = test.field.of_exchange() || rule.transactional;
        let over = |side| transaction.stage(side) == Stage::Complete;
        let all_came = over(direction) && (!both || over(direction.reverse()));
        let here = both
            || test
                .field
                .only_to_server()
                .is_none_or(|only| only == inspection.flow.to_server);
        here && (all_came || !test.needs_all())
            && test.matches(transaction.numbers(), |side| both || side == direction)
    })
}

fn header_bytes<'a>(header: HeaderBuffer, inspection: &Inspection<'a>) -> Option<Cow<'a, [u8]>> {
    match header {
        HeaderBuffer::IpSource => Some(Cow::Owned(address_key(inspection.headers.source).to_vec())),
        HeaderBuffer::IpDestination => Some(Cow::Owned(
            address_key(inspection.headers.destination).to_vec(),
        )),
        header => {
            let view = inspection.view?;
            let bytes = match header {
                HeaderBuffer::Ether => Some(view.ethernet).filter(|bytes| !bytes.is_empty()),
                HeaderBuffer::Ipv4 => view.ipv4(),
                HeaderBuffer::Ipv6 => view.ipv6(),
                HeaderBuffer::Tcp => view.tcp(),
                HeaderBuffer::Udp => view.udp(),
                HeaderBuffer::Icmpv4 => view.icmpv4(),
                HeaderBuffer::Icmpv6 => view.icmpv6(),
                HeaderBuffer::Igmp => view.igmp(),
                HeaderBuffer::Sctp => view.sctp().map(|_| view.message),
                HeaderBuffer::SctpChunkData
                | HeaderBuffer::IpSource
                | HeaderBuffer::IpDestination => None,
            };
            bytes.map(Cow::Borrowed)
        }
    }
}
