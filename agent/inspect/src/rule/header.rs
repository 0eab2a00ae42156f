//! The part of a rule before the parenthesis.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    Variables,
    diagnostic::Fault,
    group::{Grammar, Group},
    source::Span,
};
use crate::{protocol::AppProtocol, signature::Action};

/// A set of addresses.
pub type AddressGroup = Group<IpAddr>;
/// A set of ports.
pub type PortGroup = Group<u16>;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Any IP packet.
    Ip,
    /// IPv4 packets.
    Ipv4,
    /// IPv6 packets.
    Ipv6,
    /// Any packet, also one that could not be decoded (`pkthdr`).
    Packet,
    /// Any frame (`ether`).
    Ether,
    /// ARP.
    Arp,
    /// TCP; content on the stream, unless a packet keyword asks for the packet.
    Tcp,
    /// TCP, always the packet (`tcp-pkt`).
    TcpPacket,
    /// TCP, always the stream (`tcp-stream`).
    TcpStream,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// ICMPv6 alone.
    Icmpv6,
    /// IGMP.
    Igmp,
    /// SCTP.
    Sctp,
    /// An application protocol, over whatever carries it.
    Application(AppProtocol),
}

impl Protocol {
    /// The application protocol, if it is one.
    #[must_use]
    pub const fn application(self) -> Option<AppProtocol> {
        match self {
            Self::Application(protocol) => Some(protocol),
            _ => None,
        }
    }

    /// The IP protocol number, if there is just one.
    #[must_use]
    pub const fn transport(self) -> Option<u8> {
        match self {
            Self::Tcp | Self::TcpPacket | Self::TcpStream => Some(6),
            Self::Udp => Some(17),
            Self::Icmpv6 => Some(58),
            Self::Igmp => Some(2),
            Self::Sctp => Some(132),
            _ => None,
        }
    }

    /// The name that rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Packet => "pkthdr",
            Self::Ether => "ether",
            Self::Arp => "arp",
            Self::Tcp => "tcp",
            Self::TcpPacket => "tcp-pkt",
            Self::TcpStream => "tcp-stream",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Igmp => "igmp",
            Self::Sctp => "sctp",
            Self::Application(protocol) => protocol.name(),
        }
    }
}

/// A parsed header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) action: Action,
    pub(super) protocol: Protocol,
    pub(super) source: AddressGroup,
    pub(super) source_port: PortGroup,
    pub(super) destination: AddressGroup,
    pub(super) destination_port: PortGroup,
    pub(super) bidirectional: bool,
    /// `=>`: both directions of one transaction.
    pub(super) transactional: bool,
    /// `$EXTERNAL_NET` stands on one side.
    pub(super) external: bool,
}

/// Parses `action protocol source port direction destination port`. All faults are reported.
pub(super) fn parse(
    span: Span<'_>,
    variables: &Variables,
    faults: &mut Vec<Fault>,
) -> Option<Header> {
    let fields = fields(span);
    let [
        action,
        protocol,
        source,
        source_port,
        direction,
        destination,
        destination_port,
    ] = fields.as_slice()
    else {
        faults.push(
            Fault::new(
                span.at,
                format!(
                    "a rule's header has 7 fields, this one has {}",
                    fields.len()
                ),
            )
            .hint("action protocol source port -> destination port (options)"),
        );
        return None;
    };
    let mut check = |result: Result<(), Fault>| {
        if let Err(fault) = result {
            faults.push(fault);
        }
    };
    let mut header = Header {
        action: Action::Alert,
        protocol: Protocol::Ip,
        source: Group::default(),
        source_port: Group::default(),
        destination: Group::default(),
        destination_port: Group::default(),
        bidirectional: direction.text == "<>",
        transactional: direction.text == "=>",
        external: [source, destination]
            .iter()
            .any(|side| side.text.contains("$EXTERNAL_NET")),
    };
    check(parse_action(*action).map(|action| header.action = action));
    check(parse_protocol(*protocol).map(|protocol| header.protocol = protocol));
    let lookup = |name: &str| variables.get(name);
    let ports = Grammar {
        atom: port_range,
        variable: &lookup,
    };
    check(addresses(*source, variables).map(|group| header.source = group));
    check(
        ports
            .parse(*source_port)
            .map(|group| header.source_port = group),
    );
    if !matches!(direction.text, "->" | "<>" | "=>") {
        check(Err(Fault::new(
            direction.at,
            format!("unknown direction `{}`", direction.text),
        )
        .hint("->, <> or =>")));
    }
    check(addresses(*destination, variables).map(|group| header.destination = group));
    check(
        ports
            .parse(*destination_port)
            .map(|group| header.destination_port = group),
    );
    Some(header)
}

/// A set of addresses.
pub(super) fn addresses(span: Span<'_>, variables: &Variables) -> Result<AddressGroup, Fault> {
    let grammar = Grammar {
        atom: address_range,
        variable: &|name: &str| variables.get(name),
    };
    grammar.parse(span)
}

/// Fields between white space; white space inside brackets does not count.
pub(super) fn fields(span: Span<'_>) -> Vec<Span<'_>> {
    let mut fields = Vec::new();
    let mut start = None;
    let mut depth = 0_usize;
    for (position, c) in span.text.char_indices() {
        let blank = depth == 0 && (c.is_whitespace() || c == '\\');
        match (start, blank) {
            (None, false) => start = Some(position),
            (Some(from), true) => {
                fields.push(span.slice(from, position));
                start = None;
            }
            _ => {}
        }
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if let Some(from) = start {
        fields.push(span.slice(from, span.text.len()));
    }
    fields
}

fn parse_action(span: Span<'_>) -> Result<Action, Fault> {
    match span.text {
        // Hydrophone observes: what asks for a verdict alerts.
        "alert" | "config" | "drop" | "reject" | "rejectsrc" | "rejectdst" | "rejectboth" => {
            Ok(Action::Alert)
        }
        "pass" => Ok(Action::Pass),
        other => Err(Fault::new(span.at, format!("unknown action `{other}`"))
            .hint("alert, pass, drop or reject")),
    }
}

fn parse_protocol(span: Span<'_>) -> Result<Protocol, Fault> {
    match span.text {
        "ip" => Ok(Protocol::Ip),
        "ipv4" | "ip4" => Ok(Protocol::Ipv4),
        "ipv6" | "ip6" => Ok(Protocol::Ipv6),
        "pkthdr" => Ok(Protocol::Packet),
        "ether" => Ok(Protocol::Ether),
        "arp" => Ok(Protocol::Arp),
        "tcp" => Ok(Protocol::Tcp),
        "tcp-pkt" => Ok(Protocol::TcpPacket),
        "tcp-stream" => Ok(Protocol::TcpStream),
        "udp" => Ok(Protocol::Udp),
        "icmp" | "icmpv4" => Ok(Protocol::Icmp),
        "icmpv6" => Ok(Protocol::Icmpv6),
        "igmp" => Ok(Protocol::Igmp),
        "sctp" => Ok(Protocol::Sctp),
        // A hook of the protocol's state may stand behind a colon: here a rule is tried as soon as it can match.
        name => {
            let protocol = name.split(':').next().unwrap_or_default();
            AppProtocol::of_name(protocol)
                .map(Protocol::Application)
                .ok_or_else(|| {
                    Fault::new(span.at, format!("protocol `{name}` is not supported"))
                        .hint("ip, tcp, udp, icmp, sctp, http, dns, tls, ssh, smtp, ftp, smb, …")
                })
        }
    }
}

fn address_range(span: Span<'_>) -> Result<(IpAddr, IpAddr), Fault> {
    let fault = || {
        Fault::new(span.at, format!("`{}` is no address", span.text))
            .hint("an IPv4 or IPv6 address, ADDRESS/PREFIX, LOW-HIGH, a [list], a $VARIABLE or any")
    };
    if let Some((low, high)) = span.text.split_once('-') {
        let low: IpAddr = low.trim().parse().map_err(|_| fault())?;
        let high: IpAddr = high.trim().parse().map_err(|_| fault())?;
        if low.is_ipv4() != high.is_ipv4() || low > high {
            return Err(fault());
        }
        return Ok((low, high));
    }
    if let Some((address, mask)) = span.text.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>())
    {
        let net = ipnet::Ipv4Net::with_netmask(address, mask).map_err(|_| fault())?;
        return Ok((net.network().into(), net.broadcast().into()));
    }
    if let Ok(net) = span.text.parse::<IpNet>() {
        let last = match net {
            IpNet::V4(net) => IpAddr::from(net.broadcast()),
            IpNet::V6(net) => IpAddr::from(Ipv6Addr::from_bits(
                net.network().to_bits() | net.hostmask().to_bits(),
            )),
        };
        return Ok((net.network(), last));
    }
    span.text
        .parse()
        .map(|address| (address, address))
        .map_err(|_| fault())
}

fn port_range(span: Span<'_>) -> Result<(u16, u16), Fault> {
    let fault = || {
        Fault::new(span.at, format!("`{}` is no port", span.text))
            .hint("0-65535, LOW:HIGH, :HIGH, LOW:, a [list], a $VARIABLE or any")
    };
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| fault());
    match span.text.split_once(':') {
        None => number(span.text).map(|port| (port, port)),
        Some((low, high)) => {
            let low = if low.trim().is_empty() {
                0
            } else {
                number(low)?
            };
            let high = if high.trim().is_empty() {
                u16::MAX
            } else {
                number(high)?
            };
            if low > high {
                Err(fault())
            } else {
                Ok((low, high))
            }
        }
    }
}
