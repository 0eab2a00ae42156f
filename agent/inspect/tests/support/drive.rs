//! Any bytes as traffic: what the fuzz targets and the replay of their corpus share. Each returns
//! normally on all input; an assertion that fails is a bug.
#![allow(
    dead_code,
    clippy::allow_attributes,
    unreachable_pub,
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support"
)]

use std::sync::{Arc, LazyLock};

use hydrophone_inspect::{
    BehaviorConfig, Correlator, EventTypes, Finding, Hook, Inspector, InspectorLimits, LinkType,
    Owner, Packet, Signal, Timestamp, decode,
    engine::Engine,
    flow::Direction,
    flow::{FragmentLimits, OverlapPolicy, StreamLimits},
    inspector::Timeouts,
    protocol::{self, AppProtocol, FrameSet, Limits, Status, Transactions, Transport},
    rule::{Diagnostic, RuleSetBuilder, STARTER, STARTER_NAME, Variables},
};

use super::frames::{Tcp, ip};

const LINK_TYPES: [LinkType; 7] = [
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::Null,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Ppp,
    LinkType::CiscoHdlc,
];
const EVENTS: EventTypes = {
    let mut events = EventTypes::NONE
        .with_transactions(AppProtocol::Http)
        .with_transactions(AppProtocol::Dns)
        .with_transactions(AppProtocol::Smb);
    events.flows = true;
    events.files = true;
    events
};
/// Small, so that every bound is reached.
const LIMITS: InspectorLimits = InspectorLimits {
    flows: 4,
    timeouts: Timeouts {
        established: 100_000_000_000,
        short: 10_000_000_000,
        closed: 1_000_000_000,
    },
    streams: StreamLimits {
        window: 32,
        pending: 400,
        total: 1_000,
    },
    fragments: FragmentLimits {
        datagrams: 3,
        bytes: 100_000,
        runs: 3,
    },
    overlap: OverlapPolicy::Linux,
    protocols: Limits {
        transactions: 2,
        head: 512,
        body: 128,
        partial: 256,
        decompressed: 256,
        layers: 2,
        hashes: true,
        frames: FrameSet::NONE,
    },
    midstream: true,
    async_oneside: false,
    checksums: false,
    encrypted: false,
    excerpt: 16,
    packet: 40,
    events: EVENTS,
    evidence: 100,
};

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source(STARTER_NAME, STARTER);
    Arc::new(Engine::new(&builder.build().0))
});

/// Every complaint is about a place inside of the file.
fn check(diagnostics: &[Diagnostic], text: &str) {
    for diagnostic in diagnostics {
        let line = text.split('\n').nth(diagnostic.line - 1);
        let length = line.map(str::len);
        assert!(
            length.is_some_and(|length| diagnostic.column <= length + 1),
            "{diagnostic} is outside of the file"
        );
        let _ = diagnostic.render(text);
    }
}

/// A rule file, and itself as traffic for the rules that loaded.
pub fn rules(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("fuzz.rules", &text);
    let (set, diagnostics) = builder.build();
    check(&diagnostics, &text);
    Drive::new(&Arc::new(Engine::new(&set))).converse(80, input);
}

/// A `threshold.config`, and alerts for it to hold back.
pub fn filters(input: &[u8]) {
    const RULES: &str = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
        alert tcp any any -> any any (content:\"b\"; threshold:type limit,track by_src,count 1,seconds 9; sid:2;)\n\
        alert tcp any any -> any any (content:\"c\"; gid:7; sid:3;)";
    let text = String::from_utf8_lossy(input);
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("fuzz.rules", RULES);
    builder.add_filters("fuzz.config", &text);
    let (set, diagnostics) = builder.build();
    assert_eq!(set.rules.len(), 3, "filters leave rules alone");
    check(&diagnostics, &text);
    let mut drive = Drive::new(&Arc::new(Engine::new(&set)));
    drive.converse(80, &b"abc".repeat(40));
}

/// Reputation files: categories up to a line of `---`, then scores; and addresses that rules ask for.
pub fn reputations(input: &[u8]) {
    const RULES: &str = "alert ip any any -> any any (iprep:src,Bad,>,10; sid:1;)\n\
        alert tcp any any -> any any (content:\"a\"; iprep:both,Bad,isnotset; sid:2;)";
    let text = String::from_utf8_lossy(input);
    let (categories, scores) = text.split_once("\n---\n").unwrap_or(("", &text));
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_categories("first.txt", "1,Bad,Bad hosts\n");
    builder.add_categories("categories.txt", categories);
    builder.add_reputations("hosts.list", scores);
    builder.add_source("fuzz.rules", RULES);
    let (set, diagnostics) = builder.build();
    // A category may have been given another name; what is wrong is in one of the two files.
    for (name, text) in [("categories.txt", categories), ("hosts.list", scores)] {
        let mut of = diagnostics.clone();
        of.retain(|diagnostic| &*diagnostic.file == name);
        check(&of, text);
    }
    let mut drive = Drive::new(&Arc::new(Engine::new(&set)));
    drive.converse(80, b"abc");
}

/// Rules on every frame there is.
static FRAME_ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    use std::fmt::Write as _;
    let frames = protocol::Buffer::ALL.iter().filter(|it| it.is_frame());
    let mut rules = String::new();
    for (frame, sid) in frames.zip(1_u32..) {
        let name = frame.name();
        let _ = writeln!(
            rules,
            "alert ip any any -> any any ({name}; content:\"a\"; sid:{sid};)"
        );
    }
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("frames.rules", &rules);
    let (set, diagnostics) = builder.build();
    assert_eq!(diagnostics, []);
    Arc::new(Engine::new(&set))
});

/// The records of a protocol: the server's port, then the client's bytes up to `0xff 0xfe`, then the
/// server's.
pub fn frames(input: &[u8]) {
    let [high, low, bytes @ ..] = input else {
        return;
    };
    let port = u16::from_be_bytes([*high, *low]);
    Drive::new(&FRAME_ENGINE).converse(port, bytes);
}

/// One frame: its link type, how much more was on the wire, and its bytes.
pub fn one_frame(input: &[u8]) {
    let [link, more, bytes @ ..] = input else {
        return;
    };
    let packet = frame(*link, u32::from(*more), bytes, 0);
    if let Ok(decode::Decoded::Datagram(datagram)) = decode::decode(&packet) {
        assert!(datagram.payload.len() <= datagram.headers.payload_length as usize);
        assert!(datagram.payload.len() <= bytes.len());
    }
}

/// Frames through inspector and correlator. Each: link type, tenths of seconds since the last,
/// length, bytes.
pub fn many_frames(mut input: &[u8]) {
    let mut drive = Drive::new(&ENGINE);
    while let [link, tenths, length, rest @ ..] = input {
        let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        drive.now += u64::from(*tenths) * 100_000_000;
        drive.packet(&frame(*link, 0, bytes, drive.now));
        input = rest;
    }
    drive.finish();
}

/// Segments of one connection through the inspector. Each: direction and flags, sequence number,
/// acknowledgement, length; the payload repeats the length.
pub fn one_connection(mut input: &[u8]) {
    let mut drive = Drive::new(&ENGINE);
    while let [
        direction,
        flags,
        sequence,
        acknowledgement,
        length,
        rest @ ..,
    ] = input
    {
        let payload = vec![*length; usize::from(*length)];
        let from_client = direction & 1 == 0;
        let segment = Tcp {
            ports: if from_client { (9, 80) } else { (80, 9) },
            // Around the wrap.
            sequence: u32::from(*sequence).wrapping_sub(100),
            acknowledgement: u32::from(*acknowledgement).wrapping_sub(100),
            flags: *flags,
            window: u16::from(direction >> 1),
            payload: &payload,
            ..Tcp::default()
        };
        let (client, server) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let bytes = if from_client {
            ip(client, server, 6, &segment.bytes())
        } else {
            ip(server, client, 6, &segment.bytes())
        };
        drive.now += 1_000_000;
        drive.packet(&frame(1, 0, &bytes, drive.now));
        input = rest;
    }
    drive.finish();
}

/// One application protocol's parser: which (the highest bit is for UDP), then pieces, each with its
/// direction (bit 0), whether it was missed (bit 1), length, bytes. Says how many transactions it saw.
pub fn one_protocol(input: &[u8]) -> u64 {
    let [which, rest @ ..] = input else {
        return 0;
    };
    let transport = if which & 0x80 == 0 {
        Transport::Tcp
    } else {
        Transport::Udp
    };
    let all = AppProtocol::ALL;
    let protocol = all[usize::from(which & 0x7f) % all.len()];
    let Some(mut parser) = protocol::parser(protocol, transport) else {
        return 0;
    };
    let mut out = Transactions::new(LIMITS.protocols);
    let mut rest = rest;
    let mut total = 0;
    while let [how, length, bytes @ ..] = rest {
        let (bytes, after) = bytes.split_at(usize::from(*length).min(bytes.len()));
        let direction = if how & 1 == 0 {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        let status = if how & 2 == 0 {
            parser.data(direction, bytes, &mut out)
        } else {
            parser.gap(direction, u64::from(*length), &mut out)
        };
        total += bytes.len();
        assert!(out.len() <= LIMITS.protocols.transactions);
        // What a parser holds grows with what came, and with fixed tables and windows.
        assert!(parser.footprint() <= (1 << 20) + 64 * total, "{protocol:?}");
        if status != Status::Ok {
            return out.next_id();
        }
        rest = after;
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        parser.end(direction, &mut out);
    }
    out.next_id()
}

struct Drive {
    inspector: Inspector,
    correlator: Correlator,
    signals: Vec<Signal>,
    findings: Vec<Finding>,
    now: u64,
}

impl Drive {
    fn new(engine: &Arc<Engine>) -> Self {
        Self {
            inspector: Inspector::new(Arc::clone(engine), LIMITS),
            correlator: Correlator::new(BehaviorConfig {
                actors: 3,
                targets: 8,
                targets_per_actor: 4,
                scan_ports: 2,
                flood_targets: 2,
                ..BehaviorConfig::default()
            }),
            signals: Vec::new(),
            findings: Vec::new(),
            now: 1_000_000_000,
        }
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        self.inspector.packet(packet, &mut self.signals);
        let stats = self.inspector.stats();
        assert!(stats.flows <= LIMITS.flows as u64);
        assert!(stats.stream_memory <= LIMITS.streams.total as u64);
        self.correlate();
    }

    /// A connection to this port with what the client and, behind `0xff 0xfe`, the server says.
    fn converse(&mut self, port: u16, bytes: &[u8]) {
        let cut = bytes.windows(2).position(|pair| pair == [0xff, 0xfe]);
        let (client, server) = match cut {
            Some(at) => (&bytes[..at], &bytes[at + 2..]),
            None => (bytes, &[][..]),
        };
        for (said, from_client) in [(client, true), (server, false)] {
            for (piece, sequence) in said.chunks(40).zip((1_u32..).step_by(40)) {
                let ports = if from_client {
                    (4_000, port)
                } else {
                    (port, 4_000)
                };
                let segment = Tcp {
                    ports,
                    sequence,
                    payload: piece,
                    ..Tcp::default()
                };
                let mut ends = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
                if !from_client {
                    ends.reverse();
                }
                let bytes = ip(ends[0], ends[1], 6, &segment.bytes());
                self.packet(&frame(1, 0, &bytes, self.now));
            }
        }
        self.finish();
    }

    fn correlate(&mut self) {
        for signal in self.signals.drain(..) {
            self.correlator.signal(signal, &mut self.findings);
        }
        assert!(self.correlator.stats().actors <= 3);
        assert!(self.correlator.stats().targets <= 8);
    }

    fn finish(&mut self) {
        self.inspector.finish(&mut self.signals);
        self.correlate();
        self.correlator.finish(&mut self.findings);
        let stats = self.inspector.stats();
        assert_eq!((stats.flows, stats.stream_memory), (0, 0));
    }
}

fn frame(link: u8, more: u32, bytes: &[u8], now: u64) -> Packet<'_> {
    Packet {
        timestamp: Timestamp(now),
        hook: Hook::Capture,
        ifindex: u32::from(link / 5),
        link_type: LINK_TYPES[usize::from(link % 7)],
        scope: 0,
        bytes,
        wire_length: u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(more),
        source: Owner {
            ifindex: u32::from(link / 5),
            ..Owner::default()
        },
        destination: Owner::default(),
    }
}
