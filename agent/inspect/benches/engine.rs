//! How fast rules are matched, beside a plain scan of the same bytes: `cargo bench -p
//! hydrophone-inspect --bench engine`.
//!
//! Figures depend on the machine; the ratio to the scan less so. Nothing here passes or fails.

use core::net::IpAddr;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hydrophone_inspect::{
    Timestamp,
    anomaly::AnomalySet,
    decode::{Headers, TcpFlags, Transport},
    engine::{Engine, FlowMatches, FlowState, FlowView, Inspection, Memory, Scratch, Unit},
    rule::{RuleSetBuilder, STARTER, STARTER_NAME, Variables},
};

/// Payload of a full segment.
const SEGMENT: usize = 1_460;
/// Segments of one flow.
const SEGMENTS: usize = 8;
const FLOWS: usize = 256;
/// Each figure is the best of several runs.
const RUNS: usize = 5;

fn main() {
    let flows: Vec<Vec<u8>> = (0..FLOWS).map(conversation).collect();
    let bytes: usize = flows.iter().map(Vec::len).sum();
    let scan = best(|| {
        let mut lines = 0;
        for flow in &flows {
            lines += black_box(flow)
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
        }
        black_box(lines);
    });
    report("plain byte scan", bytes, scan, scan);
    for (name, rules, segment) in [
        ("starter rules", STARTER.to_owned(), SEGMENT),
        ("1,000 rules", generated(1_000, "any"), SEGMENT),
        ("5,000 rules", generated(5_000, "any"), SEGMENT),
        ("5,000 rules on 50 ports", generated(5_000, "port"), SEGMENT),
        ("50 half found", half_found(), SEGMENT),
        ("50 half found, 32 byte", half_found(), 32),
    ] {
        let engine = engine(&rules);
        let time = best(|| inspect(&engine, &flows, segment));
        report(name, bytes, time, scan);
    }
}

fn report(name: &str, bytes: usize, time: Duration, scan: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = bytes as f64 / 1e6 / time.as_secs_f64();
    let ratio = time.as_secs_f64() / scan.as_secs_f64();
    println!("{name:<26}{rate:>9.0} MB/s {ratio:>8.1} times the scan");
}

fn best(mut run: impl FnMut()) -> Duration {
    let timed = || {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    std::iter::repeat_with(timed)
        .take(RUNS)
        .min()
        .unwrap_or_default()
}

fn engine(rules: &str) -> Engine {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source(STARTER_NAME, rules);
    let (set, diagnostics) = builder.build();
    for diagnostic in &diagnostics {
        eprintln!("{diagnostic}");
    }
    Engine::new(&set)
}

/// Every flow as segments of its stream, as the flow stage hands them over.
fn inspect(engine: &Engine, flows: &[Vec<u8>], segment: usize) {
    let mut scratch = Scratch::default();
    let mut found = 0_u64;
    for flow in flows {
        let mut matches = FlowMatches::default();
        let mut state = FlowState::default();
        let mut fresh = 0;
        for segment in flow.chunks(segment) {
            let headers = headers(segment.len());
            let end = fresh + segment.len();
            let inspection = Inspection {
                headers: &headers,
                flow: FlowView {
                    to_server: true,
                    established: true,
                    ..FlowView::default()
                },
                unit: Unit::Stream,
                data: flow.get(..end).unwrap_or_default(),
                data_start: 0,
                fresh,
                now: Timestamp(0),
                view: None,
                events: AnomalySet::default(),
                transaction: None,
            };
            let mut memory = Memory {
                flow: &mut state,
                matches: &mut matches,
                scratch: &mut scratch,
            };
            engine.inspect(&inspection, &mut memory, &mut |_| found += 1);
            fresh = end;
        }
    }
    black_box(found);
}

fn headers(length: usize) -> Headers {
    Headers {
        source: IpAddr::from([172, 18, 0, 2]),
        destination: IpAddr::from([172, 18, 0, 3]),
        protocol: 6,
        ttl: 64,
        transport: Transport::Tcp {
            source_port: 40_000,
            destination_port: 8_080,
            sequence: 1,
            acknowledgement: 1,
            flags: TcpFlags(TcpFlags::ACK | TcpFlags::PSH),
            window: 512,
        },
        payload_length: u32::try_from(length).unwrap_or(u32::MAX),
    }
}

/// Requests of one kept-alive connection, different in each flow.
fn conversation(seed: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut word = words(seed);
    while text.len() < SEGMENT * SEGMENTS {
        let mut next = || word.next().unwrap_or_default();
        let body = format!(
            "{{\"user\":\"{}\",\"items\":[\"{}\",\"{}\"],\"note\":\"{} {} {}\"}}",
            next(),
            next(),
            next(),
            next(),
            next(),
            next()
        );
        text.push_str(&format!(
            "POST /api/{}/{}?page={} HTTP/1.1\r\nHost: shop\r\nUser-Agent: Go-http-client/1.1\r\nAccept: */*\r\nX-Request-Id: {}\r\nContent-Length: {}\r\n\r\n{body}",
            next(), next(), next(), next(), body.len()
        ));
    }
    text.truncate(SEGMENT * SEGMENTS);
    text.into_bytes()
}

/// Rules with a path of two words and a parameter; few of their patterns occur.
fn generated(count: usize, ports: &str) -> String {
    let mut word = words(usize::MAX / 2);
    let mut next = || word.next().unwrap_or_default();
    (1..=count)
        .map(|sid| {
            let port = match ports {
                "port" => (8_080 + sid % 50).to_string(),
                _ => "any".to_owned(),
            };
            format!(
                "alert tcp any any -> any {port} (msg:\"x\"; flow:established,to_server; content:\"/{}/{}\"; nocase; content:\"{}=\"; distance:0; within:64; sid:{sid};)\n",
                next(), next(), next()
            )
        })
        .collect()
}

/// Rules of which every conversation has one content and none the other.
fn half_found() -> String {
    (1..=50)
        .map(|sid| {
            format!(
                "alert tcp any any -> any any (msg:\"x\"; content:\"X-Request-Id\"; content:\"never{sid}\"; sid:{sid};)\n"
            )
        })
        .collect()
}

/// Pronounceable words, the same in each run (a linear congruential generator).
fn words(seed: usize) -> impl Iterator<Item = String> {
    const SYLLABLES: [&str; 16] = [
        "an", "ber", "co", "da", "en", "fi", "go", "hu", "in", "ka", "lo", "mer", "no", "or", "ta",
        "us",
    ];
    let mut state = u64::try_from(seed).unwrap_or_default() | 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let syllable = |shift: u32| {
            usize::try_from(state >> shift & 15)
                .ok()
                .and_then(|index| SYLLABLES.get(index))
                .copied()
        };
        [40, 46, 52, 58].into_iter().filter_map(syllable).collect()
    })
}
