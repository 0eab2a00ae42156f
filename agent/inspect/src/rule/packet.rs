//! Keywords about the headers of one packet, and about the flow it belongs to.

use super::{
    FlagsTest, IntegerTest, ProtocolTest, ReputationTest, diagnostic::Fault, integer, options,
    source::Span,
};

use crate::anomaly::{AnomalySet, DecodeEvent, stream_event};

/// A test of a packet's headers or of its flow's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketTest {
    /// `flags`.
    Flags(FlagsTest),
    /// `dsize`.
    PayloadSize(IntegerTest),
    /// A number of a header.
    Number(PacketNumber, IntegerTest),
    /// `sameip`.
    SameIp,
    /// `ipopts`: one option of IPv4, by its number; `any` is `None`.
    IpOption(Option<u8>),
    /// `fragbits`.
    FragmentBits {
        /// Reserved 4, don't fragment 2, more fragments 1.
        bits: u8,
        /// How they compare.
        mode: options::FlagsMode,
    },
    /// `decode-event`.
    DecodeEvent(DecodeEvent),
    /// `stream-event`.
    StreamEvent(AnomalySet),
    /// `stream_size`.
    StreamSize(StreamSide, IntegerTest),
    /// `vlan.id`, of the layer from outside, from inside when negative; `None` is any, `All` all.
    VlanId(IntegerTest, VlanLayer),
    /// `app-layer-protocol`.
    Protocol(ProtocolTest),
    /// `iprep`.
    Reputation(ReputationTest),
    /// `igmp-csum`, `ipv4-csum` and so on: whether the checksum is right.
    Checksum(&'static str, bool),
}

/// Which of several VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanLayer {
    /// One of them.
    Any,
    /// Each of them.
    All,
    /// This one.
    At(i8),
}

/// Whose bytes `stream_size` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSide {
    /// The client's.
    Client,
    /// The server's.
    Server,
    /// Both pass.
    Both,
    /// One passes.
    Either,
}

crate::protocol::named! {
    /// A number that a packet's headers or its flow have.
    PacketNumber {
        Ttl: "ttl",
        IpProtocol: "ip_proto",
        IpId: "id",
        Tos: "tos",
        FragmentOffset: "fragoffset",
        IcmpType: "itype",
        IcmpCode: "icode",
        IcmpId: "icmp_id",
        IcmpSequence: "icmp_seq",
        Icmpv6Mtu: "icmpv6.mtu" "icmpv6-mtu",
        IgmpType: "igmp.type",
        TcpSequence: "seq" "tcp.seq",
        TcpAcknowledgement: "ack" "tcp.ack",
        TcpWindow: "window" "tcp.window",
        TcpMss: "tcp.mss",
        TcpWindowScale: "tcp.wscale",
        SctpChunkCount: "sctp.chunk_cnt",
        SctpChunkType: "sctp.chunk_type",
        SctpTag: "sctp.vtag",
        VlanLayers: "vlan.layers",
        FlowAge: "flow.age",
        FlowPackets: "flow.pkts",
        FlowPacketsToServer: "flow.pkts_toserver",
        FlowPacketsToClient: "flow.pkts_toclient",
        FlowBytes: "flow.bytes",
        FlowBytesToServer: "flow.bytes_toserver",
        FlowBytesToClient: "flow.bytes_toclient",
    }
}

/// Words for numbers.
fn name_of(number: PacketNumber, text: &str) -> Option<u64> {
    match number {
        PacketNumber::IpProtocol => match text.to_ascii_lowercase().as_str() {
            "icmp" => Some(1),
            "igmp" => Some(2),
            "ipip" | "ipencap" => Some(4),
            "tcp" => Some(6),
            "udp" => Some(17),
            "ipv6" => Some(41),
            "gre" => Some(47),
            "esp" => Some(50),
            "ah" => Some(51),
            "ipv6-icmp" | "icmpv6" => Some(58),
            "sctp" => Some(132),
            _ => None,
        },
        PacketNumber::SctpChunkType => [
            "data",
            "init",
            "init_ack",
            "sack",
            "heartbeat",
            "heartbeat_ack",
            "abort",
            "shutdown",
            "shutdown_ack",
            "error",
            "cookie_echo",
            "cookie_ack",
            "ecne",
            "cwr",
            "shutdown_complete",
        ]
        .iter()
        .position(|name| *name == text)
        .map(|at| at as u64),
        _ => None,
    }
}

/// The test of a keyword with one number; `None` when there is none of that name.
pub(super) fn number(name: &str, value: Span<'_>) -> Option<Result<PacketTest, Fault>> {
    let number = PacketNumber::of_name(name)?;
    Some(
        integer::parse(value, &|text| name_of(number, text))
            .map(|test| PacketTest::Number(number, test)),
    )
}

pub(super) fn ip_option(value: Span<'_>) -> Result<PacketTest, Fault> {
    let option = match value.text {
        "any" => None,
        "rr" => Some(7),
        "lsrr" => Some(131),
        "lsrre" => Some(131),
        "eol" => Some(0),
        "nop" => Some(1),
        "ts" => Some(68),
        "sec" => Some(130),
        "esec" => Some(133),
        "satid" => Some(136),
        "ssrr" => Some(137),
        "cipso" => Some(134),
        "rtralt" => Some(148),
        "qs" => Some(25),
        _ => {
            return Err(Fault::new(value.at, "unknown IP option")
                .hint("rr eol nop ts sec esec lsrr ssrr satid cipso rtralt qs any"));
        }
    };
    Ok(PacketTest::IpOption(option))
}

pub(super) fn fragment_bits(value: Span<'_>) -> Result<PacketTest, Fault> {
    let mut bits = 0;
    let mut mode = options::FlagsMode::Exact;
    for letter in value.text.chars() {
        match letter {
            'M' => bits |= 1,
            'D' => bits |= 2,
            'R' => bits |= 4,
            '+' => mode = options::FlagsMode::All,
            '*' => mode = options::FlagsMode::Any,
            '!' => mode = options::FlagsMode::None,
            ' ' => {}
            other => {
                return Err(
                    Fault::new(value.at, format!("unknown fragment bit `{other}`"))
                        .hint("M D R with + * or !"),
                );
            }
        }
    }
    Ok(PacketTest::FragmentBits { bits, mode })
}

pub(super) fn stream_size(value: Span<'_>) -> Result<PacketTest, Fault> {
    let usage = || {
        Fault::new(
            value.at,
            "stream_size:server|client|both|either,OPERATOR,NUMBER",
        )
    };
    let parts: Vec<Span<'_>> = value.split(',').map(Span::trim).collect();
    let [side, operator, count, ..] = parts.as_slice() else {
        return Err(usage());
    };
    let side = match side.text {
        "server" => StreamSide::Server,
        "client" => StreamSide::Client,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        _ => return Err(usage()),
    };
    let count: u64 = count.text.parse().map_err(|_| usage())?;
    let range = |low, high, negated| IntegerTest::Range { low, high, negated };
    let test = match operator.text {
        "<" => range(0, count.checked_sub(1).ok_or_else(usage)?, false),
        "<=" => range(0, count, false),
        ">" => range(count.saturating_add(1), u64::MAX, false),
        ">=" => range(count, u64::MAX, false),
        "=" => range(count, count, false),
        "!=" => range(count, count, true),
        _ => return Err(usage()),
    };
    Ok(PacketTest::StreamSize(side, test))
}

pub(super) fn vlan_id(value: Span<'_>) -> Result<PacketTest, Fault> {
    let (id, layer) = match value.split_once(',') {
        None => (value, VlanLayer::Any),
        Some((id, layer)) => {
            let layer = layer.trim();
            let which = match layer.text {
                "any" => VlanLayer::Any,
                "all" => VlanLayer::All,
                number => VlanLayer::At(
                    number
                        .parse()
                        .map_err(|_| Fault::new(layer.at, "a layer is -3 to 2, any or all"))?,
                ),
            };
            (id.trim(), which)
        }
    };
    Ok(PacketTest::VlanId(integer::parse(id, &|_| None)?, layer))
}

/// `decode-event:NAME`.
pub(super) fn decode_event(value: Span<'_>) -> Result<PacketTest, Fault> {
    DecodeEvent::named(value.text)
        .map(PacketTest::DecodeEvent)
        .ok_or_else(|| {
            Fault::new(
                value.at,
                format!("no decoder event is called `{}`", value.text),
            )
        })
}

/// `stream-event:NAME`.
pub(super) fn stream(value: Span<'_>) -> Result<PacketTest, Fault> {
    stream_event(value.text)
        .map(PacketTest::StreamEvent)
        .ok_or_else(|| {
            Fault::new(
                value.at,
                format!("no stream event is called `{}`", value.text),
            )
        })
}
