//! What rules remember: bits and numbers of a flow, and of hosts across flows.

use core::{hash::BuildHasher as _, net::IpAddr};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::{
    packet::Timestamp,
    rule::{IntegerComparison, IntegerValue, Rule, Scope, StateChange, StateTest},
};

/// Bits and numbers of one flow.
const MAX_FLOW: usize = 256;
/// Bits of all hosts.
const MAX_HOSTS: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// What rules have set on one flow. Empty without allocation.
#[derive(Clone, Debug, Default)]
pub struct FlowState {
    bits: Vec<Name>,
    numbers: Vec<(Name, u32)>,
    /// Rules that match once in a flow, and have; each with the direction, if it is once in each.
    once: Vec<(u32, Option<bool>)>,
}

impl FlowState {
    /// Forgets what is about the rules of one engine. Bits and numbers stay.
    pub(crate) fn forget_rules(&mut self) {
        self.once.clear();
    }

    /// Whether a rule that matches once does so for the first time.
    pub(super) fn first(&mut self, rule: u32, direction: Option<bool>) -> bool {
        let first = !self.once.contains(&(rule, direction));
        if first && self.once.len() < MAX_FLOW {
            self.once.push((rule, direction));
        }
        first
    }
}

/// The number of a name: the same in every engine, so that what a flow remembers outlasts new rules.
/// Only who writes rules chooses names, and 64 bits keep those apart.
fn number_of(name: &str) -> Name {
    foldhash::fast::FixedState::default().hash_one(name)
}

type Name = u64;

/// A rule's tests and changes with numbers for names.
#[derive(Debug, Default)]
pub(super) struct States {
    tests: Vec<CompiledTest>,
    changes: Vec<CompiledChange>,
}

#[derive(Debug)]
enum CompiledTest {
    Bit(Scope, Vec<Name>, bool),
    Integer(Name, IntegerComparison, Operand),
    IsSet(Name, bool),
}

#[derive(Debug)]
enum CompiledChange {
    Bit(Scope, Name, Option<bool>, u32),
    Integer(Name, Option<bool>, Operand),
}

#[derive(Clone, Copy, Debug)]
enum Operand {
    Number(u32),
    Name(Name),
}

/// Bits of hosts and pairs. Behind a lock, since flows of one host are on several threads; taken only
/// by the few rules that use it, when all else has matched.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    bits: Mutex<HashMap<Key, Timestamp, foldhash::fast::RandomState>>,
}

type Key = (Name, IpAddr, Option<IpAddr>);

/// The flow and the two ends of an evaluation.
pub(super) struct Subject<'a> {
    pub(super) flow: &'a mut FlowState,
    pub(super) hosts: &'a Hosts,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) now: Timestamp,
}

impl States {
    pub(super) fn new(rule: &Rule) -> Self {
        let operand = |value: &IntegerValue| match value {
            IntegerValue::Number(number) => Operand::Number(*number),
            IntegerValue::Name(name) => Operand::Name(number_of(name)),
        };
        let tests = rule.states.iter().map(|test| match test {
            StateTest::Bit {
                scope,
                names: bits,
                negated,
            } => CompiledTest::Bit(
                *scope,
                bits.iter().map(|name| number_of(name)).collect(),
                *negated,
            ),
            StateTest::Integer {
                name,
                comparison,
                value,
            } => {
                let value = operand(value);
                CompiledTest::Integer(number_of(name), *comparison, value)
            }
            StateTest::IntegerIsSet { name, negated } => {
                CompiledTest::IsSet(number_of(name), *negated)
            }
        });
        let tests = tests.collect();
        let changes = rule.changes.iter().map(|change| match change {
            StateChange::Bit {
                scope,
                name,
                set,
                expire,
            } => CompiledChange::Bit(*scope, number_of(name), *set, *expire),
            StateChange::Integer { name, add, value } => {
                let value = operand(value);
                CompiledChange::Integer(number_of(name), *add, value)
            }
        });
        Self {
            tests,
            changes: changes.collect(),
        }
    }

    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        self.tests.iter().all(|test| match test {
            CompiledTest::Bit(scope, bits, negated) => {
                bits.iter().any(|bit| subject.bit(*scope, *bit)) != *negated
            }
            CompiledTest::Integer(name, comparison, operand) => {
                let (Some(number), Some(wanted)) =
                    (subject.number(*name), subject.operand(*operand))
                else {
                    return false;
                };
                match comparison {
                    IntegerComparison::Less => number < wanted,
                    IntegerComparison::LessOrEqual => number <= wanted,
                    IntegerComparison::Equal => number == wanted,
                    IntegerComparison::NotEqual => number != wanted,
                    IntegerComparison::Greater => number > wanted,
                    IntegerComparison::GreaterOrEqual => number >= wanted,
                }
            }
            CompiledTest::IsSet(name, negated) => subject.number(*name).is_some() != *negated,
        })
    }

    pub(super) fn apply(&self, subject: &mut Subject<'_>) {
        for change in &self.changes {
            match change {
                CompiledChange::Bit(scope, bit, set, expire) => {
                    let set = set.unwrap_or_else(|| !subject.bit(*scope, *bit));
                    subject.set(*scope, *bit, set, *expire);
                }
                CompiledChange::Integer(name, add, operand) => {
                    let Some(operand) = subject.operand(*operand) else {
                        continue;
                    };
                    let number = subject.number(*name).unwrap_or(0);
                    let number = match add {
                        Some(true) => number.wrapping_add(operand),
                        Some(false) => number.wrapping_sub(operand),
                        None => operand,
                    };
                    subject.assign(*name, number);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty() && self.changes.is_empty()
    }
}

impl Subject<'_> {
    fn key(&self, scope: Scope, bit: Name) -> Key {
        match scope {
            Scope::Flow | Scope::Source => (bit, self.source, None),
            Scope::Destination => (bit, self.destination, None),
            Scope::Pair => (
                bit,
                self.source.min(self.destination),
                Some(self.source.max(self.destination)),
            ),
        }
    }

    fn bit(&self, scope: Scope, bit: Name) -> bool {
        if scope == Scope::Flow {
            return self.flow.bits.contains(&bit);
        }
        let bits = self
            .hosts
            .bits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        bits.get(&self.key(scope, bit))
            .is_some_and(|until| *until > self.now)
    }

    fn set(&mut self, scope: Scope, bit: Name, set: bool, expire: u32) {
        if scope == Scope::Flow {
            self.flow.bits.retain(|known| *known != bit);
            if set && self.flow.bits.len() < MAX_FLOW {
                self.flow.bits.push(bit);
            }
            return;
        }
        let mut bits = self
            .hosts
            .bits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = self.key(scope, bit);
        if !set {
            bits.remove(&key);
            return;
        }
        if bits.len() >= MAX_HOSTS {
            let now = self.now;
            bits.retain(|_, until| *until > now);
            if bits.len() >= MAX_HOSTS {
                bits.clear();
            }
        }
        let until = Timestamp(
            self.now
                .0
                .saturating_add(u64::from(expire).saturating_mul(SECOND)),
        );
        bits.insert(key, until);
    }

    fn number(&self, name: Name) -> Option<u32> {
        let mut numbers = self.flow.numbers.iter();
        numbers
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number)
    }

    fn operand(&self, operand: Operand) -> Option<u32> {
        match operand {
            Operand::Number(number) => Some(number),
            Operand::Name(name) => self.number(name),
        }
    }

    fn assign(&mut self, name: Name, number: u32) {
        let numbers = &mut self.flow.numbers;
        if let Some((_, slot)) = numbers.iter_mut().find(|(known, _)| *known == name) {
            *slot = number;
        } else if numbers.len() < MAX_FLOW {
            numbers.push((name, number));
        }
    }
}
