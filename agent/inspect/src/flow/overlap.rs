//! Which bytes a receiver keeps where two segments, or two fragments, overlap.
//!
//! The policies and their names go back to U. Shankar, V. Paxson, "Active Mapping" (2003), J. Novak,
//! "Target-Based Fragmentation Reassembly" (2005), and J. Novak, S. Sturges, "Target-Based TCP Stream
//! Reassembly" (2007). Written after summaries of these: but for Linux, no system was asked.

use core::cmp::Ordering::{Equal, Greater, Less};

/// Places of the first byte and behind the last one of a whole segment or fragment.
pub(super) type Extent = (i64, i64);

/// How receivers resolve overlaps, by the names that Suricata and Snort use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// Linux today. TCP: new bytes win if they start earlier, or at the same place and reach
    /// farther. Fragments: an overlap drops the datagram.
    #[default]
    Linux,
    /// What came first.
    First,
    /// What came last.
    Last,
    /// 4.4BSD: what starts earlier; what came first if both start at the same place.
    Bsd,
    /// What came last, unless it starts earlier.
    BsdRight,
    /// Linux before 2.4.27 (TCP) and 4.19 (fragments): as `Bsd`, but of two that start at the
    /// same place the newer one, for TCP only if it is not shorter.
    OldLinux,
    /// Windows to 2003. TCP: as `Bsd`. Fragments: new ones win over what they reach beyond at
    /// both ends.
    Windows,
    /// Windows 2003, decided as `Windows`.
    Windows2k3,
    /// Windows Vista and later: what came first.
    Vista,
    /// Solaris: new bytes win if they reach farther, or as far and do not start later; among
    /// fragments only if they start earlier and reach as far.
    Solaris,
    /// HP-UX 11: TCP as `Solaris`, fragments as `First`.
    Hpux,
    /// HP-UX 10: as `Bsd`.
    Hpux10,
    /// IRIX: as `Bsd`.
    Irix,
    /// Mac OS X. TCP as `Bsd`, fragments as `First`.
    Macos,
}

impl OverlapPolicy {
    /// Every policy.
    pub const ALL: [Self; 14] = [
        Self::Linux,
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::BsdRight,
        Self::OldLinux,
        Self::Windows,
        Self::Windows2k3,
        Self::Vista,
        Self::Solaris,
        Self::Hpux,
        Self::Hpux10,
        Self::Irix,
        Self::Macos,
    ];

    /// What decides about TCP segments that wait.
    pub(super) const fn of_segments(self) -> Favour {
        match self {
            Self::Linux => Favour::EarlierOrLonger,
            Self::First | Self::Vista => Favour::Old,
            Self::Last => Favour::New,
            Self::Bsd
            | Self::Windows
            | Self::Windows2k3
            | Self::Hpux10
            | Self::Irix
            | Self::Macos => Favour::Earlier,
            Self::BsdRight => Favour::NotEarlier,
            Self::OldLinux => Favour::EarlierOrAsLong,
            Self::Solaris | Self::Hpux => Favour::Farther,
        }
    }

    /// What decides about fragments of IPv4; `None` drops the datagram.
    pub(super) const fn of_fragments(self) -> Option<Favour> {
        Some(match self {
            Self::Linux => return None,
            Self::First | Self::Vista | Self::Hpux | Self::Macos => Favour::Old,
            Self::Last => Favour::New,
            Self::Bsd | Self::Hpux10 | Self::Irix => Favour::Earlier,
            Self::BsdRight => Favour::NotEarlier,
            Self::OldLinux => Favour::NotLater,
            Self::Windows | Self::Windows2k3 => Favour::Around,
            Self::Solaris => Favour::EarlierAndAsFar,
        })
    }
}

/// When new bytes win over old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Favour {
    /// Never.
    Old,
    /// Always.
    New,
    /// If they start earlier.
    Earlier,
    /// Unless they start earlier.
    NotEarlier,
    /// Unless they start later.
    NotLater,
    /// If they start earlier, or at the same place and end later.
    EarlierOrLonger,
    /// If they start earlier, or at the same place and do not end earlier.
    EarlierOrAsLong,
    /// If they end later, or at the same place and do not start later.
    Farther,
    /// If they start earlier and end later.
    Around,
    /// If they start earlier and do not end earlier.
    EarlierAndAsFar,
}

impl Favour {
    /// Whether the new of two that overlap has the bytes which both have.
    pub(super) fn takes_new(self, old: Extent, new: Extent) -> bool {
        let start = new.0.cmp(&old.0);
        let end = new.1.cmp(&old.1);
        match self {
            Self::Old => false,
            Self::New => true,
            Self::Earlier => start == Less,
            Self::NotEarlier => start != Less,
            Self::NotLater => start != Greater,
            Self::EarlierOrLonger => start == Less || (start == Equal && end == Greater),
            Self::EarlierOrAsLong => start == Less || (start == Equal && end != Less),
            Self::Farther => end == Greater || (end == Equal && start != Greater),
            Self::Around => start == Less && end == Greater,
            Self::EarlierAndAsFar => start == Less && end != Less,
        }
    }
}

/// A run of places that belongs to one segment or fragment.
#[derive(Clone, Debug)]
pub(super) struct Claim<T> {
    pub(super) from: i64,
    /// Behind the last place.
    pub(super) to: i64,
    /// Of all that the owner brought: receivers decide by it, not by what is left.
    extent: Extent,
    pub(super) owner: T,
}

/// Who owns which places: claims in order that never overlap.
#[derive(Debug)]
pub(super) struct Claims<T>(Vec<Claim<T>>);

impl<T> Default for Claims<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Claims<T> {
    pub(super) fn as_slice(&self) -> &[Claim<T>] {
        &self.0
    }

    /// Bytes of memory held, without the owners'.
    pub(super) fn footprint(&self) -> usize {
        self.0.capacity() * size_of::<Claim<T>>()
    }

    /// The claims that have places in common with `extent`.
    pub(super) fn overlapping(&self, extent: Extent) -> &[Claim<T>] {
        let (first, behind) = self.range(extent);
        self.0.get(first..behind).unwrap_or_default()
    }

    /// Decides about a new extent. `won` is called with each run that its owner has now; returned
    /// are the claims that were there, of which some may stand again.
    pub(super) fn insert(
        &mut self,
        favour: Favour,
        extent: Extent,
        owner: T,
        mut won: impl FnMut(&Claim<T>),
    ) -> Vec<Claim<T>> {
        let (start, end) = extent;
        let (first, behind) = self.range(extent);
        let old = self.0.get(first..behind).unwrap_or_default();
        let mut decided = Vec::with_capacity(2 * old.len() + 2);
        let mut add = |from: i64, to: i64, decided: &mut Vec<Claim<T>>| {
            if from < to {
                let owner = owner.clone();
                let claim = Claim {
                    from,
                    to,
                    extent,
                    owner,
                };
                won(&claim);
                decided.push(claim);
            }
        };
        let mut at = start;
        let mut rest = None;
        for claim in old {
            if !favour.takes_new(claim.extent, extent) {
                add(at, claim.from, &mut decided);
                decided.push(claim.clone());
                at = claim.to;
                continue;
            }
            if claim.from < start {
                decided.push(claim.part(claim.from, start));
            }
            rest = (claim.to > end).then(|| claim.part(end, claim.to));
        }
        add(at, end, &mut decided);
        decided.extend(rest);
        self.0.splice(first..behind, decided).collect()
    }

    /// Takes the first `count` claims.
    pub(super) fn take(&mut self, count: usize) -> std::vec::Drain<'_, Claim<T>> {
        self.0.drain(..count.min(self.0.len()))
    }

    fn range(&self, (start, end): Extent) -> (usize, usize) {
        let first = self.0.partition_point(|claim| claim.to <= start);
        let behind = self.0.partition_point(|claim| claim.from < end);
        (first, behind.max(first))
    }
}

impl<T: Clone> Claim<T> {
    fn part(&self, from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            extent: self.extent,
            owner: self.owner.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
