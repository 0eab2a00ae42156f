//! Several anomalies at once, and how often each occurred.

use core::ops::{BitOr, Deref, DerefMut};

use super::Anomaly;

const WORDS: usize = Anomaly::ALL.len().div_ceil(64);

/// Some of the anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AnomalySet([u64; WORDS]);

impl AnomalySet {
    /// Adds `anomaly`. Returns whether it was not there before.
    pub fn insert(&mut self, anomaly: Anomaly) -> bool {
        let Some(word) = self.0.get_mut(anomaly.index() / 64) else {
            return false;
        };
        let bit = 1 << (anomaly.index() % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Whether `anomaly` is one of them.
    #[must_use]
    pub fn contains(&self, anomaly: Anomaly) -> bool {
        let word = self.0.get(anomaly.index() / 64).copied().unwrap_or(0);
        word & (1 << (anomaly.index() % 64)) != 0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Whether the two have one in common.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = Anomaly> + '_ {
        Anomaly::ALL
            .into_iter()
            .filter(|&anomaly| self.contains(anomaly))
    }
}

impl BitOr for AnomalySet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let mut words = self.0;
        for (word, more) in words.iter_mut().zip(other.0) {
            *word |= more;
        }
        Self(words)
    }
}

impl From<Anomaly> for AnomalySet {
    fn from(anomaly: Anomaly) -> Self {
        Self::from_iter([anomaly])
    }
}

impl FromIterator<Anomaly> for AnomalySet {
    fn from_iter<I: IntoIterator<Item = Anomaly>>(anomalies: I) -> Self {
        let mut set = Self::default();
        for anomaly in anomalies {
            set.insert(anomaly);
        }
        set
    }
}

/// A count for each anomaly, by [`Anomaly::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyCounts([u64; Anomaly::ALL.len()]);

impl Default for AnomalyCounts {
    fn default() -> Self {
        Self([0; Anomaly::ALL.len()])
    }
}

impl Deref for AnomalyCounts {
    type Target = [u64; Anomaly::ALL.len()];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for AnomalyCounts {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl IntoIterator for AnomalyCounts {
    type Item = u64;
    type IntoIter = core::array::IntoIter<u64, { Anomaly::ALL.len() }>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_each_of_them() {
        for anomaly in Anomaly::ALL {
            let mut set = AnomalySet::default();
            assert!(set.is_empty() && !set.contains(anomaly));
            assert!(set.insert(anomaly));
            assert!(!set.insert(anomaly));
            assert!(set.iter().eq([anomaly]));
            assert!(set.intersects(&AnomalySet::from_iter(Anomaly::ALL)));
        }
    }
}
