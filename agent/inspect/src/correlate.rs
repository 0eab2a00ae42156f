//! What is across flows: the signals of all inspectors in, findings out.

pub use crate::behavior::{BehaviorConfig, BehaviorStats};
use crate::{
    anomaly::Anomaly,
    behavior::{Actor, Campaign, Floods, Roster, SECOND, Scans, Signatures},
    engine::{Occurrence, Thresholds},
    finding::{Context, Finding, FindingSink},
    packet::Timestamp,
    rule::AlertFilters,
    signal::Signal,
};
use std::sync::Arc;

/// Turns signals into findings. One for the whole host, on one thread.
#[derive(Debug)]
pub struct Correlator {
    config: BehaviorConfig,
    signatures: Signatures,
    scans: Scans,
    floods: Floods,
    anomalies: Roster<(Anomaly, Actor), Option<Campaign>>,
    thresholds: Thresholds,
    stats: BehaviorStats,
    now: Timestamp,
}

/// Takes findings of behaviours, and hands on those that the filters let by.
struct Gate<'a, S> {
    thresholds: &'a mut Thresholds,
    sink: &'a mut S,
}

impl<S: FindingSink> FindingSink for Gate<'_, S> {
    fn finding(&mut self, finding: Finding) {
        let occurrence = occurrence(&finding.context);
        if self
            .thresholds
            .admit_behavior(&finding.signature, &occurrence)
        {
            self.sink.finding(finding);
        }
    }
}

const fn occurrence(context: &Context) -> Occurrence {
    Occurrence {
        source: context.source.socket,
        destination: context.destination.socket,
        flow: context.flow.id,
        now: context.timestamp,
    }
}

impl Correlator {
    /// A correlator that has seen nothing.
    #[must_use]
    pub fn new(config: BehaviorConfig) -> Self {
        Self {
            signatures: Signatures::new(),
            scans: Scans::new(&config),
            floods: Floods::new(&config),
            anomalies: Roster::new(config.anomalies),
            thresholds: Thresholds::default(),
            stats: BehaviorStats::default(),
            now: Timestamp::default(),
            config,
        }
    }

    /// Which findings are held back from now on.
    pub fn filter_by(&mut self, filters: &Arc<AlertFilters>) {
        self.thresholds.filter_by(filters);
    }

    /// What the behaviours hold, and what they gave up.
    #[must_use]
    pub fn stats(&self) -> BehaviorStats {
        BehaviorStats {
            actors: self.scans.actors() as u64,
            targets: self.scans.targets() as u64,
            suppressed: self.thresholds.suppressed,
            rate_filtered: self.thresholds.rate_filtered,
            below_threshold: self.thresholds.below,
            thresholds_evicted: self.thresholds.evicted,
            ..self.stats
        }
    }

    /// Takes in one signal.
    pub fn signal(&mut self, signal: Signal, sink: &mut impl FindingSink) {
        match signal {
            Signal::Match { rule, context } => {
                if !self.thresholds.admit(&rule, &occurrence(&context)) {
                    return;
                }
                sink.finding(Finding {
                    signature: Arc::clone(&rule.signature),
                    context,
                    evidence: None,
                    conditions: rule.conditions(),
                });
            }
            Signal::Contact(contact) => {
                self.now = self.now.max(contact.context.timestamp);
                self.stats.contacts += 1;
                let Self {
                    config,
                    signatures,
                    scans,
                    floods,
                    thresholds,
                    stats,
                    ..
                } = self;
                let sink = &mut Gate { thresholds, sink };
                scans.contact(&contact, config, signatures, stats, sink);
                floods.contact(&contact, config, signatures, stats, sink);
            }
            Signal::Event(event) => sink.event(event),
            Signal::Anomaly { anomaly, context } => {
                if anomaly.alerts() {
                    self.anomaly(anomaly, context, sink);
                }
            }
        }
    }

    /// Draws conclusions from what has not come by `now`, and forgets what is old. To be called
    /// about once a second.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl FindingSink) {
        self.now = self.now.max(now);
        let now = self.now;
        let sink = &mut Gate {
            thresholds: &mut self.thresholds,
            sink,
        };
        self.scans.tick(now, &self.config, &self.signatures, sink);
        self.floods.tick(now, &self.config, &self.signatures, sink);
        let config = &self.config;
        self.anomalies.retain(|(anomaly, _), campaign, touched| {
            let over = now.since(touched) >= config.window;
            let interval = if over { 0 } else { config.update_interval };
            if let Some(campaign) = campaign {
                campaign.tell(
                    now,
                    interval,
                    |figures| describe(*anomaly, figures.count),
                    sink,
                );
            }
            !over
        });
    }

    /// Concludes everything: no signal will follow.
    pub fn finish(&mut self, sink: &mut impl FindingSink) {
        let settle = self.config.settle.max(SECOND);
        self.tick(Timestamp(self.now.0.saturating_add(settle)), sink);
        self.tick(Timestamp(u64::MAX), sink);
    }

    /// One finding for one kind of anomaly from one actor, then updates.
    fn anomaly(&mut self, anomaly: Anomaly, context: Context, sink: &mut impl FindingSink) {
        let now = context.timestamp;
        self.now = self.now.max(now);
        let key = (anomaly, Actor::of(&context));
        let (entry, evicted) = self.anomalies.entry(key, now);
        self.stats.anomalies_evicted += u64::from(evicted.is_some());
        match entry {
            Some(campaign) => campaign.add(now, false),
            None => {
                let Some(signature) = self.signatures.anomaly(anomaly) else {
                    return;
                };
                *entry = Some(Campaign::new(signature, context, now, 1, 1));
            }
        }
        if let Some(campaign) = entry {
            let interval = self.config.update_interval;
            let gate = &mut Gate {
                thresholds: &mut self.thresholds,
                sink,
            };
            campaign.tell(
                now,
                interval,
                |figures| describe(anomaly, figures.count),
                gate,
            );
        }
    }
}

fn describe(anomaly: Anomaly, count: u64) -> String {
    format!("{} seen {count} times", anomaly.name())
}
