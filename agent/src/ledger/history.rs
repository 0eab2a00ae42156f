//! The ledger as it is read: lives of containers, and the times for which it speaks.
//!
//! Times are compared within a *run*: from a start of the agent, or a step of the wall clock, to the
//! next. Within a run the wall clock only goes forward. Where it was set back, one time is in two
//! runs, and both answer.

use std::collections::{HashMap, VecDeque};

use super::{
    Facts, Wall,
    question::{Answer, Question},
    record::{GoneReason, Line, Record},
};

/// A point of time in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) run: usize,
    pub(super) wall: Wall,
}

/// A time for which the ledger speaks without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Of its first line.
    pub(super) start: Wall,
    /// Of its last line.
    pub(super) end: Wall,
    /// The clock was set when it began; else the agent started.
    pub(super) by_clock: bool,
    /// The agent said that it ended.
    pub(super) stopped: bool,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: Moment,
    pub(super) why: GoneReason,
    pub(super) last_seen: Option<Wall>,
}

/// One container's life.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) number: u64,
    /// First seen; earlier than `from` when what was known then is no longer in the ledger.
    pub(super) since: Wall,
    pub(super) from: Moment,
    pub(super) end: Option<End>,
    /// What was known from when on. Never empty.
    pub(super) versions: Vec<(Moment, Facts)>,
    /// What was told after it had gone.
    pub(super) late: Option<Facts>,
}

/// Versions kept of one container; of one that changes more often, those in the middle are lost.
const MAX_VERSIONS: usize = 256;

impl Life {
    fn new(number: u64, since: Wall, from: Moment, facts: Facts) -> Self {
        Self {
            number,
            since,
            from,
            end: None,
            versions: vec![(from, facts)],
            late: None,
        }
    }

    fn last(&self) -> Facts {
        let last = self.versions.last().map(|(_, facts)| facts);
        self.late.as_ref().or(last).cloned().unwrap_or_default()
    }

    fn learn(&mut self, at: Moment, facts: Facts) {
        if self.end.is_some() {
            self.late = Some(facts);
            return;
        }
        if self.versions.len() >= MAX_VERSIONS {
            self.versions.remove(MAX_VERSIONS / 2);
        }
        self.versions.push((at, facts));
    }
}

/// Lives that are over and do not answer the question yet: what is told later may change that.
const MAX_RECENT: usize = 10_000;
/// Lives that answer.
const MAX_KEPT: usize = 10_000;

/// Reads lines and keeps those lives that answer a question.
#[derive(Debug)]
pub(super) struct History<'a> {
    question: &'a Question,
    pub(super) runs: Vec<Run>,
    open: HashMap<u64, Life>,
    kept: HashMap<u64, Life>,
    recent: HashMap<u64, Life>,
    order: VecDeque<u64>,
    /// Answers beyond those that are kept.
    pub(super) more: u64,
    /// Snapshots that the ledger says it lost.
    pub(super) lost: u64,
    /// Whether older lines have been dropped.
    pub(super) dropped: bool,
}

impl<'a> History<'a> {
    pub(super) fn new(question: &'a Question) -> Self {
        Self {
            question,
            runs: Vec::new(),
            open: HashMap::new(),
            kept: HashMap::new(),
            recent: HashMap::new(),
            order: VecDeque::new(),
            more: 0,
            lost: 0,
            dropped: false,
        }
    }

    pub(super) fn take(&mut self, line: Line) {
        let now = self.moment(&line);
        match line.record {
            Record::Appear { container, facts } => {
                let life = Life::new(container, now.wall, now, facts);
                self.open.insert(container, life);
            }
            Record::Carry {
                container,
                since,
                facts,
            } => match self.open.get_mut(&container) {
                Some(life) if life.last() == facts => {}
                Some(life) => life.learn(now, facts),
                None => {
                    let life = Life::new(container, since, now, facts);
                    self.open.insert(container, life);
                }
            },
            Record::Change { container, facts } => self.change(container, &facts, now),
            Record::Gone {
                container,
                why,
                last_seen,
            } => {
                if let Some(mut life) = self.open.remove(&container) {
                    life.end = Some(End {
                        at: now,
                        why,
                        last_seen,
                    });
                    self.close(life);
                }
            }
            Record::Lost { snapshots } => self.lost += snapshots,
            Record::Dropped { .. } => self.dropped = true,
            Record::Stop => {
                if let Some(run) = self.runs.last_mut() {
                    run.stopped = true;
                }
            }
            _ => {}
        }
    }

    /// The moment of a line; begins a run where one begins.
    fn moment(&mut self, line: &Line) -> Moment {
        let begins = match line.record {
            Record::Start { .. } => Some(false),
            Record::Clock { .. } => Some(true),
            _ if self.runs.is_empty() => Some(false),
            _ => None,
        };
        if let Some(by_clock) = begins {
            self.runs.push(Run {
                start: line.time,
                end: line.time,
                by_clock,
                stopped: false,
            });
        }
        let run = self.runs.len().saturating_sub(1);
        let is_mending = matches!(line.record, Record::Cut { .. });
        let wall = self.runs.last_mut().map_or(line.time, |last| {
            // A clock that is being adjusted may go back by less than makes a new run. That a torn end
            // was cut off is written by the next agent: the one before says nothing of that time.
            if !is_mending {
                last.end = last.end.max(line.time);
            }
            last.end
        });
        Moment { run, wall }
    }

    fn change(
        &mut self,
        number: u64,
        patch: &serde_json::Map<String, serde_json::Value>,
        now: Moment,
    ) {
        let over = self
            .recent
            .remove(&number)
            .or_else(|| self.kept.remove(&number));
        if let Some(mut life) = over {
            let mut facts = life.last();
            facts.apply(patch);
            life.learn(now, facts);
            self.order.retain(|other| *other != number);
            self.close(life);
        } else if let Some(life) = self.open.get_mut(&number) {
            let mut facts = life.last();
            facts.apply(patch);
            life.learn(now, facts);
        }
    }

    fn close(&mut self, life: Life) {
        if self.question.answer(&life, &self.runs, false).is_some() {
            if self.kept.len() < MAX_KEPT {
                self.kept.insert(life.number, life);
            } else {
                self.more += 1;
            }
            return;
        }
        if self.order.len() >= MAX_RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        self.order.push_back(life.number);
        self.recent.insert(life.number, life);
    }

    /// All answers, the surest first, then the earliest. `in_use`: an agent writes the ledger now.
    pub(super) fn answers(&self, in_use: bool) -> Vec<Answer> {
        let all = self.open.values().chain(self.kept.values());
        let mut answers: Vec<_> = all
            .filter_map(|life| self.question.answer(life, &self.runs, in_use))
            .collect();
        answers.sort_by_key(|answer| (answer.certainty, answer.held_from, answer.container));
        answers
    }
}
