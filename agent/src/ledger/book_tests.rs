use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::fixtures::container, *};

/// What a container may do between two snapshots.
#[derive(Clone, Debug)]
enum Step {
    Come(u8),
    Go(u8),
    Move(u8, u8),
    Rename(u8),
    /// Comes and goes between two snapshots.
    Flash(u8),
    /// The oldest of those that have gone is forgotten.
    Forget,
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..8_u8).prop_map(Step::Come),
        (0..8_u8).prop_map(Step::Go),
        (0..8_u8, 0..8_u8).prop_map(|(who, to)| Step::Move(who, to)),
        (0..8_u8).prop_map(Step::Rename),
        (100..104_u8).prop_map(Step::Flash),
        Just(Step::Forget),
        Just(Step::Look),
    ];
    prop::collection::vec(step, 0..60)
}

/// The host as it is, each life with a cgroup of its own.
#[derive(Default)]
struct Host {
    living: BTreeMap<u8, Arc<Container>>,
    gone: Vec<Arc<Container>>,
    cgroups: u64,
}

impl Host {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Come(who) if !self.living.contains_key(who) => {
                self.cgroups += 1;
                let cgroup_id = self.cgroups;
                let container = Container {
                    cgroup_id,
                    ..container(*who)
                };
                self.living.insert(*who, Arc::new(container));
            }
            Step::Go(who) => self
                .gone
                .splice(0..0, self.living.remove(who))
                .for_each(drop),
            Step::Move(who, to) => {
                self.change(*who, |one| one.addresses = vec![[10, 0, 1, *to].into()]);
            }
            Step::Rename(who) => self.change(*who, |one| one.name.push('x')),
            Step::Flash(who) => {
                self.cgroups += 1;
                let cgroup_id = self.cgroups;
                self.gone.insert(
                    0,
                    Arc::new(Container {
                        cgroup_id,
                        ..container(*who)
                    }),
                );
            }
            Step::Forget => drop(self.gone.pop()),
            Step::Come(_) | Step::Look => {}
        }
    }

    fn change(&mut self, who: u8, change: impl Fn(&mut Container)) {
        if let Some(container) = self.living.get_mut(&who) {
            change(Arc::make_mut(container));
        }
    }

    fn living(&self) -> Vec<Arc<Container>> {
        self.living.values().cloned().collect()
    }
}

/// What a reader of the records knows.
#[derive(Default)]
struct Reader {
    open: BTreeMap<u64, Facts>,
    over: BTreeMap<u64, Facts>,
}

impl Reader {
    fn take(&mut self, record: Record) {
        match record {
            Record::Appear { container, facts } => {
                assert!(
                    !self.over.contains_key(&container),
                    "a number is used twice"
                );
                assert_eq!(self.open.insert(container, facts), None);
            }
            Record::Change { container, facts } => {
                let known = self
                    .open
                    .get_mut(&container)
                    .or(self.over.get_mut(&container));
                known.expect("a change of nobody").apply(&facts);
            }
            Record::Gone {
                container,
                why,
                last_seen,
            } => {
                assert_eq!((why, last_seen), (GoneReason::Seen, None));
                let facts = self.open.remove(&container).expect("nobody can go twice");
                self.over.insert(container, facts);
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    /// Whatever happens: what is open is what lives, as it is; each life is opened and closed once;
    /// none is missed that was among the gone.
    #[test]
    fn records_follow_the_host(steps in steps()) {
        let (mut host, mut book, mut reader) = (Host::default(), Book::default(), Reader::default());
        let mut seen = HashSet::new();
        for step in steps {
            host.step(&step);
            // Some changes come together.
            if matches!(step, Step::Rename(_)) {
                continue;
            }
            let living = host.living();
            for record in book.take(&living, &host.gone, Wall(0)) {
                reader.take(record);
            }
            seen.extend(living.iter().chain(&host.gone).map(|one| one.cgroup_id));
            let known: Vec<_> = reader.open.values().map(|facts| facts.cgroup_id).collect();
            let mut expected: Vec<_> = living.iter().map(|one| one.cgroup_id).collect();
            expected.sort_unstable();
            let mut sorted = known.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, expected);
            for container in &living {
                let facts = Facts::from(container.as_ref());
                prop_assert!(reader.open.values().any(|open| *open == facts));
            }
        }
        let recorded: HashSet<_> = reader.open.values().chain(reader.over.values()).map(|facts| facts.cgroup_id).collect();
        prop_assert_eq!(recorded, seen);
        let closed = book.closed.len();
        prop_assert!(closed <= host.gone.len() + 8, "{} closed ones are kept", closed);
    }
}

#[test]
fn what_is_told_of_one_that_has_gone_is_recorded_once() {
    let mut book = Book::default();
    let unnamed = Container {
        name: String::new(),
        unknown: Some(crate::census::UnknownReason::RuntimePending),
        ..container(1)
    };
    let gone = [Arc::new(unnamed)];
    let records = book.take(&[], &gone, Wall(0));
    assert!(
        matches!(records[..], [Record::Appear { .. }, Record::Gone { .. }]),
        "{records:?}"
    );
    assert!(book.take(&[], &gone, Wall(1)).is_empty());
    let named = [Arc::new(container(1))];
    let records = book.take(&[], &named, Wall(2));
    let [
        Record::Change {
            container: 1,
            facts,
        },
    ] = &records[..]
    else {
        panic!("{records:?}");
    };
    assert_eq!(facts["name"], "c1");
    assert!(book.take(&[], &named, Wall(3)).is_empty());
    assert!(book.take(&[], &[], Wall(4)).is_empty());
    assert!(
        book.closed.is_empty(),
        "nothing is kept of whom the census has forgotten"
    );
}

#[test]
fn who_goes_is_recorded_before_who_comes() {
    let mut book = Book::default();
    book.take(&[Arc::new(container(1))], &[], Wall(0));
    let heir = Container {
        addresses: container(1).addresses,
        ..container(2)
    };
    let records = book.take(&[Arc::new(heir)], &[Arc::new(container(1))], Wall(1));
    assert!(
        matches!(
            records[..],
            [
                Record::Gone { container: 1, .. },
                Record::Appear { container: 2, .. }
            ]
        ),
        "{records:?}"
    );
}
