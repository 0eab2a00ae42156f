//! One finding for one thing that goes on, however many events it is made of.

use std::sync::Arc;

use crate::{
    finding::{Context, Evidence, Finding, FindingSink},
    packet::Timestamp,
    signature::Signature,
};

/// Something that was told and goes on.
#[derive(Debug)]
pub(crate) struct Campaign {
    signature: Arc<Signature>,
    context: Context,
    /// First event.
    first: Timestamp,
    /// Last event.
    last: Timestamp,
    /// Events.
    count: u64,
    /// Distinct targets.
    targets: u64,
    told_at: Timestamp,
    told_count: u64,
}

impl Campaign {
    /// A campaign that comes to light with `count` events from `first` on.
    pub(crate) const fn new(
        signature: Arc<Signature>,
        context: Context,
        first: Timestamp,
        count: u64,
        targets: u64,
    ) -> Self {
        let last = context.timestamp;
        Self {
            signature,
            context,
            first,
            last,
            count,
            targets,
            told_at: Timestamp(0),
            told_count: 0,
        }
    }

    /// One more event.
    pub(crate) fn add(&mut self, now: Timestamp, new_target: bool) {
        self.count += 1;
        self.targets += u64::from(new_target);
        self.last = self.last.max(now);
    }

    /// When the last event was.
    pub(crate) const fn last(&self) -> Timestamp {
        self.last
    }

    /// Tells it: at once the first time, then at most every `interval` nanoseconds, and only if
    /// it has grown. `describe` makes the sentence from events, targets and seconds.
    pub(crate) fn tell(
        &mut self,
        now: Timestamp,
        interval: u64,
        describe: impl FnOnce(&Figures) -> String,
        sink: &mut impl FindingSink,
    ) {
        let begins = self.told_count == 0;
        if !begins && (self.count == self.told_count || now.since(self.told_at) < interval) {
            return;
        }
        self.told_at = now;
        self.told_count = self.count;
        let figures = Figures {
            count: self.count,
            targets: self.targets,
            milliseconds: self.last.since(self.first) / 1_000_000,
        };
        let mut context = self.context.clone();
        context.timestamp = self.last;
        sink.finding(Finding {
            signature: Arc::clone(&self.signature),
            context,
            evidence: Some(Evidence {
                summary: describe(&figures),
                count: self.count,
                targets: self.targets,
                first: self.first,
                last: self.last,
            }),
            conditions: None,
        });
    }
}

/// What a campaign amounts to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) count: u64,
    pub(crate) targets: u64,
    milliseconds: u64,
}

impl Figures {
    /// The duration as "1.2 s".
    pub(crate) fn duration(&self) -> String {
        format!(
            "{}.{} s",
            self.milliseconds / 1000,
            self.milliseconds % 1000 / 100
        )
    }
}
