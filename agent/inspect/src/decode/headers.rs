//! What the decoder found in a packet, as plain values.

use core::net::IpAddr;

/// TCP flags, as in octet 13 of the header (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// Acknowledgement field significant.
    pub const ACK: u8 = 0x10;
    /// Urgent pointer field significant.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;

    /// Whether all of `mask` are set.
    #[must_use]
    pub const fn all(self, mask: u8) -> bool {
        self.0 & mask == mask
    }

    /// Whether any of `mask` is set.
    #[must_use]
    pub const fn any(self, mask: u8) -> bool {
        self.0 & mask != 0
    }
}

/// The transport header. Fields are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 9293.
    Tcp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
        /// Flags.
        flags: TcpFlags,
        /// Window, unscaled.
        window: u16,
    },
    /// RFC 768.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// RFC 9260.
    Sctp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// RFC 792 or RFC 4443, by [`Headers::protocol`].
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier of echo messages, else the same two octets of the header's rest.
        identifier: u16,
        /// Sequence number of echo messages, else the same two octets.
        sequence: u16,
    },
    /// A protocol that is not looked into, or a fragment other than the first.
    Other,
}

/// The headers of one IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number after all extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Transport header.
    pub transport: Transport,
    /// Length of the transport payload on the wire (Suricata: `dsize`), in bytes; what was captured may be less.
    pub payload_length: u32,
}

impl Headers {
    /// Source and destination port; 0 where the protocol has none.
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            }
            | Transport::Udp {
                source_port,
                destination_port,
            }
            | Transport::Sctp {
                source_port,
                destination_port,
            } => (source_port, destination_port),
            Transport::Icmp { .. } | Transport::Other => (0, 0),
        }
    }
}
