//! A capture by hand, through the inspector and the correlator.
#![allow(
    dead_code,
    clippy::allow_attributes,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support, of which each user takes a part"
)]

pub mod drive;
pub mod frames;

use std::{net::IpAddr, sync::Arc};

use frames::{ACK, RST, SYN, Tcp, ip};
use hydrophone_inspect::{
    Correlator, Event, Finding, FlowDirective, Hook, Inspector, InspectorLimits, LinkType, Owner,
    Packet, Signal, SignalSink, Timestamp,
    engine::Engine,
    rule::{RuleSetBuilder, Variables},
};

pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MILLISECOND;

/// Packets in, findings out, with a clock that the test turns.
pub struct Pipeline {
    pub inspector: Inspector,
    pub correlator: Correlator,
    pub signals: Vec<Signal>,
    pub findings: Vec<Finding>,
    pub events: Vec<Event>,
    pub now: u64,
    ticked: u64,
    /// The sender's link.
    pub ifindex: u32,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new(InspectorLimits::default())
    }
}

impl Pipeline {
    pub fn new(limits: InspectorLimits) -> Self {
        Self::with_rules("", limits)
    }

    pub fn with_rules(rules: &str, limits: InspectorLimits) -> Self {
        Self {
            inspector: Inspector::new(engine(rules), limits),
            correlator: Correlator::new(hydrophone_inspect::BehaviorConfig::default()),
            signals: Vec::new(),
            findings: Vec::new(),
            events: Vec::new(),
            now: 1_000_000 * SECOND,
            ticked: 0,
            ifindex: 0,
        }
    }

    pub fn wait(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        if self.now - self.ticked >= SECOND {
            self.ticked = self.now;
            self.inspector.tick(Timestamp(self.now), &mut self.signals);
            self.correlate();
            self.correlator
                .tick(Timestamp(self.now), &mut self.findings);
        }
    }

    /// One IP packet.
    pub fn packet(&mut self, bytes: &[u8]) {
        self.cut(bytes, u32::try_from(bytes.len()).unwrap());
    }

    /// One IP packet that was longer on the wire.
    pub fn cut(&mut self, bytes: &[u8], wire_length: u32) {
        let packet = Packet {
            timestamp: Timestamp(self.now),
            hook: Hook::LinkIngress,
            ifindex: self.ifindex,
            link_type: LinkType::RawIp,
            scope: 0,
            bytes,
            wire_length,
            source: Owner {
                ifindex: self.ifindex,
                ..Owner::default()
            },
            destination: Owner::default(),
        };
        self.inspector.packet(&packet, &mut self.signals);
        self.correlate();
    }

    fn correlate(&mut self) {
        for signal in self.signals.drain(..) {
            if let Signal::Event(event) = signal {
                self.events.push(*event);
                continue;
            }
            self.correlator.signal(signal, &mut self.findings);
        }
    }

    pub fn finish(&mut self) {
        self.inspector.finish(&mut self.signals);
        self.correlate();
        self.correlator.finish(&mut self.findings);
    }

    /// Signature ids of the findings so far.
    pub fn sids(&self) -> Vec<u32> {
        self.findings
            .iter()
            .map(|finding| finding.signature.sid)
            .collect()
    }

    pub fn tcp(&mut self, from: IpAddr, to: IpAddr, segment: &Tcp<'_>) {
        let packet = ip(from, to, 6, &segment.bytes());
        self.packet(&packet);
    }

    pub fn segment(&mut self, ends: &Ends, from_client: bool, flags: u8, numbers: (u32, u32)) {
        let (from, to, ports) = if from_client {
            (ends.client, ends.server, ends.ports)
        } else {
            (ends.server, ends.client, (ends.ports.1, ends.ports.0))
        };
        let segment = Tcp {
            ports,
            flags,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            ..Tcp::default()
        };
        let own = self.ifindex;
        if !from_client {
            self.ifindex = 99;
        }
        self.tcp(from, to, &segment);
        self.ifindex = own;
    }

    pub fn syn(&mut self, ends: &Ends) {
        self.segment(ends, true, SYN, (1_000, 0));
    }

    pub fn syn_ack(&mut self, ends: &Ends) {
        self.segment(ends, false, SYN | ACK, (5_000, 1_001));
    }

    /// SYN, SYN-ACK, ACK.
    pub fn handshake(&mut self, ends: &Ends) {
        self.syn(ends);
        self.syn_ack(ends);
        self.segment(ends, true, ACK, (1_001, 5_001));
    }

    /// A SYN and the refusal.
    pub fn refused(&mut self, ends: &Ends) {
        self.syn(ends);
        self.segment(ends, false, RST | ACK, (0, 1_001));
    }

    /// A SYN that is answered, and reset by the client: a half-open scan of an open port.
    pub fn half_open(&mut self, ends: &Ends) {
        self.syn(ends);
        self.syn_ack(ends);
        self.segment(ends, true, RST, (1_001, 0));
    }

    /// A whole connection with a request and an answer.
    pub fn exchange(&mut self, ends: &Ends) {
        const FIN_ACK: u8 = ACK | frames::FIN;
        self.handshake(ends);
        self.data(ends, b"GET / HTTP/1.1\r\n\r\n", 1_001);
        self.segment(ends, false, ACK, (5_001, 1_019));
        self.segment(ends, true, FIN_ACK, (1_019, 5_001));
        self.segment(ends, false, FIN_ACK, (5_001, 1_020));
        self.segment(ends, true, ACK, (1_020, 5_002));
    }

    /// What the client and the server say after [`Self::handshake`], each with whether it is the client.
    pub fn converse(&mut self, ends: &Ends, said: &[(bool, &[u8])]) {
        let mut next = [1_001_u32, 5_001];
        for (from_client, payload) in said {
            let (mut numbers, mut hosts) = (next, [ends.client, ends.server]);
            let mut ports = ends.ports;
            if !from_client {
                numbers.reverse();
                hosts.reverse();
                ports = (ports.1, ports.0);
            }
            let segment = Tcp {
                ports,
                sequence: numbers[0],
                acknowledgement: numbers[1],
                payload,
                ..Tcp::default()
            };
            self.tcp(hosts[0], hosts[1], &segment);
            next[usize::from(!from_client)] += u32::try_from(payload.len()).unwrap();
        }
    }

    /// Payload from the client.
    pub fn data(&mut self, ends: &Ends, payload: &[u8], sequence: u32) {
        let segment = Tcp {
            ports: ends.ports,
            sequence,
            acknowledgement: 5_001,
            payload,
            ..Tcp::default()
        };
        self.tcp(ends.client, ends.server, &segment);
    }
}

pub fn engine(rules: &str) -> Arc<Engine> {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("test.rules", rules);
    let (rules, diagnostics) = builder.build();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    Arc::new(Engine::new(&rules))
}

/// Signals, and the wishes that came with them.
#[derive(Default)]
pub struct Sink {
    pub signals: Vec<Signal>,
    pub directives: Vec<FlowDirective>,
}

impl SignalSink for Sink {
    fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    fn directive(&mut self, directive: FlowDirective) {
        self.directives.push(directive);
    }
}

/// The ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub client: IpAddr,
    pub server: IpAddr,
    pub ports: (u16, u16),
}

/// `10.0.0.client` to `10.0.0.server`.
pub fn ends(client: u8, server: u8, ports: (u16, u16)) -> Ends {
    Ends {
        client: [10, 0, 0, client].into(),
        server: [10, 0, 0, server].into(),
        ports,
    }
}
