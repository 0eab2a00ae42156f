use proptest::prelude::*;

use super::*;

fn link(ifindex: u32, kind: LinkKind, master: Option<u32>) -> Link {
    Link {
        ifindex,
        name: format!("l{ifindex}"),
        kind,
        master,
        peer: None,
        peer_nsid: None,
        up: true,
    }
}

fn table(links: impl IntoIterator<Item = Link>) -> LinkTable {
    links.into_iter().map(|link| (link.ifindex, link)).collect()
}

use LinkKind::{Bridge, Other, Veth};

#[test]
fn a_bridge_of_hooked_links_is_covered() {
    let links = table([
        link(1, Other, None),
        link(2, Bridge, None),
        link(3, Veth, Some(2)),
        link(4, Veth, Some(2)),
    ]);
    assert_eq!(
        covered(&links, |ifindex| ifindex > 2),
        [(2, true), (3, false), (4, false)]
    );
}

#[test]
fn a_bridge_with_a_port_that_is_not_hooked_is_not_covered() {
    let physical = table([
        link(2, Bridge, None),
        link(3, Veth, Some(2)),
        link(5, Other, Some(2)),
    ]);
    assert_eq!(covered(&physical, |ifindex| ifindex == 3), [(3, false)]);
    let missed = table([
        link(2, Bridge, None),
        link(3, Veth, Some(2)),
        link(4, Veth, Some(2)),
    ]);
    assert_eq!(covered(&missed, |ifindex| ifindex == 3), [(3, false)]);
}

#[test]
fn a_bridge_without_ports_and_a_bond_are_not_covered() {
    let links = table([
        link(2, Bridge, None),
        link(6, Other, None),
        link(7, Veth, Some(6)),
    ]);
    assert_eq!(covered(&links, |ifindex| ifindex == 7), [(7, false)]);
    assert_eq!(covered(&LinkTable::new(), |_| true), []);
}

#[test]
fn a_reused_index_is_another_link() {
    let known = table([
        link(3, Veth, None),
        link(4, Veth, None),
        link(5, Veth, None),
    ]);
    let mut renamed = link(4, Veth, Some(2));
    renamed.name = "eth9".to_owned();
    let now = table([link(3, Bridge, None), renamed.clone(), link(5, Veth, None)]);
    assert_eq!(
        difference(&known, &now),
        [
            LinkEvent::Gone {
                ifindex: 3,
                name: "l3".to_owned()
            },
            LinkEvent::Appeared(link(3, Bridge, None)),
            LinkEvent::Changed(renamed),
        ]
    );
}

proptest! {
    #[test]
    fn the_difference_leads_from_one_table_to_the_other(
        known in proptest::collection::btree_map(1_u32..20, (0_u32..3, 0_u32..3), 0..10),
        now in proptest::collection::btree_map(1_u32..20, (0_u32..3, 0_u32..3), 0..10),
    ) {
        let build = |from: BTreeMap<u32, (u32, u32)>| table(from.into_iter().map(|(index, (kind, master))| {
            let kind = [Veth, Bridge, Other][kind as usize];
            link(index, kind, (master > 0).then_some(master))
        }));
        let (mut known, now) = (build(known), build(now));
        for event in difference(&known, &now) {
            apply(&mut known, &event);
        }
        prop_assert_eq!(known, now);
    }
}
