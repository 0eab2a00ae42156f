//! Which protocols are recognised, and who parses them: the one place that knows all.

use super::{
    AppProtocol, Parser, Probe, dcerpc, dns, enip, ftp, http, http2, krb5, ldap, nfs, quic, rfb,
    sip, smb, smtp, snmp, ssh, tls, websocket,
};
use crate::flow::Direction;

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One protocol.
struct Entry {
    protocol: AppProtocol,
    transport: Transport,
    probe: fn(Direction, &[u8]) -> Probe,
    parser: fn() -> Box<dyn Parser>,
    /// Ports on which alone a weak probe is asked; empty is any.
    ports: &'static [u16],
}

/// Whether a protocol, or one that it includes, is spoken over this transport.
pub(crate) fn carries(transport: Transport, protocol: AppProtocol) -> bool {
    let mut entries = ENTRIES.iter();
    entries.any(|entry| entry.transport == transport && protocol.includes(entry.protocol))
}

/// In the order asked.
const ENTRIES: &[Entry] = &[
    Entry {
        protocol: AppProtocol::Http,
        transport: Transport::Tcp,
        probe: http::probe,
        parser: || Box::new(http::Http::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Http2,
        transport: Transport::Tcp,
        probe: http2::probe,
        parser: || Box::new(http2::Http2::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Tls,
        transport: Transport::Tcp,
        probe: tls::probe,
        parser: || Box::new(tls::Tls::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Ssh,
        transport: Transport::Tcp,
        probe: ssh::probe,
        parser: || Box::new(ssh::Ssh::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Smb,
        transport: Transport::Tcp,
        probe: smb::probe,
        parser: || Box::new(smb::Smb::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Dcerpc,
        transport: Transport::Tcp,
        probe: dcerpc::probe,
        parser: || Box::new(dcerpc::Dcerpc::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Smtp,
        transport: Transport::Tcp,
        probe: smtp::probe,
        parser: || Box::new(smtp::Smtp::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Ftp,
        transport: Transport::Tcp,
        probe: ftp::probe,
        parser: || Box::new(ftp::Ftp::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Sip,
        transport: Transport::Tcp,
        probe: sip::probe,
        parser: || Box::new(sip::Sip::tcp()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Rfb,
        transport: Transport::Tcp,
        probe: rfb::probe,
        parser: || Box::new(rfb::Rfb::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Dns,
        transport: Transport::Tcp,
        probe: dns::probe_tcp,
        parser: || Box::new(dns::Dns::tcp()),
        ports: &[53],
    },
    Entry {
        protocol: AppProtocol::Krb5,
        transport: Transport::Tcp,
        probe: krb5::probe,
        parser: || Box::new(krb5::Krb5::tcp()),
        ports: &[88],
    },
    Entry {
        protocol: AppProtocol::Ldap,
        transport: Transport::Tcp,
        probe: ldap::probe,
        parser: || Box::new(ldap::Ldap::tcp()),
        ports: &[389, 3268],
    },
    Entry {
        protocol: AppProtocol::Enip,
        transport: Transport::Tcp,
        probe: enip::probe,
        parser: || Box::new(enip::Enip::new()),
        ports: &[44818],
    },
    Entry {
        protocol: AppProtocol::Nfs,
        transport: Transport::Tcp,
        probe: nfs::probe,
        parser: || Box::new(nfs::Nfs::tcp()),
        ports: &[2049],
    },
    Entry {
        protocol: AppProtocol::Websocket,
        transport: Transport::Tcp,
        probe: |_, _| Probe::No,
        parser: || Box::new(websocket::Websocket::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Dns,
        transport: Transport::Udp,
        probe: dns::probe,
        parser: || Box::new(dns::Dns::udp()),
        ports: &[53],
    },
    Entry {
        protocol: AppProtocol::Mdns,
        transport: Transport::Udp,
        probe: dns::probe,
        parser: || Box::new(dns::Dns::multicast()),
        ports: &[5353],
    },
    Entry {
        protocol: AppProtocol::Quic,
        transport: Transport::Udp,
        probe: quic::probe,
        parser: || Box::new(quic::Quic::new()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Sip,
        transport: Transport::Udp,
        probe: sip::probe,
        parser: || Box::new(sip::Sip::udp()),
        ports: &[],
    },
    Entry {
        protocol: AppProtocol::Snmp,
        transport: Transport::Udp,
        probe: snmp::probe,
        parser: || Box::new(snmp::Snmp::new()),
        ports: &[161, 162],
    },
    Entry {
        protocol: AppProtocol::Krb5,
        transport: Transport::Udp,
        probe: krb5::probe,
        parser: || Box::new(krb5::Krb5::udp()),
        ports: &[88],
    },
    Entry {
        protocol: AppProtocol::Ldap,
        transport: Transport::Udp,
        probe: ldap::probe,
        parser: || Box::new(ldap::Ldap::udp()),
        ports: &[389, 3268],
    },
    Entry {
        protocol: AppProtocol::Nfs,
        transport: Transport::Udp,
        probe: nfs::probe_udp,
        parser: || Box::new(nfs::Nfs::udp()),
        ports: &[2049],
    },
    Entry {
        protocol: AppProtocol::Enip,
        transport: Transport::Udp,
        probe: enip::probe,
        parser: || Box::new(enip::Enip::new()),
        ports: &[44818],
    },
    Entry {
        protocol: AppProtocol::Dcerpc,
        transport: Transport::Udp,
        probe: dcerpc::probe_udp,
        parser: || Box::new(dcerpc::DcerpcUdp::new()),
        ports: &[],
    },
];

/// The two ends speak different protocols.
pub(crate) const MISMATCH: &str = "applayer_mismatch_protocol_both_directions";
/// Only one end says something by which it is known.
pub(crate) const ONE_DIRECTION: &str = "applayer_detect_protocol_only_one_direction";
/// The server spoke first where the client should have.
pub(crate) const WRONG_DIRECTION: &str = "applayer_wrong_direction_first_data";
/// Recognition was given up before the other end had said enough.
pub(crate) const SKIPPED: &str = "applayer_proto_detection_skipped";

/// Whether the client of this protocol has to speak first.
pub(crate) const fn client_first(protocol: AppProtocol) -> bool {
    matches!(
        protocol,
        AppProtocol::Http | AppProtocol::Http2 | AppProtocol::Tls
    )
}

/// The events of all parsers.
const EVENTS: &[&[&str]] = &[
    &[MISMATCH, ONE_DIRECTION, WRONG_DIRECTION, SKIPPED],
    dns::EVENTS,
    dns::MDNS_EVENTS,
    enip::EVENTS,
    ftp::EVENTS,
    http::EVENTS,
    http2::EVENTS,
    krb5::EVENTS,
    ldap::EVENTS,
    nfs::EVENTS,
    quic::EVENTS,
    rfb::EVENTS,
    sip::EVENTS,
    smb::EVENTS,
    smtp::EVENTS,
    snmp::EVENTS,
    ssh::EVENTS,
    tls::EVENTS,
];

/// The event of this name, if a parser raises it.
pub(crate) fn event(name: &str) -> Option<&'static str> {
    // Other names of some.
    let name = match name {
        "dns.not_request" => "dns.not_a_request",
        "dns.not_response" => "dns.not_a_response",
        "http.request_uri_host_invalid" => "http.uri_host_invalid",
        name => name,
    };
    let mut events = EVENTS.iter().copied().flatten().copied();
    events.find(|event| *event == name)
}

/// The protocol that `data` begins as. Without one, whether more may tell.
pub(crate) fn recognise(
    transport: Transport,
    direction: Direction,
    data: &[u8],
    ports: [u16; 2],
) -> (Option<AppProtocol>, Probe) {
    let mut outcome = Probe::No;
    for entry in ENTRIES.iter().filter(|entry| entry.transport == transport) {
        let asked = entry.ports.is_empty() || entry.ports.iter().any(|port| ports.contains(port));
        if !asked {
            continue;
        }
        match (entry.probe)(direction, data) {
            Probe::Yes => return (Some(entry.protocol), Probe::Yes),
            Probe::NeedMore => outcome = Probe::NeedMore,
            Probe::No => {}
        }
    }
    (None, outcome)
}

/// Whether data that somebody sent from the first of `ports` is what a server says.
pub(crate) fn answers(transport: Transport, data: &[u8], [from, to]: [u16; 2]) -> bool {
    let asked = recognise(transport, Direction::ToServer, data, [from, to]).0;
    let Some(answered) = recognise(transport, Direction::ToClient, data, [to, from]).0 else {
        return false;
    };
    asked.is_none()
        || ENTRIES.iter().any(|entry| {
            (entry.protocol, entry.transport) == (answered, transport)
                && entry.ports.contains(&from)
                && !entry.ports.contains(&to)
        })
}

/// A parser for a protocol, if there is one.
#[must_use]
pub fn parser(protocol: AppProtocol, transport: Transport) -> Option<Box<dyn Parser>> {
    ENTRIES
        .iter()
        .find(|entry| entry.protocol == protocol && entry.transport == transport)
        .map(|entry| (entry.parser)())
}
