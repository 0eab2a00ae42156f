//! The times in which a container held something, and how well each part of them is known.

use super::{
    Facts, Wall,
    history::{Life, Moment, Run},
    question::{By, Certainty},
    record::GoneReason,
};

/// After so long a container's network is set up: what is seen later came later.
const SETUP: u64 = 10 * 1_000_000;

/// A time in which a life held what is asked for.
pub(super) struct Hold<'l> {
    pub(super) from: Moment,
    pub(super) to: Option<Moment>,
    pub(super) by: By,
    pub(super) certainty: Certainty,
    pub(super) reason: String,
    pub(super) facts: &'l Facts,
}

impl<'l> Hold<'l> {
    pub(super) fn new(from: Moment, to: Option<Moment>, by: By, facts: &'l Facts) -> Self {
        let (by, certainty, reason) = judged(by);
        Self {
            from,
            to,
            by,
            certainty,
            reason,
            facts,
        }
    }
}

/// How sure one can be of what was seen.
pub(super) fn judged(by: By) -> (By, Certainty, String) {
    match by {
        By::OwnAddress => (
            by,
            Certainty::Likely,
            "the address was on its interface; no runtime has said that it is its own".to_owned(),
        ),
        By::AssignedAddress => (
            by,
            Certainty::Certain,
            "its runtime assigned the address".to_owned(),
        ),
        _ => (by, Certainty::Certain, "seen".to_owned()),
    }
}

/// What a container may have held before it was first seen to.
pub(super) fn earlier<'l>(life: &Life, first: &Hold<'l>) -> Vec<Hold<'l>> {
    let mut holds = Vec::new();
    let after = first.from.wall.0.saturating_sub(life.from.wall.0);
    if first.from > life.from
        && first.from.run == life.from.run
        && after <= SETUP
        && !first.by.is_for_life()
    {
        holds.push(Hold {
            from: life.from,
            to: Some(first.from),
            by: first.by,
            certainty: Certainty::Likely,
            reason: format!(
                "it was being set up: first seen with it {} ms later",
                after / 1_000
            ),
            facts: first.facts,
        });
    }
    if life.since < life.from.wall && first.from == life.from {
        let certainty = if first.by.is_for_life() {
            Certainty::Certain
        } else {
            Certainty::Possible
        };
        holds.push(Hold {
            from: Moment {
                wall: life.since,
                ..life.from
            },
            to: Some(life.from),
            by: first.by,
            certainty,
            reason: "it was there; what it held then is no longer in the ledger".to_owned(),
            facts: first.facts,
        });
    }
    holds
}

/// A part of a hold, as far as it is known in one way; `to` is not in it.
pub(super) struct Piece {
    pub(super) from: Wall,
    pub(super) to: Option<Wall>,
    pub(super) certainty: Certainty,
    pub(super) reason: String,
}

pub(super) fn pieces(life: &Life, hold: &Hold<'_>, runs: &[Run], in_use: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // Nobody saw it go: the last that is known is the end of the run before.
    let unseen = life
        .end
        .filter(|end| end.why != GoneReason::Seen && Some(end.at) == hold.to);
    let last_run = hold.to.map_or(runs.len().saturating_sub(1), |to| to.run);
    let within = runs
        .iter()
        .enumerate()
        .take(last_run + 1)
        .skip(hold.from.run);
    for (index, run) in within {
        let from = if index == hold.from.run {
            hold.from.wall
        } else {
            run.start
        };
        let is_last = index == last_run;
        let after_end = Some(Wall(run.end.0 + 1));
        let to = match hold.to {
            Some(to) if is_last => Some(to.wall),
            _ => after_end,
        };
        if !(is_last && unseen.is_some() && index > hold.from.run) {
            pieces.push(Piece {
                from,
                to,
                certainty: Certainty::Certain,
                reason: String::new(),
            });
        }
        if let Some(next) = runs
            .get(index + 1)
            .filter(|next| !is_last && !next.by_clock)
        {
            let is_unseen = unseen.is_some() && index + 1 == last_run;
            let (certainty, reason) = between(is_unseen, run.end, next.start);
            pieces.push(Piece {
                from: run.end,
                to: Some(next.start),
                certainty,
                reason,
            });
        }
        if is_last && hold.to.is_none() {
            let (certainty, reason) = since(run, in_use);
            pieces.push(Piece {
                from: run.end,
                to: None,
                certainty,
                reason,
            });
        }
    }
    pieces
}

/// While no agent ran.
fn between(is_unseen: bool, end: Wall, start: Wall) -> (Certainty, String) {
    if is_unseen {
        let reason = format!("last seen {end}; it was gone when the agent came back at {start}");
        (Certainty::Possible, reason)
    } else {
        let reason = format!("no agent wrote from {end} to {start}; it held it before and after");
        (Certainty::Likely, reason)
    }
}

/// After the last line.
fn since(run: &Run, in_use: bool) -> (Certainty, String) {
    if in_use {
        (Certainty::Certain, String::new())
    } else {
        let how = if run.stopped {
            "the agent stopped"
        } else {
            "the last line was written"
        };
        (
            Certainty::Possible,
            format!("{how} at {}; it was there then", run.end),
        )
    }
}
