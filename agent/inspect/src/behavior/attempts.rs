//! The distinct targets that one actor tried lately, and how they took it.

use core::net::IpAddr;
use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::BehaviorConfig;
use crate::{packet::Timestamp, signal::Attempt};

/// One way to one port of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) attempt: Attempt,
    pub(super) host: IpAddr,
    pub(super) port: u16,
}

/// Targets that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// The ports of one host.
    Host(Attempt, IpAddr),
    /// The hosts of one port.
    Port(Attempt, u16),
    /// All.
    All,
}

impl Target {
    pub(super) const fn groups(self) -> [Group; 3] {
        [
            Group::Host(self.attempt, self.host),
            Group::Port(self.attempt, self.port),
            Group::All,
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Failed,
    /// For as long as it is remembered, even if it fails later: a service that is down.
    Answered,
}

#[derive(Debug)]
struct Memory {
    state: State,
    last: Timestamp,
}

/// Distinct targets of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) tried: u32,
    pub(super) failed: u32,
}

/// What an attempt's target was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    New,
    Again,
    /// New, but the quota is full of targets that are as new.
    NoRoom,
}

/// The memory of one actor.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    targets: HashMap<Target, Memory, RandomState>,
    /// All targets, oldest first.
    order: VecDeque<(Timestamp, Target)>,
    /// Those that may still answer, oldest first.
    waiting: VecDeque<(Timestamp, Target)>,
    tallies: HashMap<Group, Tally, RandomState>,
}

impl Attempts {
    /// Distinct targets.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    pub(super) fn tally(&self, group: Group) -> Tally {
        self.tallies.get(&group).copied().unwrap_or_default()
    }

    /// When the oldest target that is remembered was tried first.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.order.front().map(|(at, _)| *at)
    }

    /// Notes an attempt. [`Self::settle`] must have been called with the same `now`.
    pub(super) fn tried(
        &mut self,
        target: Target,
        now: Timestamp,
        config: &BehaviorConfig,
    ) -> Tried {
        self.forget(now, config.window);
        if let Some(memory) = self.targets.get_mut(&target) {
            memory.last = now;
            return Tried::Again;
        }
        if self.targets.len() >= config.targets_per_actor.max(1) {
            // Who tries faster than targets can fail must not push out the evidence.
            let young = self
                .oldest()
                .is_some_and(|at| now.since(at) < config.settle);
            if young || !self.forget_oldest() {
                return Tried::NoRoom;
            }
        }
        let memory = Memory {
            state: State::Waiting,
            last: now,
        };
        self.targets.insert(target, memory);
        self.order.push_back((now, target));
        self.waiting.push_back((now, target));
        for group in target.groups() {
            self.tallies.entry(group).or_default().tried += 1;
        }
        Tried::New
    }

    /// Notes an answer: the target is in order.
    pub(super) fn answered(&mut self, target: Target) {
        self.change(target, State::Answered);
    }

    /// Notes a refusal; whether it is the first sign of failure.
    pub(super) fn failed(&mut self, target: Target) -> bool {
        self.change(target, State::Failed)
    }

    /// The next target that has not answered for `settle` nanoseconds and so failed.
    pub(super) fn settle(&mut self, now: Timestamp, settle: u64) -> Option<Target> {
        while let Some(&(at, target)) = self.waiting.front() {
            if now.since(at) < settle {
                return None;
            }
            self.waiting.pop_front();
            if self.failed(target) {
                return Some(target);
            }
        }
        None
    }

    fn change(&mut self, target: Target, state: State) -> bool {
        let Some(memory) = self.targets.get_mut(&target) else {
            return false;
        };
        let before = memory.state;
        if before == state || before == State::Answered {
            return false;
        }
        memory.state = state;
        for group in target.groups() {
            let tally = self.tallies.entry(group).or_default();
            if state == State::Failed {
                tally.failed += 1;
            } else if before == State::Failed {
                tally.failed = tally.failed.saturating_sub(1);
            }
        }
        true
    }

    /// Forgets what is older than `window`, but not what answered and is still in use.
    pub(super) fn forget(&mut self, now: Timestamp, window: u64) {
        while let Some(&(at, target)) = self.order.front() {
            if now.since(at) < window {
                return;
            }
            let in_use = self.targets.get(&target).is_some_and(|memory| {
                memory.state == State::Answered && now.since(memory.last) < window
            });
            if in_use {
                self.order.pop_front();
                self.order.push_back((now, target));
            } else {
                self.forget_oldest();
            }
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, target)) = self.order.pop_front() else {
            return false;
        };
        let Some(memory) = self.targets.remove(&target) else {
            return true;
        };
        for group in target.groups() {
            if let Some(tally) = self.tallies.get_mut(&group) {
                tally.tried = tally.tried.saturating_sub(1);
                if memory.state == State::Failed {
                    tally.failed = tally.failed.saturating_sub(1);
                }
                if tally.tried == 0 {
                    self.tallies.remove(&group);
                }
            }
        }
        true
    }
}
