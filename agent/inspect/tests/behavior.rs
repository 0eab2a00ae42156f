//! Scans, sweeps and floods, and the ordinary traffic that must not be taken for them.

mod support;

use std::net::Ipv4Addr;

use support::{
    Ends, MILLISECOND, Pipeline, SECOND, ends,
    frames::{self, FIN, PSH, Tcp, URG, icmp, ip, udp},
};

const PORT_SCAN: u32 = 1;
const FIN_SCAN: u32 = 2;
const NULL_SCAN: u32 = 3;
const XMAS_SCAN: u32 = 4;
const ACK_SCAN: u32 = 5;
const UDP_SCAN: u32 = 6;
const TCP_SWEEP: u32 = 10;
const ECHO_SWEEP: u32 = 12;
const NETWORK_SCAN: u32 = 13;
const SYN_FLOOD: u32 = 20;

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.ifindex = 7;
    pipeline
}

#[test]
fn a_syn_scan_is_one_finding_and_one_total() {
    let mut pipeline = pipeline();
    for port in 1..=1_000 {
        if port % 100 == 0 {
            pipeline.half_open(&ends(2, 3, (50_000, port)));
        } else {
            pipeline.refused(&ends(2, 3, (50_000, port)));
        }
        pipeline.wait(MILLISECOND);
    }
    assert_eq!(pipeline.sids(), [PORT_SCAN]);
    let first = pipeline.findings[0].evidence.clone().unwrap();
    assert_eq!(first.targets, 20);
    assert_eq!(
        pipeline.findings[0].context.source.owner.ifindex, 7,
        "the scanner is the source"
    );
    pipeline.finish();
    assert_eq!(pipeline.sids(), [PORT_SCAN, PORT_SCAN]);
    let total = pipeline.findings[1].evidence.clone().unwrap();
    assert_eq!((total.count, total.targets), (1_000, 1_000));
    assert_eq!(pipeline.findings[1].signature.attack, ["T1046"]);
}

#[test]
fn a_connect_scan_of_closed_ports_is_a_port_scan() {
    let mut pipeline = pipeline();
    for port in 1..=100 {
        if port % 10 == 0 {
            pipeline.exchange(&ends(2, 3, (40_000 + port, port)));
        } else {
            pipeline.refused(&ends(2, 3, (40_000 + port, port)));
        }
    }
    assert_eq!(pipeline.sids(), [PORT_SCAN]);
}

#[test]
fn a_scan_of_filtered_ports_is_seen_when_no_answer_came() {
    let mut pipeline = pipeline();
    for port in 1..=20_000 {
        pipeline.syn(&ends(2, 3, (50_000, port)));
    }
    assert!(pipeline.findings.is_empty(), "answers may still come");
    pipeline.wait(2 * SECOND);
    assert_eq!(pipeline.sids(), [PORT_SCAN]);
    assert!(pipeline.correlator.stats().targets_refused > 0);
}

#[test]
fn odd_flags_are_a_scan_whatever_the_answer() {
    for (flags, sid) in [
        (0, NULL_SCAN),
        (FIN, FIN_SCAN),
        (FIN | PSH | URG, XMAS_SCAN),
    ] {
        let mut pipeline = pipeline();
        for port in 1..=100 {
            let probe = Tcp {
                ports: (50_000, port),
                flags,
                ..Tcp::default()
            };
            pipeline.tcp([10, 0, 0, 2].into(), [10, 0, 0, 3].into(), &probe);
        }
        assert_eq!(pipeline.sids(), [sid]);
    }
}

#[test]
fn an_ack_scan_is_seen_by_its_refusals() {
    let mut pipeline = pipeline();
    for port in 1..=100 {
        let ends = ends(2, 3, (50_000, port));
        let probe = Tcp {
            ports: ends.ports,
            acknowledgement: 77,
            ..Tcp::default()
        };
        pipeline.tcp(ends.client, ends.server, &probe);
        let refusal = Tcp {
            ports: (port, 50_000),
            sequence: 77,
            flags: frames::RST,
            ..Tcp::default()
        };
        pipeline.tcp(ends.server, ends.client, &refusal);
    }
    assert_eq!(pipeline.sids(), [ACK_SCAN]);
}

#[test]
fn a_udp_scan_is_seen_when_no_answer_came() {
    let mut pipeline = pipeline();
    for port in 1..=100 {
        let datagram = udp(50_000, port, b"");
        pipeline.packet(&ip(
            [10, 0, 0, 2].into(),
            [10, 0, 0, 3].into(),
            17,
            &datagram,
        ));
        pipeline.wait(100 * MILLISECOND);
    }
    assert_eq!(pipeline.sids(), [UDP_SCAN]);
}

#[test]
fn forged_sources_of_one_link_are_one_scanner() {
    let mut pipeline = pipeline();
    for port in 1..=100_u8 {
        // Decoys: every port from another address.
        pipeline.refused(&ends(port, 250, (50_000, u16::from(port))));
    }
    assert_eq!(pipeline.sids(), [PORT_SCAN]);
}

#[test]
fn one_port_of_many_hosts_is_a_sweep() {
    let mut pipeline = pipeline();
    for host in 10..60 {
        pipeline.refused(&ends(2, host, (50_000, 6379)));
    }
    assert_eq!(pipeline.sids(), [TCP_SWEEP]);
    let mut pipeline = Pipeline::default();
    for host in 10..60 {
        let echo = icmp(8, 0, 1, 1, b"");
        pipeline.packet(&ip([10, 0, 0, 2].into(), [10, 0, 0, host].into(), 1, &echo));
        pipeline.wait(100 * MILLISECOND);
    }
    assert_eq!(pipeline.sids(), [ECHO_SWEEP]);
}

#[test]
fn many_ports_of_many_hosts_are_told_together() {
    let mut pipeline = pipeline();
    // 200 hosts, 100 ports, in an order in which nothing stands out.
    for step in 0..20_000_u32 {
        let pair = step * 7_919 % 20_000;
        let host = u8::try_from(10 + pair / 100).unwrap();
        let port = u16::try_from(1 + pair % 100).unwrap();
        pipeline.refused(&ends(2, host, (50_000, port)));
        pipeline.wait(MILLISECOND / 10);
    }
    pipeline.finish();
    assert!(pipeline.sids().contains(&NETWORK_SCAN));
    assert!(pipeline.findings.len() <= 8, "{:?}", pipeline.sids());
}

#[test]
fn a_flood_is_told_at_a_bounded_rate() {
    let mut pipeline = pipeline();
    // Forged sources, 20,000 a second for 130 s would be slow: 200 a second are enough.
    for step in 0..130 * 200_u32 {
        let client = Ipv4Addr::from_bits(0x0b00_0000 + step).into();
        let ends = Ends {
            client,
            ..ends(0, 3, (1_234, 80))
        };
        pipeline.syn(&ends);
        pipeline.wait(5 * MILLISECOND);
    }
    let floods = pipeline.sids();
    assert_eq!(floods, [SYN_FLOOD; 3], "one and two updates in 130 s");
    let evidence = pipeline.findings[2].evidence.clone().unwrap();
    assert!(evidence.count > 20_000, "{evidence:?}");
    assert!(evidence.summary.contains("at least 256 addresses"));
    assert_eq!(pipeline.findings[0].context.destination.socket.port, 80);
    pipeline.finish();
    assert_eq!(pipeline.sids().len(), 4, "and a total");
}

#[test]
fn a_burst_of_200_000_syn_stays_within_bounds() {
    let mut pipeline = Pipeline::default();
    for step in 0..200_000_u32 {
        let client = Ipv4Addr::from_bits(0x0b00_0000 + step).into();
        let ends = Ends {
            client,
            ..ends(0, 3, (1_234, 80))
        };
        pipeline.syn(&ends);
    }
    pipeline.wait(2 * SECOND);
    assert_eq!(pipeline.sids(), [SYN_FLOOD]);
    let stats = pipeline.inspector.stats();
    assert_eq!(stats.flows, 65_536);
    assert_eq!(stats.flows_created, 200_000);
    assert_eq!(stats.flows_evicted, 200_000 - 65_536);
    let stats = pipeline.correlator.stats();
    assert!(stats.actors <= 4_096 && stats.targets <= 4_096);
    assert_eq!(stats.actors_evicted, 200_000 - 4_096);
}

#[test]
fn a_slow_scan_is_found_among_100_000_forged_sources() {
    let mut pipeline = Pipeline::default();
    let mut forged = 0_u32;
    for port in 1..=25 {
        // From outside: nothing but its address is known.
        pipeline.refused(&ends(2, 3, (50_000, port)));
        for _ in 0..4_000 {
            forged += 1;
            let client = Ipv4Addr::from_bits(0x0b00_0000 + forged).into();
            let ends = Ends {
                client,
                ..ends(0, 9, (1_234, 443))
            };
            pipeline.syn(&ends);
        }
        pipeline.wait(2 * SECOND);
    }
    assert!(pipeline.sids().contains(&PORT_SCAN));
    assert!(pipeline.correlator.stats().actors_evicted > 90_000);
}

#[test]
fn silent_ten_thousand_connections_to_one_port() {
    let mut pipeline = pipeline();
    for step in 0..10_000_u16 {
        pipeline.exchange(&ends(2, 3, (10_000 + step, 80)));
        pipeline.wait(MILLISECOND / 10);
    }
    pipeline.finish();
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn silent_a_health_checker_and_a_rolling_restart() {
    let mut pipeline = pipeline();
    for second in 0..300_u16 {
        for host in 10..40_u8 {
            for port in [8080, 9090] {
                let ends = ends(2, host, (20_000 + second, port));
                // All of them restart once, some never come back.
                let down = (100..130).contains(&second) || (second > 130 && host < 16);
                if down {
                    pipeline.refused(&ends);
                } else {
                    pipeline.exchange(&ends);
                }
            }
        }
        pipeline.wait(SECOND);
    }
    pipeline.finish();
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn silent_a_service_with_twenty_ports_and_a_crawler() {
    let mut pipeline = pipeline();
    for round in 0..50_u16 {
        for port in 8_000..8_020 {
            pipeline.exchange(&ends(2, 3, (20_000 + round, port)));
        }
        pipeline.wait(SECOND);
    }
    for host in 0..2_000_u32 {
        let server = Ipv4Addr::from_bits(0x0b00_0000 + host).into();
        let ends = Ends {
            server,
            ..ends(2, 0, (30_000, 443))
        };
        // One in ten is down.
        if host % 10 == 0 {
            pipeline.refused(&ends);
        } else {
            pipeline.exchange(&ends);
        }
        pipeline.wait(20 * MILLISECOND);
    }
    pipeline.finish();
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn silent_a_sensor_that_starts_late() {
    let mut pipeline = pipeline();
    for port in 1..=200_u16 {
        // Connections and answers whose beginning was not seen.
        let ends = ends(2, 3, (443, 33_000 + port));
        let segment = Tcp {
            ports: ends.ports,
            payload: b"data",
            ..Tcp::default()
        };
        pipeline.tcp(ends.client, ends.server, &segment);
        let answer = udp(53, 33_000 + port, b"answer");
        pipeline.packet(&ip(ends.client, ends.server, 17, &answer));
        pipeline.wait(20 * MILLISECOND);
    }
    pipeline.finish();
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn silent_a_client_that_retries() {
    let mut pipeline = pipeline();
    for step in 0..5_000_u16 {
        pipeline.refused(&ends(2, 3, (20_000 + step, 5432)));
        pipeline.wait(10 * MILLISECOND);
    }
    pipeline.finish();
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn malformed_packets_are_one_finding_for_each_kind_and_link() {
    let mut pipeline = pipeline();
    for _ in 0..10_000 {
        let mut bytes = ip(
            [10, 0, 0, 2].into(),
            [10, 0, 0, 3].into(),
            17,
            &udp(1, 2, b"x"),
        );
        bytes[24] = 0xff;
        pipeline.packet(&bytes);
        pipeline.wait(MILLISECOND);
    }
    assert_eq!(pipeline.sids(), [1018]);
    let stats = pipeline.inspector.stats();
    assert_eq!(stats.anomalies[18], 10_000);
    assert_eq!(stats.anomalies_muffled, 9_900);
    pipeline.finish();
    assert_eq!(pipeline.sids(), [1018, 1018]);
}
