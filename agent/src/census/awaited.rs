//! New cgroups of which it is not yet known whether they are the host's or a container's: the
//! states on disk have been asked.

use std::collections::{BTreeSet, HashMap, HashSet};

/// Cgroups that are awaited at the same time.
const MAX_AWAITED: usize = 65_536;

/// By the id that a container would have: its cgroup, and who has not answered yet.
#[derive(Debug, Default)]
pub(super) struct Awaited(HashMap<String, (u64, BTreeSet<usize>)>);

impl Awaited {
    /// These runtimes have been asked.
    pub(super) fn add(&mut self, id: &str, cgroup_id: u64, asked: BTreeSet<usize>) {
        if !asked.is_empty() && self.0.len() < MAX_AWAITED {
            self.0.insert(id.to_owned(), (cgroup_id, asked));
        }
    }

    /// One of them has answered.
    pub(super) fn answered(&mut self, runtime: usize, id: &str) {
        if let Some((_, asked)) = self.0.get_mut(id) {
            asked.remove(&runtime);
            if asked.is_empty() {
                self.0.remove(id);
            }
        }
    }

    /// One of them will not answer.
    pub(super) fn unreachable(&mut self, runtime: usize) {
        self.0.retain(|_, (_, asked)| {
            asked.remove(&runtime);
            !asked.is_empty()
        });
    }

    /// The cgroups' ids.
    pub(super) fn cgroups(&self) -> HashSet<u64> {
        self.0.values().map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_awaited_until_all_that_were_asked_have_answered() {
        let mut awaited = Awaited::default();
        awaited.add("web", 20, [1, 2].into());
        awaited.add("other", 21, [2].into());
        awaited.add("nobody", 22, BTreeSet::new());
        assert_eq!(awaited.cgroups(), [20, 21].into());
        awaited.answered(2, "web");
        awaited.answered(2, "other");
        assert_eq!(awaited.cgroups(), [20].into());
        awaited.unreachable(1);
        assert_eq!(awaited.cgroups(), HashSet::new());
    }
}
