//! Port scans, sweeps and network scans.

use core::net::IpAddr;

use super::{
    Actor, Behavior, BehaviorConfig, BehaviorStats, Campaign, Roster, Signatures,
    attempts::{Attempts, Group, Target, Tried},
    campaign::Figures,
};
use crate::{
    finding::{Context, FindingSink},
    packet::{Owner, Timestamp},
    signal::{Attempt, Contact, Outcome},
};

/// Campaigns of one actor that are told apart; what comes beyond is a network scan.
const MAX_CAMPAIGNS: usize = 3;
/// First port that Linux gives to clients (`net.ipv4.ip_local_port_range`): a datagram to a
/// higher one is most often an answer whose question was not seen.
const FIRST_EPHEMERAL: u16 = 32_768;

/// Looks for scans in contacts.
#[derive(Debug)]
pub(crate) struct Scans {
    actors: Roster<Actor, Suspect>,
    targets: usize,
}

/// One actor.
#[derive(Debug, Default)]
struct Suspect {
    attempts: Attempts,
    campaigns: Vec<(Group, Campaign)>,
    latest: Option<Context>,
}

impl Scans {
    pub(crate) fn new(config: &BehaviorConfig) -> Self {
        Self {
            actors: Roster::new(config.actors),
            targets: 0,
        }
    }

    pub(crate) fn actors(&self) -> usize {
        self.actors.len()
    }

    pub(crate) const fn targets(&self) -> usize {
        self.targets
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
        let Some(target) = target(contact) else {
            return;
        };
        let actor = Actor::of(&contact.context);
        let now = contact.context.timestamp;
        let (suspect, evicted) = self.actors.entry(actor, now);
        let held = suspect.attempts.len();
        suspect.contact(contact, target, config, signatures, stats, sink);
        let holds = suspect.attempts.len();
        self.targets = (self.targets + holds).saturating_sub(held);
        if let Some(evicted) = evicted {
            stats.actors_evicted += 1;
            self.targets = self.targets.saturating_sub(evicted.attempts.len());
        }
        if holds > 1 {
            self.actors.prove(actor);
        }
        while self.targets > config.targets.max(config.targets_per_actor) {
            let Some(evicted) = self.actors.evict() else {
                return;
            };
            stats.actors_evicted += 1;
            self.targets = self.targets.saturating_sub(evicted.attempts.len());
        }
    }

    /// Notes what has not been answered by `now`, tells campaigns that grew, and forgets.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        config: &BehaviorConfig,
        signatures: &Signatures,
        sink: &mut impl FindingSink,
    ) {
        let mut targets = 0;
        self.actors.retain(|_, suspect, touched| {
            suspect.settle(now, config, signatures, sink);
            suspect.attempts.forget(now, config.window);
            suspect.tell(now, config, sink);
            targets += suspect.attempts.len();
            now.since(touched) < config.window || !suspect.campaigns.is_empty()
        });
        self.targets = targets;
    }
}

impl Suspect {
    fn contact(
        &mut self,
        contact: &Contact,
        target: Target,
        config: &BehaviorConfig,
        signatures: &Signatures,
        stats: &mut BehaviorStats,
        sink: &mut impl FindingSink,
    ) {
        let now = contact.context.timestamp;
        self.latest = Some(contact.context.clone());
        self.settle(now, config, signatures, sink);
        let attempt = contact.attempt;
        // A refused ACK is told once, when it is refused.
        let refused_at_once = attempt == Attempt::Ack && contact.outcome == Outcome::Refused;
        if contact.outcome == Outcome::Sent || refused_at_once {
            let tried = self.attempts.tried(target, now, config);
            stats.targets_refused += u64::from(tried == Tried::NoRoom);
            for (group, campaign) in &mut self.campaigns {
                if target.groups().contains(group) {
                    campaign.add(now, tried == Tried::New);
                }
            }
        }
        let failed = match contact.outcome {
            Outcome::Sent => attempt.is_odd() && self.attempts.failed(target),
            Outcome::Refused => self.attempts.failed(target),
            Outcome::Answered | Outcome::Completed => {
                self.attempts.answered(target);
                false
            }
        };
        if failed {
            self.evaluate(target, now, config, signatures, sink);
        }
        self.tell(now, config, sink);
    }

    fn settle(
        &mut self,
        now: Timestamp,
        config: &BehaviorConfig,
        signatures: &Signatures,
        sink: &mut impl FindingSink,
    ) {
        while let Some(target) = self.attempts.settle(now, config.settle) {
            self.evaluate(target, now, config, signatures, sink);
        }
    }

    /// Whether a target that failed makes one of its groups a campaign.
    fn evaluate(
        &mut self,
        target: Target,
        now: Timestamp,
        config: &BehaviorConfig,
        signatures: &Signatures,
        sink: &mut impl FindingSink,
    ) {
        for mut group in target.groups() {
            let tally = self.attempts.tally(group);
            let crossed = threshold(group, config).is_some_and(|least| tally.failed >= least);
            if !crossed || tally.failed * 2 < tally.tried || self.is_told(group) {
                continue;
            }
            if self.campaigns.len() >= MAX_CAMPAIGNS {
                group = Group::All;
            }
            let tally = self.attempts.tally(group);
            let signature = signatures.behavior(behavior(group));
            if let (Some(signature), Some(context)) = (signature, self.context(target)) {
                let first = self.attempts.oldest().unwrap_or(now);
                let targets = u64::from(tally.tried);
                let campaign = Campaign::new(signature, context, first, targets, targets);
                self.campaigns.push((group, campaign));
                self.tell(now, config, sink);
            }
        }
    }

    /// Whether a campaign covers the group: its own, that of all, or, for all, any.
    fn is_told(&self, group: Group) -> bool {
        let covers = |other: Group| other == group || other == Group::All || group == Group::All;
        self.campaigns.iter().any(|(other, _)| covers(*other))
    }

    /// The latest context, pointed at `target`.
    fn context(&self, target: Target) -> Option<Context> {
        let mut context = self.latest.clone()?;
        let destination = &mut context.destination;
        if destination.socket.address != target.host || destination.socket.port != target.port {
            context.translation = None;
        }
        if destination.socket.address != target.host {
            destination.socket.address = target.host;
            destination.owner = Owner::default();
        }
        destination.socket.port = target.port;
        Some(context)
    }

    /// Tells campaigns that grew; one without events for a window is told a last time.
    fn tell(&mut self, now: Timestamp, config: &BehaviorConfig, sink: &mut impl FindingSink) {
        self.campaigns.retain_mut(|(group, campaign)| {
            let over = now.since(campaign.last()) >= config.window;
            let interval = if over { 0 } else { config.update_interval };
            campaign.tell(now, interval, |figures| describe(*group, figures), sink);
            !over
        });
    }
}

/// What a contact was aimed at, if that is the address of one host.
fn target(contact: &Contact) -> Option<Target> {
    let destination = &contact.context.destination.socket;
    let single = match destination.address {
        IpAddr::V4(address) => !(address.is_multicast() || address.is_broadcast()),
        IpAddr::V6(address) => !address.is_multicast(),
    };
    let answer = contact.attempt == Attempt::Udp && destination.port >= FIRST_EPHEMERAL;
    (single && !answer).then_some(Target {
        attempt: contact.attempt,
        host: destination.address,
        port: destination.port,
    })
}

const fn threshold(group: Group, config: &BehaviorConfig) -> Option<u32> {
    match group {
        Group::Host(Attempt::Echo, _) => None,
        Group::Host(Attempt::Syn | Attempt::Udp, _) => Some(config.scan_ports),
        Group::Host(..) => Some(config.odd_ports),
        Group::Port(..) => Some(config.sweep_hosts),
        Group::All => Some(config.network_pairs),
    }
}

const fn behavior(group: Group) -> Behavior {
    match group {
        Group::Host(Attempt::Fin, _) => Behavior::FinScan,
        Group::Host(Attempt::Null, _) => Behavior::NullScan,
        Group::Host(Attempt::Xmas, _) => Behavior::XmasScan,
        Group::Host(Attempt::Ack, _) => Behavior::AckScan,
        Group::Host(Attempt::Udp, _) => Behavior::UdpScan,
        Group::Host(Attempt::Syn | Attempt::Echo, _) => Behavior::PortScan,
        Group::Port(Attempt::Echo, _) => Behavior::EchoSweep,
        Group::Port(Attempt::Udp, _) => Behavior::UdpSweep,
        Group::Port(..) => Behavior::TcpSweep,
        Group::All => Behavior::NetworkScan,
    }
}

fn describe(group: Group, figures: &Figures) -> String {
    let Figures { count, targets, .. } = figures;
    let duration = figures.duration();
    match group {
        Group::Host(_, host) => {
            format!("{targets} ports of {host} in {count} attempts and {duration}")
        }
        Group::Port(Attempt::Echo, _) => format!("{targets} hosts pinged in {duration}"),
        Group::Port(_, port) => {
            format!("port {port} of {targets} hosts in {count} attempts and {duration}")
        }
        Group::All => {
            format!("{targets} pairs of host and port in {count} attempts and {duration}")
        }
    }
}
