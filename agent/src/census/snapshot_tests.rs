use std::{collections::BTreeSet, net::Ipv4Addr};

use super::*;
use crate::census::{
    identity::Runtime,
    links::{Link, LinkKind},
};

const HOST_COOKIE: u64 = 4_096;
const ROOT: u64 = 1;

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(172, 29, 7, last).into()
}

/// A container in namespace `n` with cgroup `100 + n`, link `10 + n`, address `.n`.
fn make(name: &str, n: u8) -> Container {
    let number = u64::from(n);
    Container {
        pod: None,
        nested: None,
        id: name.repeat(4),
        name: name.to_owned(),
        image: "image".to_owned(),
        image_digest: String::new(),
        labels: BTreeMap::new(),
        owner: Arc::default(),
        runtime: Runtime::Docker,
        pid: 1_000 + u32::from(n),
        cgroup_id: 100 + number,
        cgroup_path: format!("docker/{name}"),
        netns: 4_026_531_840 + number,
        netns_cookie: 5_000 + number,
        host_network: false,
        links: vec![(10 + u32::from(n), format!("veth{n}"))],
        macs: Vec::new(),
        listening: Vec::new(),
        addresses: vec![ip(n)],
        assigned: vec![ip(n)],
        joins: None,
        gone_since: None,
        unknown: None,
    }
}

fn veth(ifindex: u32, name: &str) -> (u32, Link) {
    let link = Link {
        ifindex,
        name: name.to_owned(),
        kind: LinkKind::Veth,
        master: None,
        peer: Some(2),
        peer_nsid: Some(0),
        up: true,
    };
    (ifindex, link)
}

fn snapshot(live: Vec<Container>, gone: Vec<Container>) -> Snapshot {
    let links = live
        .iter()
        .flat_map(|container| &container.links)
        .map(|(ifindex, name)| veth(*ifindex, name))
        .chain([veth(90, "veth90")])
        .collect();
    Snapshot::new(Parts {
        awaited: HashSet::new(),
        hostname: "host".into(),
        live: live.into_iter().map(Arc::new).collect(),
        gone: gone
            .into_iter()
            .map(|mut container| {
                container.gone_since = Some(1);
                Arc::new(container)
            })
            .collect(),
        links: Arc::new(links),
        host_groups: Arc::new([(ROOT, "".into()), (7, "system.slice/ssh.service".into())].into()),
        root_cgroup: ROOT,
        host_cookie: HOST_COOKIE,
        host_addresses: vec![ip(254)],
        bare: BTreeSet::new(),
    })
}

fn owner(cgroup_id: u64, ifindex: u32) -> Owner {
    Owner {
        cgroup_id,
        ifindex,
        process: None,
    }
}

#[track_caller]
fn check(identity: &Identity, name: &str, or: &[&str], by: Evidence) {
    let Identity::Container {
        container,
        or: others,
        by: evidence,
    } = identity
    else {
        panic!("{name} expected, {identity:?} found");
    };
    let others: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    assert_eq!(
        (container.name.as_str(), others.as_slice(), *evidence),
        (name, or, by)
    );
}

fn unknown(identity: &Identity) -> UnknownReason {
    match identity {
        Identity::Unknown(reason) => *reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_cgroup_decides_over_link_and_address() {
    let snapshot = snapshot(vec![make("a", 1), make("b", 2), make("c", 3)], vec![]);
    let identity = snapshot.resolve(&owner(101, 12), ip(3), 0);
    check(&identity, "a", &[], Evidence::Cgroup);
    let identity = snapshot.resolve(&owner(0, 12), ip(3), 0);
    check(&identity, "b", &[], Evidence::Link);
    let identity = snapshot.resolve(&owner(0, 0), ip(3), 0);
    check(&identity, "c", &[], Evidence::Address);
}

#[test]
fn the_host_is_found_by_cgroup_address_and_namespace() {
    let snapshot = snapshot(vec![make("a", 1)], vec![]);
    let Identity::Host(host) = snapshot.resolve(&owner(7, 0), ip(1), 0) else {
        panic!("a host process");
    };
    assert_eq!(
        host.cgroup_path.as_deref(),
        Some("system.slice/ssh.service")
    );
    let loopback = IpAddr::from([127, 0, 0, 1]);
    for identity in [
        snapshot.resolve(&owner(ROOT, 0), ip(1), 0),
        snapshot.resolve(&owner(0, 0), ip(254), 0),
        snapshot.resolve(&owner(0, 0), loopback, HOST_COOKIE),
    ] {
        assert!(matches!(identity, Identity::Host(_)), "{identity:?}");
    }
}

#[test]
fn a_root_socket_is_not_the_hosts_while_a_container_is_in_v1_hierarchies_only() {
    let mut v1 = make("v1", 4);
    v1.cgroup_id = 0;
    let snapshot = snapshot(vec![v1, make("a", 1)], vec![]);
    check(
        &snapshot.resolve(&owner(ROOT, 14), ip(4), 0),
        "v1",
        &[],
        Evidence::Link,
    );
    check(
        &snapshot.resolve(&owner(ROOT, 0), ip(4), 0),
        "v1",
        &[],
        Evidence::Address,
    );
    assert!(snapshot.knows_cgroup(ROOT));
}

#[test]
fn sharers_of_a_namespace_are_told_apart_by_the_cgroup_alone() {
    let mut guest = make("guest", 1);
    guest.cgroup_id = 150;
    guest.pid = 5;
    guest.joins = Some("owner".repeat(4));
    let snapshot = snapshot(vec![guest, make("owner", 1)], vec![]);
    check(
        &snapshot.resolve(&owner(150, 11), ip(1), 0),
        "guest",
        &[],
        Evidence::Cgroup,
    );
    check(
        &snapshot.resolve(&owner(0, 11), ip(1), 0),
        "owner",
        &["guest"],
        Evidence::Link,
    );
    check(
        &snapshot.resolve(&owner(0, 0), ip(1), 0),
        "owner",
        &["guest"],
        Evidence::Address,
    );
    let loopback = IpAddr::from([127, 0, 0, 1]);
    check(
        &snapshot.resolve(&owner(0, 0), loopback, 5_001),
        "owner",
        &["guest"],
        Evidence::Namespace,
    );
}

#[test]
fn equal_addresses_in_two_namespaces_say_so() {
    let (a, mut b) = (make("a", 1), make("b", 2));
    b.addresses = vec![ip(1)];
    b.assigned = vec![ip(1)];
    let snapshot = snapshot(vec![a, b], vec![]);
    let reason = unknown(&snapshot.resolve(&owner(0, 0), ip(1), 0));
    assert_eq!(reason, UnknownReason::AddressAmbiguous);
    check(
        &snapshot.resolve(&owner(0, 12), ip(1), 0),
        "b",
        &[],
        Evidence::Link,
    );
    let reason = unknown(&snapshot.resolve(&owner(0, 0), IpAddr::from([127, 0, 0, 1]), 0));
    assert_eq!(reason, UnknownReason::AddressAmbiguous);
}

#[test]
fn an_address_that_a_container_gave_itself_does_not_make_it_another() {
    let (a, mut thief) = (make("a", 1), make("thief", 2));
    thief.addresses = vec![ip(1), ip(2), ip(99), ip(254)];
    let snapshot = snapshot(vec![thief, a], vec![]);
    check(&snapshot.of_address(ip(1)), "a", &[], Evidence::Address);
    check(
        &snapshot.of_address(ip(99)),
        "thief",
        &[],
        Evidence::Address,
    );
    assert!(matches!(snapshot.of_address(ip(254)), Identity::Host(_)));
}

#[test]
fn a_spoofed_address_behind_a_known_link_stays_with_the_link() {
    let snapshot = snapshot(vec![make("a", 1), make("b", 2)], vec![]);
    check(
        &snapshot.resolve(&owner(0, 11), ip(2), 0),
        "a",
        &[],
        Evidence::Link,
    );
    // Behind a link to nobody, and behind one that is not known at all.
    for ifindex in [90, 91] {
        let reason = unknown(&snapshot.resolve(&owner(0, ifindex), ip(2), 0));
        assert_eq!(reason, UnknownReason::LinkUnattributed);
    }
}

#[test]
fn an_address_answers_for_a_link_while_its_containers_links_are_not_known() {
    let mut early = make("early", 1);
    early.links.clear();
    let snapshot = snapshot(vec![early], vec![]);
    check(
        &snapshot.resolve(&owner(0, 90), ip(1), 0),
        "early",
        &[],
        Evidence::Address,
    );
}

#[test]
fn the_gone_are_known_until_a_live_one_takes_their_place() {
    let gone = snapshot(vec![], vec![make("old", 1)]);
    check(
        &gone.resolve(&owner(101, 0), ip(1), 0),
        "old",
        &[],
        Evidence::Cgroup,
    );
    check(
        &gone.resolve(&owner(0, 11), ip(1), 0),
        "old",
        &[],
        Evidence::Link,
    );
    check(
        &gone.resolve(&owner(0, 0), ip(1), 0),
        "old",
        &[],
        Evidence::Address,
    );

    let mut new = make("new", 1);
    new.cgroup_id = 201;
    new.links = vec![(11, "vethnew".to_owned())];
    new.netns_cookie = 9_000;
    let both = snapshot(vec![new], vec![make("old", 1)]);
    check(
        &both.resolve(&owner(101, 0), ip(1), 0),
        "old",
        &[],
        Evidence::Cgroup,
    );
    check(
        &both.resolve(&owner(201, 0), ip(1), 0),
        "new",
        &[],
        Evidence::Cgroup,
    );
    check(
        &both.resolve(&owner(0, 11), ip(1), 0),
        "new",
        &[],
        Evidence::Link,
    );
    check(
        &both.resolve(&owner(0, 0), ip(1), 0),
        "new",
        &[],
        Evidence::Address,
    );
}

#[test]
fn a_reused_index_without_a_container_is_not_the_gone_containers() {
    let mut old = make("old", 1);
    old.links = vec![(90, "vethold".to_owned())];
    let reused = snapshot(vec![], vec![old.clone()]);
    let reason = unknown(&reused.resolve(&owner(0, 90), ip(200), 0));
    assert_eq!(reason, UnknownReason::LinkUnattributed);
    old.links = vec![(90, "veth90".to_owned())];
    let lingering = snapshot(vec![], vec![old]);
    check(
        &lingering.resolve(&owner(0, 90), ip(200), 0),
        "old",
        &[],
        Evidence::Link,
    );
}

#[test]
fn the_latest_of_several_gone_with_one_address_is_meant() {
    let (first, mut second) = (make("first", 1), make("second", 1));
    second.netns_cookie = 7_777;
    second.cgroup_id = 300;
    let snapshot = snapshot(vec![], vec![first, second]);
    check(
        &snapshot.of_address(ip(1)),
        "second",
        &[],
        Evidence::Address,
    );
}

#[test]
fn a_host_network_container_is_known_by_cgroup_only() {
    let mut container = make("hostnet", 1);
    container.host_network = true;
    container.addresses = vec![ip(254)];
    let snapshot = snapshot(vec![container], vec![]);
    check(
        &snapshot.resolve(&owner(101, 0), ip(254), 0),
        "hostnet",
        &[],
        Evidence::Cgroup,
    );
    assert!(matches!(snapshot.of_address(ip(254)), Identity::Host(_)));
}

#[test]
fn what_nobody_knows_says_why() {
    let snapshot = snapshot(vec![make("a", 1)], vec![]);
    let outside = IpAddr::from([203, 0, 113, 9]);
    assert_eq!(
        unknown(&snapshot.resolve(&owner(0, 0), outside, 0)),
        UnknownReason::AddressNotLocal
    );
    assert_eq!(
        unknown(&snapshot.resolve(&owner(999, 0), outside, 0)),
        UnknownReason::CgroupGone
    );
    assert_eq!(
        unknown(&snapshot.resolve(&owner(0, 90), outside, 0)),
        UnknownReason::LinkUnattributed
    );
    check(
        &snapshot.resolve(&owner(999, 0), ip(1), 0),
        "a",
        &[],
        Evidence::Address,
    );
    let mapped = IpAddr::V6(Ipv4Addr::new(172, 29, 7, 1).to_ipv6_mapped());
    check(
        &snapshot.resolve(&owner(0, 0), mapped, 0),
        "a",
        &[],
        Evidence::Address,
    );
    assert_eq!(
        unknown(&Snapshot::default().resolve(&owner(5, 5), ip(1), 5)),
        UnknownReason::LinkUnattributed
    );
}
