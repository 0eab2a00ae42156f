use hydrophone_inspect::packet::Owner;

use super::*;
use crate::census::identity::{Identity, Runtime};

const LIMITS: Limits = Limits {
    retention: 100,
    gone: 3,
    live: 5,
};

fn roster() -> Roster {
    Roster::new(LIMITS, "host".into(), 1)
}

fn found(id: &str, cgroup_id: u64) -> FoundContainer {
    FoundContainer {
        id: id.to_owned(),
        runtime: Runtime::Docker,
        path: format!("docker/{id}"),
        cgroup_id,
        nested: None,
    }
}

fn dossier(id: &str, name: &str) -> Dossier {
    Dossier {
        id: id.to_owned(),
        name: name.to_owned(),
        complete: true,
        ..Dossier::default()
    }
}

fn of_cgroup(snapshot: &Snapshot, cgroup_id: u64) -> Arc<Container> {
    let owner = Owner {
        cgroup_id,
        ..Owner::default()
    };
    match snapshot.resolve(&owner, [0, 0, 0, 0].into(), 0) {
        Identity::Container { container, .. } => container,
        other => panic!("{cgroup_id}: {other:?}"),
    }
}

#[test]
fn a_dossier_may_come_before_the_cgroup_or_after_it() {
    let mut roster = roster();
    roster.learn(dossier("early", "one"));
    assert!(roster.admit(found("early", 10), 0));
    assert!(!roster.admit(found("early", 10), 0));
    assert!(roster.admit(found("late", 11), 0));
    roster.learn(dossier("late", "two"));
    let snapshot = roster.publish();
    assert_eq!(of_cgroup(&snapshot, 10).name, "one");
    assert_eq!(of_cgroup(&snapshot, 11).name, "two");
}

#[test]
fn the_reason_follows_the_runtimes() {
    let mut roster = roster();
    roster.admit(found("a", 10), 0);
    let reason = |roster: &mut Roster| of_cgroup(&roster.publish(), 10).unknown;
    assert_eq!(reason(&mut roster), Some(UnknownReason::NoRuntimeApi));
    roster.runtimes.undecided = true;
    assert_eq!(reason(&mut roster), Some(UnknownReason::RuntimePending));
    roster.runtimes = Runtimes {
        reachable: [0, 1].into(),
        unreachable: [2].into(),
        states: BTreeSet::new(),
        undecided: false,
    };
    assert_eq!(reason(&mut roster), Some(UnknownReason::RuntimePending));
    roster.deny(0, "a");
    assert_eq!(reason(&mut roster), Some(UnknownReason::RuntimePending));
    roster.deny(1, "a");
    assert_eq!(reason(&mut roster), Some(UnknownReason::RuntimeUnreachable));
    roster.runtimes.unreachable.clear();
    assert_eq!(reason(&mut roster), Some(UnknownReason::NotInRuntime));
    roster.forget_denials(1);
    assert_eq!(reason(&mut roster), Some(UnknownReason::RuntimePending));
    roster.learn(dossier("a", "name"));
    assert_eq!(reason(&mut roster), None);
}

#[test]
fn the_gone_stay_for_the_retention_and_no_longer() {
    let mut roster = roster();
    roster.learn(dossier("a", "one"));
    roster.admit(found("a", 10), 0);
    roster.dismiss("docker/a", 50);
    roster.forget("a");
    roster.expire(149);
    let container = of_cgroup(&roster.publish(), 10);
    assert_eq!(
        (container.name.as_str(), container.gone_since),
        ("one", Some(50))
    );
    roster.expire(150);
    assert!(roster.publish().gone().is_empty());
}

#[test]
fn a_dossier_that_comes_after_the_end_is_still_written_down() {
    let mut roster = roster();
    roster.admit(found("a", 10), 0);
    roster.dismiss("docker/a", 50);
    let mut late = dossier("a", "one");
    late.addresses = vec![[172, 29, 7, 9].into()];
    roster.learn(late);
    let snapshot = roster.publish();
    let container = of_cgroup(&snapshot, 10);
    assert_eq!((container.name.as_str(), container.unknown), ("one", None));
    let by_address = snapshot.of_address([172, 29, 7, 9].into());
    assert!(
        matches!(by_address, Identity::Container { .. }),
        "{by_address:?}"
    );
}

#[test]
fn a_container_whose_cgroup_was_never_seen_is_known_by_what_the_runtime_told() {
    let mut roster = roster();
    roster.ended("a", 5);
    assert!(roster.publish().gone().is_empty(), "nothing is known of it");
    let mut told = dossier("a", "brief");
    told.addresses = vec![[172, 29, 7, 9].into()];
    roster.learn(told);
    roster.ended("a", 5);
    roster.ended("a", 6);
    let snapshot = roster.publish();
    assert_eq!(snapshot.gone().len(), 1);
    let by_address = snapshot.of_address([172, 29, 7, 9].into());
    assert!(
        matches!(by_address, Identity::Container { .. }),
        "{by_address:?}"
    );
}

#[test]
fn a_restarted_container_keeps_its_old_cgroup_id() {
    let mut roster = roster();
    roster.learn(dossier("a", "one"));
    roster.admit(found("a", 10), 0);
    roster.admit(found("a", 20), 5);
    let snapshot = roster.publish();
    assert_eq!(of_cgroup(&snapshot, 10).gone_since, Some(5));
    assert_eq!(of_cgroup(&snapshot, 20).gone_since, None);
    assert_eq!(snapshot.living().len(), 1);
}

#[test]
fn what_a_runtime_told_goes_with_the_container() {
    let mut roster = roster();
    for id in ["a", "b", "c"] {
        roster.learn(dossier(id, id));
    }
    roster.admit(found("a", 10), 0);
    roster.forget("a");
    assert_eq!(of_cgroup(&roster.publish(), 10).name, "a");
    roster.dismiss("docker/a", 1);
    assert_eq!(of_cgroup(&roster.publish(), 10).name, "a");
    roster.listed(1, &BTreeSet::new());
    assert_eq!(roster.dossiers.len(), 2);
    roster.listed(0, &["c".to_owned()].into());
    assert_eq!(roster.dossiers.keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn everything_is_bounded_and_counted() {
    let mut roster = roster();
    for n in 0..20_u64 {
        roster.admit(found(&n.to_string(), 100 + n), 0);
    }
    assert_eq!((roster.publish().living().len(), roster.dropped), (5, 15));
    for n in 0..5_u64 {
        roster.dismiss(&format!("docker/{n}"), n);
    }
    let snapshot = roster.publish();
    let gone: Vec<_> = snapshot
        .gone()
        .iter()
        .map(|gone| gone.id.as_str())
        .collect();
    assert_eq!(
        (gone.as_slice(), roster.dropped),
        (["4", "3", "2"].as_slice(), 17)
    );
    for n in 0..20_u64 {
        roster.learn(dossier(&n.to_string(), "x"));
    }
    assert_eq!((roster.dossiers.len(), roster.dropped), (8, 29));
}

#[test]
fn a_users_cgroup_does_not_pass_for_the_container_it_is_named_after() {
    let mut roster = roster();
    roster.learn(dossier("a", "victim"));
    let mut forged = found("a", 66);
    forged.path = "user.slice/user-1000.slice/docker-a.scope".to_owned();
    roster.admit(forged.clone(), 0);
    // Alone, it is what a rootless runtime makes.
    assert_eq!(of_cgroup(&roster.publish(), 66).name, "victim");
    roster.admit(found("a", 10), 0);
    let snapshot = roster.publish();
    assert_eq!(of_cgroup(&snapshot, 10).name, "victim");
    let container = of_cgroup(&snapshot, 66);
    assert_eq!(
        (container.name.as_str(), container.unknown),
        ("", Some(UnknownReason::NotInRuntime))
    );
}

#[test]
fn a_walk_brings_in_the_new_and_dismisses_the_missing() {
    let mut roster = roster();
    roster.admit(found("a", 10), 0);
    roster.admit(found("b", 11), 0);
    let unchanged = of_cgroup(&roster.publish(), 11);
    roster.reconcile(vec![found("b", 11), found("c", 12)], 9);
    let snapshot = roster.publish();
    assert_eq!(of_cgroup(&snapshot, 10).gone_since, Some(9));
    assert!(Arc::ptr_eq(&of_cgroup(&snapshot, 11), &unchanged));
    assert_eq!(of_cgroup(&snapshot, 12).gone_since, None);
}

#[test]
fn what_is_on_disk_counts_until_an_api_tells_more_and_never_after() {
    let mut roster = roster();
    roster.runtimes = Runtimes {
        reachable: [0, 1].into(),
        states: [1].into(),
        ..Runtimes::default()
    };
    roster.admit(found("a", 10), 0);
    let state = |name: &str| Dossier {
        from_state: true,
        runtime: 1,
        ..dossier("a", name)
    };
    roster.learn(state("on-disk"));
    assert_eq!(of_cgroup(&roster.publish(), 10).name, "on-disk");
    // The API is still to be asked, the state is not.
    let asked: Vec<_> = roster
        .undescribed()
        .map(|(id, denied)| (id.to_owned(), denied.clone()))
        .collect();
    assert_eq!(asked, [("a".to_owned(), [1].into())]);
    roster.learn(dossier("a", "by-api"));
    roster.learn(state("on-disk"));
    assert_eq!(of_cgroup(&roster.publish(), 10).name, "by-api");
    assert_eq!(roster.undescribed().count(), 0);
}

#[test]
fn a_state_without_a_name_leaves_the_reason() {
    let mut roster = roster();
    roster.runtimes = Runtimes {
        reachable: [0].into(),
        states: [0].into(),
        ..Runtimes::default()
    };
    roster.admit(found("a", 10), 0);
    roster.learn(Dossier {
        from_state: true,
        ..dossier("a", "")
    });
    let known = of_cgroup(&roster.publish(), 10);
    assert_eq!(known.unknown, Some(UnknownReason::NoRuntimeApi));
}

#[test]
fn a_machine_is_named_by_its_cgroup_and_nobody_is_asked() {
    let mut roster = roster();
    roster.runtimes.reachable = [0].into();
    let machine = FoundContainer {
        runtime: Runtime::Lxc,
        ..found("web", 10)
    };
    roster.admit(machine, 0);
    assert_eq!(roster.undescribed().count(), 0);
    // Another's dossier that happens to have that id says nothing about it.
    roster.learn(Dossier {
        image: "nginx".to_owned(),
        ..dossier("web", "other")
    });
    let known = of_cgroup(&roster.publish(), 10);
    assert_eq!((known.name.as_str(), known.image.as_str()), ("web", ""));
    assert_eq!(known.unknown, None);
}

#[test]
fn a_declared_cgroup_and_what_is_below_it_are_no_longer_the_hosts() {
    let mut roster = roster();
    roster.set_host_groups(vec![
        ("web".to_owned(), 20),
        ("web/child".to_owned(), 21),
        ("website".to_owned(), 22),
    ]);
    roster.take_from_host("web");
    let snapshot = roster.publish();
    assert!(!snapshot.knows_cgroup(20) && !snapshot.knows_cgroup(21));
    assert!(snapshot.knows_cgroup(22));
}
