//! Kernel fixtures: packet in → verdict unchanged, record, counter. Needs root.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect; clippy knows only functions marked as tests"
)]

mod harness;
mod packets;

use std::time::Duration;

use harness::Fixture;
use hydrophone::probe::LoadOptions;
use hydrophone_common::{
    counter::{Counter, Hook},
    flow::{FAMILY_IPV4, FlowKey},
    record::{FLAG_ETHERNET, FLAG_MALFORMED, FLAG_TRUNCATED, HEADERS_ONLY},
};
use packets::{arp, ethernet, extension, ipv4, ipv4_between, ipv6, tcp, tcp_between, udp, vlan};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn fixture() -> Fixture {
    Fixture::new(&LoadOptions::default())
}

#[test]
fn what_is_well_formed_is_recorded_whole() {
    let mut fixture = fixture();
    let inner = ipv4(6, &tcp(ACK, b"GET / HTTP/1.1\r\n"));
    let options = {
        let mut packet = ipv4(6, &[]);
        packet[0] = 0x46;
        packet.extend([1, 1, 1, 0]);
        packet.extend(tcp(ACK, b"x"));
        packet
    };
    let chain = ipv6(
        0,
        &extension(43, &extension(60, &extension(6, &tcp(ACK, b"x")))),
    );
    // Nine destination options: more than are walked. The receiver may take it, so it is recorded whole.
    let mut endless = tcp(SYN, &[0x41; 1_000]);
    for next in [6, 60, 60, 60, 60, 60, 60, 60, 60] {
        endless = extension(next, &endless);
    }
    let cases: [(&str, Vec<u8>, u32); 13] = [
        ("IPv4 TCP", ethernet(IPV4, &inner), 14),
        ("IPv4 with options", ethernet(IPV4, &options), 14),
        ("IPv4 UDP", ethernet(IPV4, &ipv4(17, &udp(b"query"))), 14),
        (
            "IPv4 ICMP",
            ethernet(IPV4, &ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1])),
            14,
        ),
        (
            "IPv4 SCTP",
            ethernet(
                IPV4,
                &ipv4(132, &[0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
            14,
        ),
        ("IPv6 TCP", ethernet(IPV6, &ipv6(6, &tcp(ACK, b"x"))), 14),
        (
            "IPv6 ICMPv6",
            ethernet(IPV6, &ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 1])),
            14,
        ),
        ("IPv6 extension headers", ethernet(IPV6, &chain), 14),
        (
            "IPv6 extension headers beyond the cap",
            ethernet(IPV6, &ipv6(60, &endless)),
            14,
        ),
        ("802.1Q", ethernet(0x8100, &vlan(7, IPV4, &inner)), 18),
        (
            "802.1ad with 802.1Q",
            ethernet(0x88a8, &vlan(7, 0x8100, &vlan(8, IPV4, &inner))),
            22,
        ),
        ("ARP", ethernet(ARP, &arp()), 14),
        (
            "fragment",
            ethernet(
                IPV4,
                &ipv4_between([10, 0, 0, 1], [10, 0, 0, 2], 0x2001, 17, &[7; 64]),
            ),
            14,
        ),
    ];
    for (name, frame, l3_offset) in &cases {
        let record = fixture.ingress(frame);
        assert_eq!(record.bytes, *frame, "{name}");
        assert_eq!(record.header.flags, FLAG_ETHERNET, "{name}");
        assert_eq!(record.header.l3_offset, *l3_offset, "{name}");
        assert_eq!(record.hook, Hook::LinkIngress, "{name}");
    }
    assert_eq!(
        fixture.count(Hook::LinkIngress, Counter::Inspected),
        cases.len() as u64
    );
}

#[test]
fn what_cannot_be_parsed_is_recorded_as_malformed() {
    let mut fixture = fixture();
    let short_header = {
        let mut packet = ipv4(6, &tcp(SYN, b""));
        packet[0] = 0x44;
        packet
    };
    let cases: [(&str, Vec<u8>); 5] = [
        ("IHL below 5", ethernet(IPV4, &short_header)),
        (
            "TCP cut in the header",
            ethernet(IPV4, &ipv4(6, &tcp(SYN, b"")[..6])),
        ),
        ("UDP without ports", ethernet(IPV4, &ipv4(17, &[1, 2]))),
        (
            "version 4 as IPv6",
            ethernet(IPV6, &ipv4(6, &tcp(SYN, &[0; 40]))),
        ),
        ("ARP cut short", ethernet(ARP, &arp()[..20])),
    ];
    for (name, frame) in &cases {
        let record = fixture.ingress(frame);
        assert_ne!(record.header.flags & FLAG_MALFORMED, 0, "{name}");
        assert!(frame.starts_with(&record.bytes), "{name}");
    }
    // Nothing but the Ethernet header, and lengths that lie, do not matter to the kernel side.
    let mut lies = ethernet(IPV4, &ipv4(6, &tcp(SYN, b"")));
    lies[16..18].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(fixture.ingress(&lies).bytes, lies);
    let mut offset_lies = ethernet(IPV4, &ipv4(6, &tcp(SYN, b"")));
    offset_lies[46] = 0xf0;
    assert_eq!(fixture.ingress(&offset_lies).bytes, offset_lies);
}

#[test]
fn what_is_mutilated_is_accounted_for() {
    let mut fixture = fixture();
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let chain = ipv6(0, &extension(43, &extension(44, &tcp(SYN, &[0x41; 300]))));
    let whole = [
        ethernet(IPV4, &ipv4(6, &tcp(ACK, &[0x41; 300]))),
        ethernet(
            0x88a8,
            &vlan(7, 0x8100, &vlan(8, IPV4, &ipv4(17, &udp(b"q")))),
        ),
        ethernet(IPV6, &chain),
        ethernet(ARP, &arp()),
    ];
    let runs = 2_000;
    for run in 0..runs {
        let mut frame = whole[run % whole.len()].clone();
        frame.resize(frame.len().max(60), 0);
        // Headers suffer, the Ethernet addresses do not matter.
        for _ in 0..random(6) {
            let at = 12 + random(60.min(frame.len() - 12));
            frame[at] = random(256).to_le_bytes()[0];
        }
        // BPF_PROG_TEST_RUN itself takes no frame without a whole IP header.
        let least = if frame[12..14] == IPV6.to_be_bytes() {
            54
        } else {
            34
        };
        frame.truncate(least + random(frame.len() - least + 1));
        fixture.link("hydro_link_in", &frame);
        fixture.link("hydro_link_out", &frame);
        for record in fixture.records() {
            assert!(frame.starts_with(&record.bytes), "{frame:02x?}");
        }
    }
    for hook in [Hook::LinkIngress, Hook::LinkEgress] {
        assert_eq!(fixture.count(hook, Counter::Seen), runs as u64);
    }
    fixture.assert_account();
}

#[test]
fn what_is_not_ip_is_counted() {
    let mut fixture = fixture();
    fixture.link("hydro_link_in", &ethernet(0x88cc, &[0; 50]));
    fixture.link("hydro_link_out", &ethernet(0x88cc, &[0; 50]));
    assert!(fixture.records().is_empty());
    assert_eq!(fixture.count(Hook::LinkIngress, Counter::NotIp), 1);
    assert_eq!(fixture.count(Hook::LinkEgress, Counter::NotIp), 1);
    fixture.assert_account();
}

#[test]
fn both_directions_and_all_fragments_share_a_ring() {
    let options = LoadOptions {
        rings: 8,
        ..LoadOptions::default()
    };
    let mut fixture = Fixture::new(&options);
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    for port in 1_000..1_032 {
        let there = ipv4_between(a, b, 0, 6, &tcp_between(port, 80, ACK, b"there"));
        let back = ipv4_between(b, a, 0, 6, &tcp_between(80, port, ACK, b"back"));
        fixture.link("hydro_link_in", &ethernet(IPV4, &there));
        fixture.link("hydro_link_in", &ethernet(IPV4, &back));
        let records = fixture.records();
        assert_eq!(records[0].header.flow_hash, records[1].header.flow_hash);
    }
    fixture.link(
        "hydro_link_in",
        &ethernet(IPV4, &ipv4_between(a, b, 0x2000, 6, &tcp(ACK, &[1; 64]))),
    );
    fixture.link(
        "hydro_link_in",
        &ethernet(IPV4, &ipv4_between(a, b, 0x0008, 6, &[2; 64])),
    );
    fixture.link(
        "hydro_link_in",
        &ethernet(IPV4, &ipv4_between(a, b, 0, 6, &tcp(ACK, b"whole"))),
    );
    let busy = fixture
        .rings
        .iter_mut()
        .filter_map(|ring| ring.next(|_| ()).then_some(()))
        .count();
    assert_eq!(
        busy, 1,
        "fragments and whole packets of two hosts lie in one ring"
    );
}

#[test]
fn a_spent_budget_counts_and_a_raised_one_records_again() {
    let options = LoadOptions {
        capture_budget: 4_096,
        ..LoadOptions::default()
    };
    let mut fixture = Fixture::new(&options);
    let data = ethernet(IPV4, &ipv4(6, &tcp(ACK, &[0x41; 1_400])));
    for _ in 0..10 {
        fixture.link("hydro_link_in", &data);
    }
    let records = fixture.records();
    let captured: usize = records.iter().map(|record| record.bytes.len()).sum();
    assert!(
        (4_096..4_096 + data.len()).contains(&captured),
        "{captured} bytes"
    );
    assert_ne!(
        records.last().expect("records").header.flags & FLAG_TRUNCATED,
        0
    );
    let spent = fixture.count(Hook::LinkIngress, Counter::BudgetSpent);
    assert_eq!(spent + records.len() as u64, 10);

    // The other direction has a budget of its own.
    let back = ipv4_between(
        [10, 0, 0, 2],
        [10, 0, 0, 1],
        0,
        6,
        &tcp_between(80, 40_000, ACK, b"ok"),
    );
    fixture.link("hydro_link_in", &ethernet(IPV4, &back));
    assert_eq!(fixture.records().len(), 1);

    // FIN and SYN are recorded past the budget, by their headers.
    fixture.link(
        "hydro_link_in",
        &ethernet(IPV4, &ipv4(6, &tcp(ACK | 0x01, &[0x41; 1_400]))),
    );
    let fin = fixture.records();
    assert_eq!(fin[0].bytes.len(), HEADERS_ONLY);

    let (mut key, direction) = FlowKey::between(
        FlowKey::ipv4([10, 0, 0, 1]),
        FlowKey::ipv4([10, 0, 0, 2]),
        40_000_u16.to_be(),
        80_u16.to_be(),
    );
    key.protocol = 6;
    key.family = FAMILY_IPV4;
    assert!(
        fixture
            .budgets
            .set(&key, direction, 100_000)
            .expect("update"),
        "the kernel has the flow"
    );
    fixture.link("hydro_link_in", &data);
    assert_eq!(fixture.records()[0].bytes, data);
    assert!(fixture.budgets.set(&key, direction, 0).expect("update"));
    fixture.link("hydro_link_in", &data);
    assert!(fixture.records().is_empty());
    let state = fixture.budgets.get(&key).expect("flow");
    let sent = &state.directions[usize::from(direction)];
    assert_eq!((sent.packets, sent.tcp_flags), (13, ACK | 0x01));
    assert_eq!(sent.bytes, 13 * (data.len() as u64 - 14));
    fixture.assert_account();
}

#[test]
fn a_budget_is_renewed() {
    let spend = |fixture: &mut Fixture, frame: &[u8]| {
        for _ in 0..20 {
            fixture.link("hydro_link_in", frame);
        }
        fixture.records().len()
    };
    let options = LoadOptions {
        capture_budget: 4_096,
        budget_renewal: Duration::MAX,
        ..LoadOptions::default()
    };
    let data = ethernet(IPV4, &ipv4(6, &tcp(ACK, &[0x41; 1_400])));
    let echo = ethernet(
        IPV4,
        &ipv4(1, &[[8, 0, 0, 0].as_slice(), &[0x41; 1_400]].concat()),
    );
    let mut fixture = Fixture::new(&options);
    assert_eq!(spend(&mut fixture, &data), 3);
    assert_eq!(spend(&mut fixture, &data), 0, "TCP without a pause");
    assert_eq!(spend(&mut fixture, &echo), 3);
    assert_eq!(spend(&mut fixture, &echo), 0, "ICMP within the time");
    // The same ports again: what a client that keeps its port would hide behind.
    fixture.ingress(&ethernet(IPV4, &ipv4(6, &tcp(SYN, b""))));
    assert_eq!(spend(&mut fixture, &data), 3, "a new connection");

    let mut fixture = Fixture::new(&LoadOptions {
        budget_renewal: Duration::ZERO,
        ..options
    });
    assert_eq!(spend(&mut fixture, &data), 20, "TCP after each pause");
    assert_eq!(spend(&mut fixture, &echo), 20, "ICMP after each period");
    fixture.assert_account();
}

#[test]
fn a_gso_frame_is_one_record() {
    let mut fixture = fixture();
    // BPF_PROG_TEST_RUN takes little more than a page: the largest frame that it takes.
    let frame = ethernet(IPV4, &ipv4(6, &tcp(ACK, &[0x42; 3_000])));
    assert_eq!(fixture.ingress(&frame).bytes, frame);
}

#[test]
fn a_full_ring_is_counted_as_loss() {
    let options = LoadOptions {
        ring_bytes: 4_096,
        ..LoadOptions::default()
    };
    let mut fixture = Fixture::new(&options);
    let frame = ethernet(IPV4, &ipv4(17, &udp(&[0; 100])));
    for _ in 0..50 {
        fixture.link("hydro_link_in", &frame);
    }
    let recorded = fixture.records().len() as u64;
    assert!((1..50).contains(&recorded), "{recorded} records fit");
    assert_eq!(
        fixture.count(Hook::LinkIngress, Counter::Inspected),
        recorded
    );
    assert_eq!(
        fixture.count(Hook::LinkIngress, Counter::RingFull),
        50 - recorded
    );
    fixture.assert_account();
    // The reader has made room: it goes on.
    fixture.link("hydro_link_in", &frame);
    assert_eq!(fixture.records().len(), 1);
}

#[test]
fn a_full_flow_table_does_not_blind() {
    let options = LoadOptions {
        flows: 64,
        ..LoadOptions::default()
    };
    let mut fixture = Fixture::new(&options);
    for port in 1..=2_000 {
        let packet = ipv4(6, &tcp_between(port, 80, SYN, b""));
        assert_eq!(fixture.ingress(&ethernet(IPV4, &packet)).bytes.len(), 54);
    }
    assert_eq!(fixture.count(Hook::LinkIngress, Counter::Inspected), 2_000);
}

#[test]
fn what_ingress_has_not_inspected_egress_does() {
    let mut fixture = fixture();
    let frame = ethernet(IPV4, &ipv4(6, &tcp(ACK, b"x")));
    // Test frames have no incoming link, like what the host itself sends: never taken for seen.
    fixture.link("hydro_link_in", &frame);
    fixture.link("hydro_link_out", &frame);
    assert_eq!(fixture.records().len(), 2);
    assert_eq!(fixture.count(Hook::LinkEgress, Counter::Inspected), 1);
    fixture.assert_account();
}

#[test]
fn loopback_is_inspected_at_egress_and_only_the_rest_at_ingress() {
    // What this kernel has, and what older ones have.
    for skb_netns_cookie in [None, Some(false)] {
        let options = LoadOptions {
            skb_netns_cookie,
            ..LoadOptions::default()
        };
        let mut fixture = Fixture::new(&options);
        let lo = |flags, payload: &[u8]| {
            let segment = tcp(flags, payload);
            ethernet(
                IPV4,
                &ipv4_between([127, 0, 0, 1], [127, 0, 0, 1], 0, 6, &segment),
            )
        };
        // BPF_PROG_TEST_RUN puts the frame on the loopback device.
        fixture.socket("hydro_sock_out", &lo(ACK, b"hello"));
        fixture.socket("hydro_sock_in", &lo(ACK, b"hello"));
        let records = fixture.records();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].hook, Hook::SocketEgress);
        assert_eq!(records[0].header.flags, 0, "starts at the network header");
        assert_eq!(fixture.count(Hook::SocketIngress, Counter::OtherHook), 1);
        // Bytes that egress has not shown were put there by a packet socket.
        fixture.socket("hydro_sock_in", &lo(ACK, b"hello, injected"));
        assert_eq!(fixture.records().len(), 1);
        fixture.assert_account();
    }
}

#[test]
fn a_damaged_object_is_named() {
    use hydrophone::probe::{ObjectSource, Probe, Shutdown};
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("damaged.o");
    std::fs::write(&path, b"\x7fELF but not really").expect("write");
    let options = LoadOptions {
        object: ObjectSource::File(path.clone()),
        ..LoadOptions::default()
    };
    let shutdown = Shutdown::new().expect("eventfd");
    let error = Probe::load(&options, &shutdown)
        .map(drop)
        .expect_err("not an object")
        .to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
}
