//! Which rules can be about a flow at all, by its ports: one look in a bit map each.

use std::collections::HashMap;

use crate::rule::{PortGroup, Protocol, Rule};

/// Words of a bit map of all ports.
const WORDS: usize = 1 << (16 - 6);
/// Ports of which a rule may name this many for it to be looked up by port.
const FEW: usize = 32;

/// The ports of all rules. Equal sets are kept once.
#[derive(Debug, Default)]
pub(super) struct Gates {
    sets: Vec<Vec<u64>>,
    gates: Vec<Gate>,
}

/// The ports of one rule, as positions in [`Gates::sets`].
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    source: Option<u32>,
    destination: Option<u32>,
    /// Either end may be the source.
    either: bool,
}

impl Gates {
    pub(super) fn new<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut known = HashMap::new();
        let mut gates = Self::default();
        for rule in rules {
            let mut gate = Gate {
                either: rule.bidirectional || rule.transactional,
                ..Gate::default()
            };
            if has_ports(rule) {
                gate.source = gates.set(&rule.source_port, &mut known);
                gate.destination = gates.set(&rule.destination_port, &mut known);
            }
            gates.gates.push(gate);
        }
        gates
    }

    fn set<'a>(
        &mut self,
        group: &'a PortGroup,
        known: &mut HashMap<&'a PortGroup, u32>,
    ) -> Option<u32> {
        if group.is_any() {
            return None;
        }
        let next = u32::try_from(self.sets.len()).ok()?;
        let number = *known.entry(group).or_insert(next);
        if number == next {
            self.sets.push(bits(group));
        }
        Some(number)
    }

    /// Whether a rule can be about a packet from and to these ports.
    pub(super) fn open(&self, rule: u32, (source, destination): (u16, u16)) -> bool {
        let gate = usize::try_from(rule).ok().and_then(|at| self.gates.get(at));
        gate.is_none_or(|gate| {
            self.has(gate.source, source) && self.has(gate.destination, destination)
                || gate.either
                    && self.has(gate.source, destination)
                    && self.has(gate.destination, source)
        })
    }

    fn has(&self, set: Option<u32>, port: u16) -> bool {
        let Some(set) = set else {
            return true;
        };
        let words = usize::try_from(set).ok().and_then(|at| self.sets.get(at));
        let word = words.and_then(|words| words.get(usize::from(port >> 6)));
        word.is_some_and(|word| word >> (port & 63) & 1 != 0)
    }
}

/// The ports of the server that a rule names, if they are few.
pub(super) fn few_ports(rule: &Rule, to_server: bool) -> Option<Vec<u16>> {
    if !has_ports(rule) || rule.bidirectional || rule.transactional {
        return None;
    }
    let group = if to_server {
        &rule.destination_port
    } else {
        &rule.source_port
    };
    if group.is_any() {
        return None;
    }
    let ports: Vec<u16> = ports(group).take(FEW + 1).collect();
    (ports.len() <= FEW).then_some(ports)
}

/// The ports of a set, some maybe twice.
fn ports(group: &PortGroup) -> impl Iterator<Item = u16> {
    let ranges = group.cover().unwrap_or_else(|| vec![(0, u16::MAX)]);
    let ports = ranges.into_iter().flat_map(|(low, high)| low..=high);
    ports.filter(|port| group.contains(*port))
}

fn bits(group: &PortGroup) -> Vec<u64> {
    let mut words = vec![0; WORDS];
    for port in ports(group) {
        if let Some(word) = words.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }
    words
}

/// Whether ports mean something to the rule.
pub(super) const fn has_ports(rule: &Rule) -> bool {
    matches!(
        rule.protocol,
        Protocol::Tcp
            | Protocol::TcpPacket
            | Protocol::TcpStream
            | Protocol::Udp
            | Protocol::Sctp
            | Protocol::Application(_)
    )
}
