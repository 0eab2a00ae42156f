//! Whether one rule matches: header, flow, packet fields, and contents by backtracking.

use super::{Inspection, Rule, Unit};
use crate::{
    decode::Transport,
    packet::SocketId,
    rule::{Content, Protocol},
};

/// Bytes compared for one rule and evaluation. Rules with many relative contents on hostile data
/// would otherwise take exponential time.
const MAX_WORK: usize = 2 << 20;
/// What comparing a whole pattern costs, in bytes scanned.
const COMPARISON: usize = 8;

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

/// Whether `rule` matches. `exceeded` counts evaluations that were given up.
pub(super) fn rule(rule: &Rule, inspection: &Inspection<'_>, exceeded: &mut u64) -> Verdict {
    if !addressed(rule, inspection) || !in_direction(rule, inspection) {
        return Verdict::Never;
    }
    if !established(rule, inspection) || !fields(rule, inspection) {
        return Verdict::NotYet(None);
    }
    let fresh = match (inspection.unit, rule.threshold) {
        // A rule that counts its matches must not count one twice.
        (Unit::Stream, Some(_)) => inspection.fresh,
        _ => 0,
    };
    let mut search = Search {
        inspection,
        fresh,
        work: MAX_WORK,
        exceeded: false,
        never: false,
        count: rule.contents.len(),
        awaited: None,
    };
    let outcome = search.contents(&rule.contents, None, 0);
    *exceeded += u64::from(search.exceeded);
    match outcome {
        Outcome::Found => Verdict::Match,
        _ if search.never => Verdict::Never,
        _ => Verdict::NotYet(search.awaited),
    }
}

/// Whether the content of this index ends in bytes that were not evaluated before.
pub(super) fn arrived(rule: &Rule, content: usize, inspection: &Inspection<'_>) -> bool {
    let Some(content) = rule.contents.get(content) else {
        return true;
    };
    let mut search = Search {
        inspection,
        fresh: 0,
        work: usize::MAX,
        exceeded: false,
        never: false,
        count: 0,
        awaited: None,
    };
    let before = content.pattern.len().saturating_sub(1);
    let low = inspection.fresh.saturating_sub(before);
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

fn in_direction(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    rule.flow
        .to_server
        .is_none_or(|wanted| wanted == inspection.flow.to_server)
        && rule
            .flow
            .stream
            .is_none_or(|wanted| wanted == (inspection.unit == Unit::Stream))
}

fn established(rule: &Rule, inspection: &Inspection<'_>) -> bool {
    rule.flow
        .established
        .is_none_or(|wanted| wanted == inspection.flow.established)
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
    /// Some content must end after this position; 0 when it does not matter where.
    fresh: usize,
    /// Bytes that may still be compared.
    work: usize,
    exceeded: bool,
    /// A content decides against the rule for good.
    never: bool,
    /// Contents of the rule.
    count: usize,
    /// Index of a content that was nowhere to be found: no match without it.
    awaited: Option<usize>,
}

/// How the contents from one on were found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found,
    /// Not with the contents before them where they are.
    Missing,
    /// Not with the contents before them at any later position either.
    Hopeless,
}

impl Search<'_> {
    /// Looks for `contents`. `previous` is where the last one ended, `last` how far any has reached.
    fn contents(&mut self, contents: &[Content], previous: Option<usize>, last: usize) -> Outcome {
        let Some((content, rest)) = contents.split_first() else {
            return if self.fresh == 0 || last > self.fresh {
                Outcome::Found
            } else {
                Outcome::Missing
            };
        };
        // From a later position on, what is not limited by `within` can only see less.
        let narrowing = content.within.is_none();
        let room = self.room(content, previous);
        if content.negated {
            let found = room.and_then(|(low, high)| self.next(content, low, high));
            return match found {
                None if self.exceeded => Outcome::Hopeless,
                None => self.contents(rest, previous, last),
                Some(_) if content.is_relative() => Outcome::Missing,
                Some(_) => {
                    self.never |= !content.endswith;
                    Outcome::Hopeless
                }
            };
        }
        let mut anywhere = false;
        if let Some((low, high)) = room {
            let mut from = low;
            // Not the first occurrence alone: a later one may be the one that the rest follows.
            while let Some(start) = self.next(content, from, high) {
                anywhere = true;
                let end = start + content.pattern.len();
                match self.contents(rest, Some(end), last.max(end)) {
                    Outcome::Missing => from = start + 1,
                    decided => return decided,
                }
            }
        }
        if !anywhere {
            self.never |= !self.exceeded && self.in_view(content);
            if narrowing && !content.endswith && !self.exceeded {
                self.awaited = Some(self.count - contents.len());
            }
        }
        if self.exceeded || narrowing && (!anywhere || self.fresh == 0) {
            Outcome::Hopeless
        } else {
            Outcome::Missing
        }
    }

    /// Whether all places in which the content may lie are in the data.
    fn in_view(&self, content: &Content) -> bool {
        let inspection = self.inspection;
        let offset = u64::from(content.offset.unwrap_or(0));
        let end = inspection
            .data_start
            .saturating_add(inspection.data.len() as u64);
        !content.is_relative()
            && !content.endswith
            && offset >= inspection.data_start
            && content
                .depth
                .is_some_and(|depth| offset + u64::from(depth) <= end)
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

    /// First occurrence that lies in `low..high`; `None` also when the work is used up.
    fn next(&mut self, content: &Content, low: usize, high: usize) -> Option<usize> {
        let room = self.inspection.data.get(low..high)?;
        let pattern = content.pattern.as_slice();
        let first = *pattern.first()?;
        let begins =
            |byte: u8| byte == first || content.nocase && byte.eq_ignore_ascii_case(&first);
        let starts = room.len().checked_sub(pattern.len())? + 1;
        let mut from = 0;
        while let Some(skipped) = room
            .get(from..starts)?
            .iter()
            .position(|byte| begins(*byte))
        {
            let at = from + skipped;
            self.spend(skipped + COMPARISON)?;
            let window = room.get(at..at + pattern.len())?;
            let same = if content.nocase {
                window.eq_ignore_ascii_case(pattern)
            } else {
                window == pattern
            };
            if same {
                return Some(low + at);
            }
            from = at + 1;
        }
        self.spend(starts - from)?;
        None
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        let left = self.work.checked_sub(bytes);
        self.exceeded |= left.is_none();
        self.work = left.unwrap_or(0);
        left.map(|_| ())
    }
}
