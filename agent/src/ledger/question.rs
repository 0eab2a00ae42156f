//! Who held something at a time, by what the ledger says.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Facts, Wall,
    chain::Sealer,
    history::{History, Life, Moment, Run},
    hold::{Hold, earlier, judged, pieces},
    record::GoneReason,
    segment, store,
    verify::{Verdict, Verifier},
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needle {
    /// Every container.
    All,
    /// An address.
    Address(IpAddr),
    /// A MAC address, as the ledger writes it.
    Mac(String),
    /// Anything else: a cgroup id, an interface index or name, an id or its beginning, a name.
    Text(String),
}

impl Needle {
    /// What a user typed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::Address(address.to_canonical());
        }
        match mac(text) {
            Some(mac) => Self::Mac(mac),
            None => Self::Text(text.to_owned()),
        }
    }
}

/// Six octets with `:` or `-`, written as the ledger has them.
fn mac(text: &str) -> Option<String> {
    let octets: Vec<_> = text.split([':', '-']).collect();
    let is_octet =
        |octet: &&str| octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit());
    (octets.len() == 6 && octets.iter().all(is_octet))
        .then(|| octets.join(":").to_ascii_lowercase())
}

/// By what a container answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its cgroup id.
    CgroupId,
    /// Its id, or the beginning of it.
    Id,
    /// Its name.
    Name,
    /// An address that its runtime assigned.
    AssignedAddress,
    /// An address on one of its interfaces, of which no runtime has told.
    OwnAddress,
    /// A MAC address.
    Mac,
    /// A link's name.
    Link,
    /// A link's interface index.
    Ifindex,
    /// Everything was asked for.
    All,
}

impl By {
    /// Whether it is the container's for as long as it lives.
    pub(super) const fn is_for_life(self) -> bool {
        matches!(self, Self::CgroupId | Self::Id | Self::All)
    }
}

/// How sure an answer is, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It was seen to hold it then.
    Certain,
    /// All that is known speaks for it.
    Likely,
    /// It cannot be excluded.
    Possible,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub needle: Needle,
    /// Only those that listened on this port.
    pub port: Option<u16>,
    /// From when.
    pub from: Wall,
    /// Until when; the same as `from` for one moment.
    pub to: Wall,
}

/// One container that held it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Its number in the ledger.
    pub container: u64,
    /// How sure that is.
    pub certainty: Certainty,
    /// Why it is no surer, or what it rests on.
    pub reason: String,
    /// By what it answers.
    pub by: By,
    /// From when on it held that.
    pub held_from: Wall,
    /// Until when; none while it holds it.
    pub held_to: Option<Wall>,
    /// When the container was first seen.
    pub first_seen: Wall,
    /// When it was seen to be gone.
    pub gone: Option<Wall>,
    /// How that is known.
    pub gone_by: Option<GoneReason>,
    /// When it was last known to be there, if nobody saw it go.
    pub last_seen: Option<Wall>,
    /// What was known of it then.
    pub facts: Facts,
}

/// All that a ledger says to a question.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The surest first.
    pub answers: Vec<Answer>,
    /// Answers that are left out.
    pub more: u64,
    /// Why there is none.
    pub unknown: Option<String>,
    /// What one has to know of these answers.
    pub notes: Vec<String>,
    /// How the chain stands.
    pub verdict: Verdict,
}

impl Question {
    /// Asks the ledger in a folder.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn ask(&self, directory: &Path, sealer: Sealer) -> io::Result<Answers> {
        // Asked first: an agent that ends meanwhile was there when the last line was written.
        let in_use = store::is_in_use(directory);
        let mut verifier = Verifier::new(sealer, None);
        let mut history = History::new(self);
        segment::for_each_line(directory, |read| {
            let line = serde_json::from_slice(read.bytes).ok();
            verifier.take(&read, line.as_ref());
            if let Some(line) = line.filter(|_| read.whole) {
                history.take(line);
            }
        })?;
        let verdict = verifier.finish();
        let mut answers = history.answers(in_use);
        name_sharers(&mut answers);
        Ok(Answers {
            unknown: answers
                .is_empty()
                .then(|| self.why_unknown(&history, in_use)),
            notes: self.notes(&history, &verdict, directory),
            more: history.more,
            answers,
            verdict,
        })
    }

    /// Whether a life answers, and how. `runs` are those up to now.
    pub(super) fn answer(&self, life: &Life, runs: &[Run], in_use: bool) -> Option<Answer> {
        let mut best: Option<(Certainty, String, &Hold<'_>)> = None;
        let holds = self.holds(life);
        for hold in &holds {
            for piece in pieces(life, hold, runs, in_use) {
                if !self.touches(piece.from, piece.to) {
                    continue;
                }
                let certainty = piece.certainty.max(hold.certainty);
                if best.as_ref().is_none_or(|(before, ..)| certainty < *before) {
                    let reason = if piece.certainty >= hold.certainty && !piece.reason.is_empty() {
                        piece.reason
                    } else {
                        hold.reason.clone()
                    };
                    best = Some((certainty, reason, hold));
                }
            }
        }
        let (certainty, reason, hold) = best?;
        let end = life.end;
        Some(Answer {
            container: life.number,
            certainty,
            reason,
            by: hold.by,
            held_from: hold.from.wall,
            held_to: hold.to.map(|to| to.wall),
            first_seen: life.since,
            gone: end.map(|end| end.at.wall),
            gone_by: end.map(|end| end.why),
            last_seen: end.and_then(|end| end.last_seen),
            facts: self.facts(life, hold, runs),
        })
    }

    /// Whether the time that is asked for and one from `from` to before `to` have something in
    /// common.
    fn touches(&self, from: Wall, to: Option<Wall>) -> bool {
        let ends_later = to.is_none_or(|to| self.from < to);
        let begins_earlier = if self.from == self.to {
            from <= self.to
        } else {
            from < self.to
        };
        ends_later && begins_earlier
    }

    /// Strongest way in which these facts are what is asked for.
    fn matches(&self, facts: &Facts) -> Option<By> {
        let listens = |port| facts.listening.iter().any(|socket| socket.port == port);
        if self.port.is_some_and(|port| !listens(port)) {
            return None;
        }
        match &self.needle {
            Needle::All => Some(By::All),
            Needle::Address(address) => {
                let has = |addresses: &[IpAddr]| {
                    addresses.iter().any(|one| one.to_canonical() == *address)
                };
                if has(&facts.assigned) {
                    Some(By::AssignedAddress)
                } else {
                    has(&facts.addresses).then_some(By::OwnAddress)
                }
            }
            Needle::Mac(mac) => facts.macs.contains(mac).then_some(By::Mac),
            Needle::Text(text) => {
                let number: Option<u64> = text.parse().ok();
                let is_id = text.len() >= 4 && facts.id.starts_with(text.as_str());
                if number.is_some_and(|number| number != 0 && number == facts.cgroup_id) {
                    Some(By::CgroupId)
                } else if facts.name == *text && !text.is_empty() {
                    Some(By::Name)
                } else if facts.links.iter().any(|link| link.name == *text) {
                    Some(By::Link)
                } else if facts
                    .links
                    .iter()
                    .any(|link| number == Some(link.ifindex.into()))
                {
                    Some(By::Ifindex)
                } else {
                    is_id.then_some(By::Id)
                }
            }
        }
    }

    /// The times in which a life held what is asked for.
    fn holds<'l>(&self, life: &'l Life) -> Vec<Hold<'l>> {
        let mut holds: Vec<Hold<'_>> = Vec::new();
        let mut starts = life.versions.iter().map(|(from, _)| *from).skip(1);
        let mut is_held = false;
        for (from, facts) in &life.versions {
            let to = starts.next().or(life.end.map(|end| end.at));
            let Some(by) = self.matches(facts) else {
                is_held = false;
                continue;
            };
            match holds.last_mut().filter(|_| is_held) {
                Some(hold) => {
                    hold.to = to;
                    // That a runtime has assigned an address is told a moment after it is there.
                    if by == By::AssignedAddress {
                        (hold.by, hold.certainty, hold.reason) = judged(by);
                    }
                }
                None => holds.push(Hold::new(*from, to, by, facts)),
            }
            is_held = true;
        }
        match (holds.first(), &life.late) {
            (Some(first), _) => holds.extend(earlier(life, first)),
            (None, Some(late)) => holds.extend(self.matches(late).map(|by| Hold {
                certainty: Certainty::Likely,
                reason: "its runtime told so after it had gone".to_owned(),
                ..Hold::new(life.from, life.end.map(|end| end.at), by, late)
            })),
            (None, None) => {}
        }
        holds
    }

    /// What was known at the end of the time that is asked for, completed by what was told later.
    fn facts(&self, life: &Life, hold: &Hold<'_>, runs: &[Run]) -> Facts {
        let is_then = |at: &Moment| {
            let (from, to) = (hold.from, hold.to);
            let wall = self.to;
            let is_before = to.is_none_or(|to| *at < to);
            *at <= from || is_before && at.wall <= wall && runs.get(at.run).is_some()
        };
        let then = life.versions.iter().rev().find(|(at, _)| is_then(at));
        let mut facts = then.map_or(hold.facts, |(_, facts)| facts).clone();
        let later = life
            .versions
            .iter()
            .map(|(_, facts)| facts)
            .chain(&life.late);
        for known in later {
            if facts.unknown.is_some() && known.unknown.is_none() {
                facts = facts.or_known(known);
            }
        }
        facts
    }

    fn why_unknown(&self, history: &History<'_>, in_use: bool) -> String {
        let runs = &history.runs;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return "the ledger is empty".to_owned();
        };
        if self.to < first.start {
            let why = if history.dropped {
                ", older segments were dropped"
            } else {
                ""
            };
            return format!(
                "the ledger does not reach back so far: it begins at {}{why}",
                first.start
            );
        }
        if self.from > last.end && !in_use {
            return format!("no agent has written since {}", last.end);
        }
        let gap = runs.windows(2).find_map(|pair| match pair {
            [before, after] if before.end < self.from && self.to < after.start => {
                Some((before, after))
            }
            _ => None,
        });
        match gap {
            Some((before, after)) if after.by_clock => {
                format!(
                    "there was no such time: the clock was set from {} to {}",
                    before.end, after.start
                )
            }
            Some((before, after)) => {
                format!("no agent wrote from {} to {}", before.end, after.start)
            }
            None => "the ledger has nobody who held it then".to_owned(),
        }
    }

    fn notes(&self, history: &History<'_>, verdict: &Verdict, directory: &Path) -> Vec<String> {
        let mut notes = Vec::new();
        let there = |run: &&Run| run.start <= self.to && self.from <= run.end;
        if history.runs.iter().filter(there).count() > 1 && self.from == self.to {
            notes
                .push("the wall clock was set back: there was this time more than once".to_owned());
        }
        if !verdict.is_sound() {
            let place = |broken: &super::verify::Break| -> PathBuf { broken.file.clone() };
            let file = verdict
                .breaks
                .first()
                .map(place)
                .unwrap_or_else(|| directory.to_owned());
            notes.push(format!(
                "the ledger is not as it was written ({}): run `hydrophone ledger verify`",
                file.display()
            ));
        }
        if history.lost > 0 {
            notes.push(format!(
                "{} intermediate states were lost to a slow disk",
                history.lost
            ));
        }
        if history.more > 0 {
            notes.push(format!(
                "{} more answers are left out: ask for a shorter time",
                history.more
            ));
        }
        notes
    }
}

/// Says of those that answer together whether they share a network namespace.
fn name_sharers(answers: &mut [Answer]) {
    let spaces: Vec<_> = answers
        .iter()
        .map(|answer| answer.facts.netns_cookie)
        .collect();
    for answer in answers {
        let cookie = answer.facts.netns_cookie;
        let others = spaces.iter().filter(|other| **other == cookie).count();
        if cookie != 0 && others > 1 && !answer.by.is_for_life() && answer.by != By::Name {
            answer
                .reason
                .push_str("; shared with others in the same network namespace");
        }
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
