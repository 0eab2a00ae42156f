//! What processes did, and who they were: bounded, the oldest leave first.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hydrophone_common::process::{Call, ProcessEvent};
use hydrophone_inspect::{Process, Timestamp};

use super::{
    procfs::{Dossier, Missing, SUCCESSION},
    report::{Candidate, Doubt, Report, text},
};

/// Calls that are remembered.
const CALLS_MAX: usize = 16_384;
/// Calls of one process id that are remembered.
const CALLS_OF_ONE: usize = 16;
/// Bound addresses that are remembered.
const BOUND_MAX: usize = 8_192;
/// Sockets bound to one port of one namespace that are remembered.
const BOUND_TO_ONE: usize = 16;
/// A first packet is not older than its call; the clocks of the two are read one after the other.
const SLACK: u64 = 50_000_000;

/// One call, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    number: u64,
    pub(super) call: Call,
    pub(super) time: Timestamp,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) cgroup_id: u64,
    pub(super) comm: [u8; 16],
    pub(super) dossier: Result<Arc<Dossier>, Missing>,
    /// The name that it was executed under, if that was seen.
    executed_as: Option<[u8; 16]>,
    /// The dossier is one that was read before, of a process that need not be the same.
    is_earlier: bool,
}

impl Record {
    pub(super) fn report(&self) -> Report {
        Report {
            pid: self.pid,
            uid: self.uid,
            comm: text(&self.comm),
            dossier: self.dossier.as_ref().ok().map(Arc::clone),
            doubt: self.doubt(),
            candidates: Vec::new(),
        }
    }

    fn doubt(&self) -> Option<Doubt> {
        let dossier = match &self.dossier {
            Ok(dossier) => dossier,
            Err(missing) => return Some((*missing).into()),
        };
        if self.is_earlier {
            return Some(Doubt::Exited);
        }
        let name = text(&self.comm);
        let of_executable = dossier.executable_name();
        match self.executed_as {
            Some(executed_as) if executed_as == self.comm => None,
            Some(_) => (of_executable != name).then_some(Doubt::Renamed),
            // `python3` is a link to `python3.11`: what the name leaves out misleads nobody.
            None if !name.is_empty() && of_executable.starts_with(&name) => None,
            None => Some(Doubt::NameDiffers),
        }
    }

    /// Whether it tells the same of the same process.
    fn repeats(&self, earlier: &Self) -> bool {
        self.call == earlier.call
            && self.comm == earlier.comm
            && self.uid == earlier.uid
            && self.executed_as == earlier.executed_as
            && self.is_earlier == earlier.is_earlier
            && self.dossier.is_ok()
            && self.dossier == earlier.dossier
    }
}

/// Where a socket is bound: namespace, protocol, port.
type Place = (u64, u8, u16);

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    calls: HashMap<u32, VecDeque<Arc<Record>>>,
    order: VecDeque<(u32, u64)>,
    bound: HashMap<Place, VecDeque<(IpAddr, Arc<Record>)>>,
    bound_order: VecDeque<Place>,
    next: u64,
    /// What was forgotten for want of room.
    pub(super) evicted: u64,
    /// Calls whose process had gone before it was looked at.
    pub(super) missed: u64,
}

impl Table {
    /// Takes a call in, with what `/proc` told of its process.
    pub(super) fn admit(
        &mut self,
        call: Call,
        event: &ProcessEvent,
        time: Timestamp,
        dossier: Result<Dossier, Missing>,
    ) -> Arc<Record> {
        let known = self.calls.get(&event.pid);
        let mut is_earlier = false;
        let dossier = dossier.map(Arc::new).or_else(|missing| {
            // It may have been looked at when it made another call, or was executed.
            let latest = known.and_then(|known| known.back());
            let earlier = latest.filter(|it| it.cgroup_id == event.cgroup_id);
            let Some(earlier) = earlier.filter(|_| call != Call::Execute) else {
                return Err(missing);
            };
            let since = time.0.saturating_sub(earlier.time.0);
            let is_same = u128::from(since) < SUCCESSION.as_nanos();
            is_earlier = earlier.is_earlier || !is_same;
            earlier.dossier.clone()
        });
        self.missed += u64::from(dossier.is_err());
        let executed_as = if call == Call::Execute {
            Some(event.comm)
        } else {
            dossier.as_ref().ok().and_then(|dossier| {
                known?.iter().rev().find_map(|record| {
                    let same = record
                        .dossier
                        .as_ref()
                        .is_ok_and(|it| it.start == dossier.start);
                    same.then_some(record.executed_as)?
                })
            })
        };
        self.next += 1;
        let record = Arc::new(Record {
            number: self.next,
            call,
            time,
            pid: event.pid,
            uid: event.uid,
            cgroup_id: event.cgroup_id,
            comm: event.comm,
            dossier,
            executed_as,
            is_earlier,
        });
        self.remember(&record);
        if call == Call::Bind {
            self.bind(event, &record);
        }
        record
    }

    fn remember(&mut self, record: &Arc<Record>) {
        let known = self.calls.entry(record.pid).or_default();
        if known.back().is_some_and(|last| record.repeats(last)) {
            return;
        }
        known.push_back(Arc::clone(record));
        if known.len() > CALLS_OF_ONE {
            known.pop_front();
        }
        self.order.push_back((record.pid, record.number));
        if self.order.len() <= CALLS_MAX {
            return;
        }
        self.evicted += 1;
        if let Some((pid, number)) = self.order.pop_front()
            && let Some(known) = self.calls.get_mut(&pid)
        {
            if known.front().is_some_and(|first| first.number == number) {
                known.pop_front();
            }
            if known.is_empty() {
                self.calls.remove(&pid);
            }
        }
    }

    fn bind(&mut self, event: &ProcessEvent, record: &Arc<Record>) {
        let place = (event.namespace, event.protocol, event.port);
        let bound = self.bound.entry(place).or_default();
        bound.push_back((address_of(event), Arc::clone(record)));
        if bound.len() > BOUND_TO_ONE {
            bound.pop_front();
        } else {
            self.bound_order.push_back(place);
        }
        if self.bound_order.len() <= BOUND_MAX {
            return;
        }
        self.evicted += 1;
        if let Some(place) = self.bound_order.pop_front()
            && let Some(bound) = self.bound.get_mut(&place)
        {
            bound.pop_front();
            if bound.is_empty() {
                self.bound.remove(&place);
            }
        }
    }

    /// The process that opened a flow whose first packet was at `started`. `None` when no such call is
    /// known.
    pub(super) fn caller(&self, process: &Process, started: Timestamp) -> Option<Arc<Record>> {
        let before = |record: &&Arc<Record>| record.time.0 <= started.0.saturating_add(SLACK);
        let known = self.calls.get(&process.pid)?;
        known
            .iter()
            .rev()
            .filter(before)
            .find(|record| record.comm == process.comm && record.uid == process.uid)
            .map(Arc::clone)
    }

    /// Who has bound a socket to this address: one process, or one of several.
    pub(super) fn bound_to(
        &self,
        namespace: u64,
        protocol: u8,
        local: SocketAddr,
    ) -> Option<Report> {
        let bound = self.bound.get(&(namespace, protocol, local.port()))?;
        let takes =
            |address: &IpAddr| *address == local.ip().to_canonical() || address.is_unspecified();
        let mut binders = bound.iter().rev().filter(|(address, _)| takes(address));
        let (_, latest) = binders.next()?;
        let mut report = latest.report();
        for (_, other) in binders {
            let is_new =
                other.pid != report.pid && !report.candidates.iter().any(|it| it.pid == other.pid);
            if is_new {
                report.doubt = Some(Doubt::SharedSocket);
                report.candidates.push(Candidate {
                    pid: other.pid,
                    comm: text(&other.comm),
                });
            }
        }
        Some(report)
    }

    /// Calls that are remembered.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// The address that a socket was bound to.
fn address_of(event: &ProcessEvent) -> IpAddr {
    /// `AF_INET`.
    const INET: u8 = 2;
    let [a, b, c, d, ..] = event.address;
    if event.family == INET {
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(event.address).to_canonical()
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
