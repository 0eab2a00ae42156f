//! One connection, one voice. A connection whose addresses are changed on the way is seen twice, as
//! two flows: where the client's packets enter the host's network, and where they leave it for the
//! server. What is told of the two is brought together here.
//!
//! What the client's side shows is never held for a repetition: it is where a container's packets
//! are seen before anybody could change them. What the server's side shows is left out only if the
//! client's side is watched too; a finding only if the same was told of that side. So the worst that
//! a wrong guess can do is to tell something twice.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    behavior::Roster,
    finding::{Context, Endpoint},
    packet::{Owner, SocketId, Timestamp},
    signal::Signal,
    translation::{Translation, TranslationEvidence, Vantage},
};
use core::num::NonZeroU64;

/// What the sensor knows of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The two ends.
    pub owners: [Owner; 2],
    /// Whether what the first of them sends is inspected where it enters the host's network.
    pub at_client: bool,
}

/// Knows how packets find their way through the host.
pub trait Paths {
    /// How the connection is translated of which a flow has these ends, the client's first as far as
    /// is known. `start` is when the flow began.
    fn translation(
        &mut self,
        protocol: u8,
        ends: [SocketId; 2],
        start: Timestamp,
    ) -> Option<Arc<Translation>>;

    /// What the sensor knows by now of the flow with these ends, in this order. For `scope` see
    /// [`crate::Packet::scope`].
    fn seen(&mut self, protocol: u8, scope: u64, ends: [SocketId; 2]) -> Option<Seen>;
}

/// What was done so far. Counters only grow, `held` is of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewsStats {
    /// Signals of translated connections.
    pub translated: u64,
    /// Of those, signals whose connection was recognised without connection tracking.
    pub by_sequence: u64,
    /// Signals left out, for the other view of the connection tells the same.
    pub merged: u64,
    /// Signals that wait for the other view.
    pub held: u64,
    /// Signals that could not wait, for too many do.
    pub hurried: u64,
}

/// Nanoseconds that a signal waits until the kernel has told of the connection.
const SETTLE: u64 = 100_000_000;
/// Signals that may wait.
const HELD_MAX: usize = 4_096;
/// Connections of which is known what was told.
const TOLD_MAX: usize = 16_384;
/// Flows that may be found to be two views of one connection.
const TWINS_MAX: usize = 16_384;
/// The two views of a connection begin within this time of each other, in nanoseconds.
const TOGETHER: u64 = 2_000_000_000;

/// What a finding is about: the connection, `gid` and `sid`, and whether the client sent it.
type Subject = (u64, u32, u32, bool);

/// How often the same was found in either view, and told.
#[derive(Debug, Default)]
struct Told {
    found: [u32; 2],
    told: u32,
}

/// The flows of one likeness, by vantage: ends and start.
#[derive(Debug, Default)]
struct Twins([Option<([SocketId; 2], Timestamp)>; 2]);

#[derive(Debug)]
struct Held {
    due: Timestamp,
    signal: Signal,
    /// Which one of its subject it is, once that is known.
    rank: Option<u32>,
}

enum Verdict {
    Tell,
    Merge,
    Wait(u64, Option<u32>),
}

/// Brings the two views of a connection together. One for the host, before the correlator.
#[derive(Debug)]
pub struct Views {
    /// Nanoseconds that a finding on the server's side waits for the client's side to tell it.
    patience: u64,
    told: Roster<Subject, Told>,
    twins: Roster<NonZeroU64, Twins>,
    held: VecDeque<Held>,
    stats: ViewsStats,
}

impl Views {
    /// `patience` in nanoseconds is for how long what was found on the server's side waits for the
    /// client's side to tell it.
    #[must_use]
    pub fn new(patience: u64) -> Self {
        Self {
            patience: patience.max(SETTLE),
            told: Roster::new(TOLD_MAX),
            twins: Roster::new(TWINS_MAX),
            held: VecDeque::new(),
            stats: ViewsStats::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ViewsStats {
        ViewsStats {
            held: self.held.len() as u64,
            ..self.stats
        }
    }

    /// When [`Self::release`] has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        // The shorter wait may have begun behind the longer one; the queue is short.
        self.held.iter().map(|held| held.due).min()
    }

    /// Takes in one signal; what can be told goes to `tell`, with the true ends.
    pub fn signal(
        &mut self,
        mut signal: Signal,
        now: Timestamp,
        paths: &mut impl Paths,
        tell: &mut impl FnMut(Signal),
    ) {
        match self.judge(&mut signal, None, true, paths) {
            Verdict::Tell => tell(signal),
            Verdict::Merge => self.stats.merged += 1,
            Verdict::Wait(time, rank) => {
                if self.held.len() >= HELD_MAX
                    && let Some(oldest) = self.held.pop_front()
                {
                    self.stats.hurried += 1;
                    self.conclude(oldest, paths, tell);
                }
                let due = Timestamp(now.0.saturating_add(time));
                self.held.push_back(Held { due, signal, rank });
            }
        }
    }

    /// Tells what has waited long enough. At the end, `now` is the end of time.
    pub fn release(
        &mut self,
        now: Timestamp,
        paths: &mut impl Paths,
        tell: &mut impl FnMut(Signal),
    ) {
        for _ in 0..self.held.len() {
            let Some(held) = self.held.pop_front() else {
                return;
            };
            if held.due <= now {
                self.conclude(held, paths, tell);
            } else {
                self.held.push_back(held);
            }
        }
    }

    fn conclude(&mut self, held: Held, paths: &mut impl Paths, tell: &mut impl FnMut(Signal)) {
        let Held {
            mut signal, rank, ..
        } = held;
        match self.judge(&mut signal, rank, false, paths) {
            Verdict::Merge => self.stats.merged += 1,
            Verdict::Tell | Verdict::Wait(..) => tell(signal),
        }
    }

    fn judge(
        &mut self,
        signal: &mut Signal,
        rank: Option<u32>,
        may_wait: bool,
        paths: &mut impl Paths,
    ) -> Verdict {
        let subject = subject(signal);
        let is_contact = matches!(signal, Signal::Contact(_));
        let context = signal.context_mut();
        let Some(protocol) = context.protocol else {
            return Verdict::Tell;
        };
        // On loopback, and of the addresses in a tunnel, connection tracking says nothing.
        let is_own = context.scope == 0 && context.tunnel.is_none();
        let found = is_own
            .then(|| self.find(protocol, context, paths))
            .flatten();
        let Some((translation, vantage)) = found else {
            if may_wait && is_unsure(context, subject.is_some()) {
                let may_be_told = context.vantage == Vantage::Server && subject.is_some();
                let time = if may_be_told { self.patience } else { SETTLE };
                return Verdict::Wait(time, rank);
            }
            if !is_contact {
                catch_up(context, protocol, paths);
            }
            self.note(context, subject);
            return Verdict::Tell;
        };
        if context.translation.is_none() {
            self.stats.translated += 1;
            let by_sequence = translation.by == TranslationEvidence::Sequence;
            self.stats.by_sequence += u64::from(by_sequence);
        }
        let id = translation.id;
        let is_watched = complete(context, protocol, translation, vantage, paths);
        if vantage == Vantage::Server && !is_watched {
            return Verdict::Tell;
        }
        let Some((gid, sid, to_server)) = subject else {
            // Contacts and events.
            return match vantage {
                Vantage::Client => Verdict::Tell,
                Vantage::Server => Verdict::Merge,
            };
        };
        let now = context.timestamp;
        let (told, _) = self.told.entry((id, gid, sid, to_server), now);
        told.judge(vantage, rank, may_wait.then_some(self.patience))
    }

    /// Notes what the client's view tells before anything shows that there is another one.
    fn note(&mut self, context: &Context, subject: Option<(u32, u32, bool)>) {
        if let Some((gid, sid, to_server)) = subject
            && context.vantage == Vantage::Client
            && let Some(likeness) = context.likeness
        {
            let subject = (likeness.get(), gid, sid, to_server);
            let (told, _) = self.told.entry(subject, context.timestamp);
            told.judge(Vantage::Client, None, None);
        }
    }

    /// How the connection of a flow is translated, and from which end the flow sees it.
    fn find(
        &mut self,
        protocol: u8,
        context: &Context,
        paths: &mut impl Paths,
    ) -> Option<(Arc<Translation>, Vantage)> {
        let ends = context.client_and_server().map(|end| end.socket);
        let start = context.flow.start;
        if let Some(translation) = paths.translation(protocol, ends, start) {
            let vantage = translation.vantage(ends);
            return Some((translation, vantage));
        }
        let likeness = context.likeness?;
        let (twins, _) = self.twins.entry(likeness, context.timestamp);
        let translation = twins.meet(protocol, context.vantage, ends, start, likeness)?;
        Some((Arc::new(translation), context.vantage))
    }
}

impl Told {
    /// The n-th of its kind in one view is the n-th in the other.
    fn judge(&mut self, vantage: Vantage, rank: Option<u32>, patience: Option<u64>) -> Verdict {
        let rank = rank.unwrap_or_else(|| {
            let [client, server] = &mut self.found;
            let found = match vantage {
                Vantage::Client => client,
                Vantage::Server => server,
            };
            *found = found.saturating_add(1);
            *found
        });
        if rank <= self.told {
            return Verdict::Merge;
        }
        match (vantage, patience) {
            (Vantage::Server, Some(patience)) => Verdict::Wait(patience, Some(rank)),
            _ => {
                self.told = self.told.saturating_add(1);
                Verdict::Tell
            }
        }
    }
}

impl Twins {
    /// Notes a flow, and finds its other view.
    fn meet(
        &mut self,
        protocol: u8,
        vantage: Vantage,
        ends: [SocketId; 2],
        start: Timestamp,
        likeness: NonZeroU64,
    ) -> Option<Translation> {
        const TCP: u8 = 6;
        let Self([client, server]) = self;
        match vantage {
            Vantage::Client => *client = Some((ends, start)),
            Vantage::Server => *server = Some((ends, start)),
        }
        let ((original, one), (translated, other)) = ((*client)?, (*server)?);
        let together = one.since(other).max(other.since(one)) <= TOGETHER;
        // A datagram is sent to many; a source port is kept where it can be.
        let alike = protocol == TCP || original.map(|end| end.port)[0] == translated[0].port;
        (together && alike && original != translated).then_some(Translation {
            original,
            translated,
            by: TranslationEvidence::Sequence,
            id: likeness.get(),
        })
    }
}

/// What a finding is about within its connection: `gid`, `sid` and direction. `None` for what is no
/// finding.
fn subject(signal: &Signal) -> Option<(u32, u32, bool)> {
    let to_server = signal.context().to_server;
    match signal {
        Signal::Match { rule, .. } => Some((rule.signature.gid, rule.signature.sid, to_server)),
        Signal::Anomaly { anomaly, .. } => Some((u32::MAX, u32::from(*anomaly as u8), to_server)),
        Signal::Contact(_) | Signal::Event(_) => None,
    }
}

/// Adds what was learned of the two ends after the packet had been recorded: its receiver. Who is at
/// the ends of a tunnel stands for those whose packets it carries.
fn catch_up(context: &mut Context, protocol: u8, paths: &mut impl Paths) {
    let (source, destination) = (&context.source, &context.destination);
    if source.owner.cgroup_id != 0 && destination.owner.cgroup_id != 0 {
        return;
    }
    let (protocol, ends) = match &context.tunnel {
        Some(tunnel) => (tunnel.protocol, tunnel.ends),
        None => (protocol, [source.socket, destination.socket]),
    };
    let Some(Seen { owners, .. }) = paths.seen(protocol, context.scope, ends) else {
        return;
    };
    let ends = [&mut context.source, &mut context.destination];
    for (end, owner) in ends.into_iter().zip(owners) {
        // Another link has the address by now.
        if end.owner.ifindex == 0 || end.owner.ifindex == owner.ifindex {
            end.owner.merge(&owner);
        }
    }
}

/// Whether it may be that something about the connection is still on its way.
fn is_unsure(context: &Context, is_finding: bool) -> bool {
    let [
        Endpoint { owner: client, .. },
        Endpoint { owner: server, .. },
    ] = context.client_and_server();
    let is_own = context.scope == 0 && context.tunnel.is_none();
    if context.vantage == Vantage::Server && is_own {
        // Only what came from elsewhere, or by another name, is first seen here.
        return client.cgroup_id == 0 || client.ifindex != 0;
    }
    // Once there was an answer the kernel knows, also which socket receives. Of a server behind no
    // link it may be that only the other view knows it.
    let is_early = context.flow.packets_to_client == 0 || server.ifindex == 0;
    is_finding && is_early && server.cgroup_id == 0
}

/// Adds the translation, and what the other view knows of the end that this one cannot see. Returns
/// whether the client's side is watched.
fn complete(
    context: &mut Context,
    protocol: u8,
    translation: Arc<Translation>,
    vantage: Vantage,
    paths: &mut impl Paths,
) -> bool {
    let elsewhere = match vantage {
        Vantage::Client => translation.translated,
        Vantage::Server => translation.original,
    };
    let other = paths.seen(protocol, context.scope, elsewhere);
    if let Some(Seen { owners, .. }) = &other {
        let [client, server] = owners;
        let ends = [&mut context.source, &mut context.destination];
        for end in ends {
            // The one that this view has for another.
            if vantage == Vantage::Client && end.socket == translation.original[1] {
                end.owner.merge(server);
            } else if vantage == Vantage::Server && end.socket == translation.translated[0] {
                end.owner.merge(client);
            }
        }
    }
    context.translation = Some(translation);
    match vantage {
        Vantage::Client => true,
        Vantage::Server => other.is_some_and(|seen| seen.at_client),
    }
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
