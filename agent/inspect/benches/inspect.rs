//! What a packet costs, stage by stage, as a ratio to decoding it, in one run.
//!
//! `cargo bench -p hydrophone-inspect`. The engine has no rules: this measures everything around
//! matching. Numbers are for comparison, never a pass or a failure.
#![allow(
    clippy::allow_attributes,
    clippy::cast_precision_loss,
    reason = "a report for people"
)]

#[path = "../tests/support/frames.rs"]
mod frames;

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use frames::{ACK, SYN, Tcp, ip, udp};
use hydrophone_inspect::{
    BehaviorConfig, Correlator, Finding, Hook, Inspector, InspectorLimits, LinkType, Owner, Packet,
    Signal, SignalSink, Timestamp, decode, engine::Engine,
};

const LEAST: Duration = Duration::from_millis(400);

/// Passes contacts on to the correlator, as the agent does over a channel.
struct ToCorrelator {
    correlator: Option<Correlator>,
    findings: Vec<Finding>,
}

impl SignalSink for ToCorrelator {
    fn signal(&mut self, signal: Signal) {
        match &mut self.correlator {
            Some(correlator) => correlator.signal(signal, &mut self.findings),
            None => drop(black_box(signal)),
        }
    }
}

fn packet(bytes: &[u8], now: u64) -> Packet<'_> {
    Packet {
        timestamp: Timestamp(now),
        hook: Hook::Capture,
        ifindex: 3,
        link_type: LinkType::RawIp,
        scope: 0,
        bytes,
        wire_length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        source: Owner::default(),
        destination: Owner::default(),
    }
}

/// Runs `frames` again and again for a while; nanoseconds a packet.
fn measure(frames: &[Vec<u8>], mut each: impl FnMut(&Packet<'_>)) -> f64 {
    let mut now = 1_000_000_000;
    let mut run = || {
        for bytes in frames {
            now += 1_000;
            each(&packet(bytes, now));
        }
    };
    run();
    let start = Instant::now();
    let mut rounds = 0_u32;
    while start.elapsed() < LEAST {
        run();
        rounds += 1;
    }
    start.elapsed().as_nanos() as f64 / (f64::from(rounds) * frames.len() as f64)
}

fn decoded(frames: &[Vec<u8>]) -> f64 {
    measure(frames, |packet| {
        let _ = black_box(decode::decode(black_box(packet)));
    })
}

/// `frames` through an inspector that is made anew each round, so that streams begin again.
fn inspected(frames: &[Vec<u8>], correlate: bool) -> f64 {
    let fresh = || Inspector::new(Arc::new(Engine::empty()), InspectorLimits::default());
    let mut sink = ToCorrelator {
        correlator: correlate.then(|| Correlator::new(BehaviorConfig::default())),
        findings: Vec::new(),
    };
    let mut spent = Duration::ZERO;
    let mut packets = 0_u64;
    while spent < LEAST {
        let mut inspector = fresh();
        let start = Instant::now();
        for (at, bytes) in (0_u64..).zip(frames) {
            inspector.packet(&packet(bytes, 1_000_000_000 + at * 1_000), &mut sink);
        }
        spent += start.elapsed();
        packets += frames.len() as u64;
        black_box(inspector.stats());
    }
    spent.as_nanos() as f64 / packets as f64
}

fn ends() -> (IpAddr, IpAddr) {
    ([10, 0, 0, 2].into(), [10, 0, 0, 3].into())
}

/// One connection that carries `size` bytes in each of `count` segments, in the order given.
fn connection(size: usize, count: u32, order: impl Fn(u32) -> u32) -> Vec<Vec<u8>> {
    let (client, server) = ends();
    let payload = vec![b'x'; size];
    let wide = [1, 3, 3, 14];
    let syn = |flags, ports, sequence, acknowledgement| Tcp {
        ports,
        sequence,
        acknowledgement,
        flags,
        options: &wide,
        ..Tcp::default()
    };
    let mut frames = vec![
        ip(client, server, 6, &syn(SYN, (40_000, 80), 0, 0).bytes()),
        ip(
            server,
            client,
            6,
            &syn(SYN | ACK, (80, 40_000), 0, 1).bytes(),
        ),
        ip(
            client,
            server,
            6,
            &Tcp {
                sequence: 1,
                acknowledgement: 1,
                ..Tcp::default()
            }
            .bytes(),
        ),
    ];
    let step = u32::try_from(size).unwrap_or(1);
    for at in 0..count {
        let segment = Tcp {
            sequence: 1 + order(at) * step,
            acknowledgement: 1,
            payload: &payload,
            ..Tcp::default()
        };
        frames.push(ip(client, server, 6, &segment.bytes()));
    }
    frames
}

fn many_flows(flows: u32, packets: u32) -> Vec<Vec<u8>> {
    (0..packets)
        .map(|at| {
            let client = Ipv4Addr::from_bits(0x0a00_0000 + at * 7_919 % flows).into();
            ip(client, ends().1, 17, &udp(5_000, 53, b"a small question"))
        })
        .collect()
}

fn flood(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|at| {
            let client = Ipv4Addr::from_bits(0x0b00_0000 + at).into();
            let segment = Tcp {
                flags: SYN,
                sequence: at,
                ..Tcp::default()
            };
            ip(client, ends().1, 6, &segment.bytes())
        })
        .collect()
}

fn main() {
    let in_order = |at| at;
    // Pairs swapped: every second segment waits for one.
    let swapped = |at: u32| at ^ 1;
    let cases = [
        ("udp, 1 flow", many_flows(1, 10_000), false),
        ("udp, 1,000 flows", many_flows(1_000, 10_000), false),
        ("udp, 50,000 flows", many_flows(50_000, 200_000), false),
        (
            "tcp stream, 1 B segments",
            connection(1, 10_000, in_order),
            false,
        ),
        (
            "tcp stream, 100 B segments",
            connection(100, 10_000, in_order),
            false,
        ),
        (
            "tcp stream, 1,448 B segments",
            connection(1_448, 2_000, in_order),
            false,
        ),
        (
            "tcp stream, 100 B, swapped",
            connection(100, 10_000, swapped),
            false,
        ),
        (
            "tcp stream, 64 KB segments",
            connection(64_000, 200, in_order),
            false,
        ),
        ("syn flood, distinct tuples", flood(200_000), false),
        ("syn flood, with correlator", flood(200_000), true),
    ];
    println!(
        "{:<30} {:>10} {:>10} {:>8} {:>14} {:>9}",
        "", "decode ns", "total ns", "ratio", "packets/s", "Gbit/s"
    );
    for (name, frames, correlate) in &cases {
        let baseline = decoded(frames);
        let total = inspected(frames, *correlate);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let bits = 8.0 * bytes as f64 / frames.len() as f64;
        println!(
            "{name:<30} {baseline:>10.1} {total:>10.1} {:>8.1} {:>14.0} {:>9.2}",
            total / baseline,
            1e9 / total,
            bits / total
        );
    }
}
