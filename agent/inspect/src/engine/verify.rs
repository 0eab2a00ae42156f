//! Whether one rule matches: header, flow, packet fields, and contents by backtracking.

use super::{Inspection, Rule, Unit};
use crate::{
    decode::Transport,
    packet::SocketId,
    rule::{Content, Protocol},
};

/// Positions tried for one rule and evaluation. Rules with many relative contents on hostile data
/// would otherwise take exponential time.
const MAX_STEPS: u32 = 20_000;

/// Whether `rule` matches. `exceeded` counts evaluations that were given up.
pub(super) fn rule(rule: &Rule, inspection: &Inspection<'_>, exceeded: &mut u64) -> bool {
    if !addressed(rule, inspection) || !in_flow(rule, inspection) || !fields(rule, inspection) {
        return false;
    }
    let fresh = match (inspection.unit, rule.threshold) {
        // A rule that counts its matches must not count one twice.
        (Unit::Stream, Some(_)) => inspection.fresh,
        _ => 0,
    };
    let mut search = Search {
        inspection,
        fresh,
        steps: MAX_STEPS,
    };
    let found = search.contents(&rule.contents, None, 0);
    if search.steps == 0 {
        *exceeded += 1;
    }
    found
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
    between(rule, source, destination) || rule.bidirectional && between(rule, destination, source)
}

fn between(rule: &Rule, source: SocketId, destination: SocketId) -> bool {
    let ports = matches!(
        rule.protocol,
        Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream | Protocol::Udp | Protocol::Sctp
    );
    rule.source.contains(source.address)
        && rule.destination.contains(destination.address)
        && (!ports
            || rule.source_port.contains(source.port)
                && rule.destination_port.contains(destination.port))
}

fn in_flow(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    let flow = inspection.flow;
    rule.flow
        .to_server
        .is_none_or(|wanted| wanted == flow.to_server)
        && rule
            .flow
            .established
            .is_none_or(|wanted| wanted == flow.established)
        && rule
            .flow
            .stream
            .is_none_or(|wanted| wanted == (inspection.unit == Unit::Stream))
}

fn fields(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    let headers = inspection.headers;
    let flags = rule.flags.is_none_or(|test| match headers.transport {
        Transport::Tcp { flags, .. } => test.matches(flags.0),
        _ => false,
    });
    let icmp = |wanted: Option<crate::rule::ItemRange>, field: fn(u8, u8) -> u8| {
        wanted.is_none_or(|range| match headers.transport {
            Transport::Icmp { kind, code, .. } => range.matches(field(kind, code).into()),
            _ => false,
        })
    };
    flags
        && rule
            .dsize
            .is_none_or(|range| range.matches(headers.payload_length))
        && icmp(rule.itype, |kind, _| kind)
        && icmp(rule.icode, |_, code| code)
}

struct Search<'a> {
    inspection: &'a Inspection<'a>,
    /// Some content must end after this position.
    fresh: usize,
    steps: u32,
}

impl Search<'_> {
    /// Whether `contents` are all there. `previous` is where the last one ended, `last` how far any
    /// has reached.
    fn contents(&mut self, contents: &[Content], previous: Option<usize>, last: usize) -> bool {
        let Some((content, rest)) = contents.split_first() else {
            return last >= self.fresh;
        };
        let Some((low, high)) = self.room(content, previous) else {
            // No room: a negated content is absent, a wanted one is missing.
            return content.negated && self.contents(rest, previous, last);
        };
        let data = self.inspection.data;
        if content.negated {
            let absent = self.next(content, data, low, high).is_none();
            return absent && self.contents(rest, previous, last);
        }
        let mut from = low;
        // Not the first occurrence alone: a later one may be the one that the rest follows.
        while let Some(start) = self.next(content, data, from, high) {
            let end = start + content.pattern.len();
            if self.contents(rest, Some(end), last.max(end)) {
                return true;
            }
            // Without a relative content behind it, another position changes nothing but `last`.
            if self.steps == 0 || !relative_follows(rest) && self.fresh == 0 {
                return false;
            }
            from = start + 1;
        }
        false
    }

    /// First position and end (exclusive) between which the pattern must lie, in `data`.
    fn room(&self, content: &Content, previous: Option<usize>) -> Option<(usize, usize)> {
        let length = i64::try_from(self.inspection.data.len()).ok()?;
        let (low, high) = if content.is_relative() {
            let previous = i64::try_from(previous.unwrap_or(0)).ok()?;
            let low = previous + i64::from(content.distance.unwrap_or(0));
            (low, content.within.map(|within| low + i64::from(within)))
        } else {
            // Counted from the stream's start, of which the window may show a later part.
            let shift = i64::try_from(self.inspection.data_start).ok()?;
            let offset = i64::from(content.offset.unwrap_or(0));
            (
                offset - shift,
                content.depth.map(|depth| offset + i64::from(depth) - shift),
            )
        };
        let low = low.max(0);
        let high = high.unwrap_or(length).min(length);
        let pattern = i64::try_from(content.pattern.len()).ok()?;
        let low = if content.endswith {
            low.max(length - pattern)
        } else {
            low
        };
        (low + pattern <= high).then_some((usize::try_from(low).ok()?, usize::try_from(high).ok()?))
    }

    /// First occurrence that lies in `low..high`.
    fn next(&mut self, content: &Content, data: &[u8], low: usize, high: usize) -> Option<usize> {
        let room = data.get(low..high)?;
        let pattern = content.pattern.as_slice();
        let first = *pattern.first()?;
        for (position, window) in room.windows(pattern.len()).enumerate() {
            // Comparing one byte is as good as free; a whole pattern is a step.
            let begins = window.first().is_some_and(|byte| {
                *byte == first || content.nocase && byte.eq_ignore_ascii_case(&first)
            });
            if !begins {
                continue;
            }
            self.steps = self.steps.checked_sub(1)?;
            let same = if content.nocase {
                window.eq_ignore_ascii_case(pattern)
            } else {
                window == pattern
            };
            if same {
                return Some(low + position);
            }
        }
        None
    }
}

/// Whether one of these contents counts from the one before the first of them.
fn relative_follows(rest: &[Content]) -> bool {
    rest.iter().any(Content::is_relative)
}
