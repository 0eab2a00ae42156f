//! SYN floods: many connections to one port that nobody completes.

use core::net::IpAddr;
use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::{
    Behavior, BehaviorConfig, BehaviorStats, Campaign, Roster, SECOND, Signatures,
    campaign::Figures,
};
use crate::{
    finding::{Context, FindingSink},
    packet::Timestamp,
    signal::{Attempt, Contact, Outcome},
};

/// Distinct source addresses that are counted exactly.
const MAX_SOURCES: usize = 256;
/// SYN in the window from which a target is protected from newcomers.
const PROVEN: u64 = 16;

/// Host, port and scope.
type Victim = (IpAddr, u16, u64);

/// Looks for floods in contacts.
#[derive(Debug)]
pub(crate) struct Floods {
    victims: Roster<Victim, Flood>,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug)]
struct Slot {
    second: u64,
    syn: u64,
    /// Tenths of connections that need no longer be waited for.
    settled: u64,
}

#[derive(Debug, Default)]
struct Flood {
    slots: VecDeque<Slot>,
    sources: HashSet<IpAddr, RandomState>,
    campaign: Option<Campaign>,
    latest: Option<Context>,
}

impl Floods {
    pub(crate) fn new(config: &BehaviorConfig) -> Self {
        Self {
            victims: Roster::new(config.flood_targets),
        }
    }

    /// Takes in one contact.
    pub(crate) fn contact(
        &mut self,
        contact: &Contact,
        config: &BehaviorConfig,
        signatures: &Signatures,
        stats: &mut BehaviorStats,
        sink: &mut impl FindingSink,
    ) {
        if contact.attempt != Attempt::Syn {
            return;
        }
        let context = &contact.context;
        let socket = &context.destination.socket;
        let victim = (socket.address, socket.port, context.scope);
        let now = context.timestamp;
        let (flood, evicted) = self.victims.entry(victim, now);
        stats.flood_targets_evicted += u64::from(evicted.is_some());
        let next_second = flood.note(contact, config);
        if next_second {
            flood.evaluate(now, config, signatures, sink);
            if flood.syn() >= PROVEN {
                self.victims.prove(victim);
            }
        }
    }

    /// Evaluates the last second, tells floods that go on, and forgets.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        config: &BehaviorConfig,
        signatures: &Signatures,
        sink: &mut impl FindingSink,
    ) {
        self.victims.retain(|_, flood, touched| {
            flood.evaluate(now, config, signatures, sink);
            let over = now.since(touched) >= config.flood_window;
            if over {
                flood.tell(now, 0, sink);
            }
            !over
        });
    }
}

impl Flood {
    /// Counts one contact; whether a new second begins with it.
    fn note(&mut self, contact: &Contact, config: &BehaviorConfig) -> bool {
        let now = contact.context.timestamp;
        let second = now.0 / SECOND;
        // Two hooks may differ a little: a contact that is late counts as of now.
        let begins = self.slots.back().is_none_or(|slot| slot.second < second);
        if begins {
            self.slots.push_back(Slot {
                second,
                syn: 0,
                settled: 0,
            });
            let oldest = second.saturating_sub(config.flood_window.div_ceil(SECOND));
            while self.slots.front().is_some_and(|slot| slot.second < oldest) {
                self.slots.pop_front();
            }
            self.latest = Some(contact.context.clone());
        }
        let Some(slot) = self.slots.back_mut() else {
            return begins;
        };
        match contact.outcome {
            Outcome::Sent => {
                slot.syn += 1;
                if self.sources.len() < MAX_SOURCES {
                    self.sources.insert(contact.context.source.socket.address);
                }
                if let Some(campaign) = &mut self.campaign {
                    campaign.add(now, false);
                }
            }
            Outcome::Completed => slot.settled += 10,
            Outcome::Refused => slot.settled += 9,
            Outcome::Answered => {}
        }
        begins
    }

    fn syn(&self) -> u64 {
        self.slots.iter().map(|slot| slot.syn).sum()
    }

    /// Begins a campaign if too many SYN of the seconds before `now`'s were not completed.
    fn evaluate(
        &mut self,
        now: Timestamp,
        config: &BehaviorConfig,
        signatures: &Signatures,
        sink: &mut impl FindingSink,
    ) {
        let second = now.0 / SECOND;
        let oldest = second.saturating_sub(config.flood_window.div_ceil(SECOND));
        let mut syn = 0;
        let mut settled = 0;
        for slot in self.slots.iter().filter(|slot| slot.second >= oldest) {
            settled += slot.settled;
            if slot.second < second {
                syn += slot.syn;
            }
        }
        let unfinished = syn.saturating_sub(settled / 10);
        let floods = unfinished >= config.flood_unfinished && unfinished * 2 >= syn;
        if floods && self.campaign.is_none() {
            let first = self.slots.front().map_or(second, |slot| slot.second);
            let signature = signatures.behavior(Behavior::SynFlood);
            if let (Some(signature), Some(context)) = (signature, self.latest.clone()) {
                let first = Timestamp(first * SECOND);
                self.campaign = Some(Campaign::new(signature, context, first, self.syn(), 1));
            }
        }
        self.tell(now, config.update_interval, sink);
        // Half the threshold, so that a flood around it is one campaign.
        if unfinished < config.flood_unfinished / 2 {
            self.tell(now, 0, sink);
            self.campaign = None;
            self.sources.clear();
        }
    }

    fn tell(&mut self, now: Timestamp, interval: u64, sink: &mut impl FindingSink) {
        let sources = self.sources.len();
        let Some((campaign, context)) = self.campaign.as_mut().zip(self.latest.as_ref()) else {
            return;
        };
        let target = context.destination.socket;
        let describe = |figures: &Figures| {
            let least = if sources < MAX_SOURCES {
                ""
            } else {
                "at least "
            };
            format!(
                "{} SYN to {} port {} from {least}{sources} addresses in {}",
                figures.count,
                target.address,
                target.port,
                figures.duration()
            )
        };
        campaign.tell(now, interval, describe, sink);
    }
}
