//! A connection whose addresses are changed on the way (NAT): what each of its two ends sees.

use core::{
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
};

use crate::{
    decode::{Datagram, Headers},
    finding::{Context, Endpoint},
    flow::{Direction, Flow, tcp::Phase},
    packet::{Hook, SocketId},
};

/// How a translation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TranslationEvidence {
    /// The kernel's connection tracking told.
    Conntrack,
    /// Two flows began alike within a short time: TCP by the initial sequence numbers of both ends,
    /// others by their first datagram. Translation changes neither.
    Sequence,
}

impl TranslationEvidence {
    /// The name that events use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conntrack => "conntrack",
            Self::Sequence => "sequence",
        }
    }
}

/// The two tuples of one translated connection. Each is the client's end, then the server's; ports
/// are 0 where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Translation {
    /// As the client sees it: itself, and what it asked for (a published port, a service address).
    pub original: [SocketId; 2],
    /// As the server sees it: whoever seems to ask, and itself.
    pub translated: [SocketId; 2],
    /// How it is known.
    pub by: TranslationEvidence,
    /// The same for both views of one connection, and another for the next one on the same ports.
    pub id: u64,
}

impl Translation {
    /// Who is behind an end of either tuple.
    #[must_use]
    pub fn true_end(&self, end: SocketId) -> SocketId {
        let ([client, asked], [asking, server]) = (self.original, self.translated);
        if end == asked {
            server
        } else if end == asking {
            client
        } else {
            end
        }
    }

    /// From which end a flow is seen that has these ends, in either order.
    #[must_use]
    pub fn vantage(&self, ends: [SocketId; 2]) -> Vantage {
        let [one, other] = ends;
        if self.original == ends || self.original == [other, one] {
            Vantage::Client
        } else {
            Vantage::Server
        }
    }
}

/// The outermost packet of those that carry another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// Who sends it and who receives it; ports are 0 where the protocol has none.
    pub ends: [SocketId; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// How many packets the inner one is in.
    pub depth: u8,
}

impl Tunnel {
    /// The packet of these headers.
    pub(crate) const fn new(headers: &Headers) -> Self {
        let (source, destination) = headers.ports();
        Self {
            ends: [
                SocketId {
                    address: headers.source,
                    port: source,
                },
                SocketId {
                    address: headers.destination,
                    port: destination,
                },
            ],
            protocol: headers.protocol,
            depth: 0,
        }
    }

    /// The same in the other direction.
    #[must_use]
    pub(crate) const fn reversed(self) -> Self {
        let [source, destination] = self.ends;
        Self {
            ends: [destination, source],
            ..self
        }
    }
}

/// From which end of a connection its flow is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Vantage {
    /// Where the client's packets enter the host's network, or both ends are: nothing has been
    /// changed yet.
    #[default]
    Client,
    /// Where they leave it for the server.
    Server,
}

impl Vantage {
    pub(crate) const fn of(client: Option<Hook>) -> Self {
        match client {
            Some(Hook::LinkEgress | Hook::SocketIngress) => Self::Server,
            _ => Self::Client,
        }
    }
}

impl Context {
    /// The client's and the server's end, as the packets name them.
    #[must_use]
    pub const fn client_and_server(&self) -> [&Endpoint; 2] {
        if self.to_server {
            [&self.source, &self.destination]
        } else {
            [&self.destination, &self.source]
        }
    }

    /// Source and destination as they are, whatever the packets name them.
    #[must_use]
    pub fn true_ends(&self) -> [SocketId; 2] {
        let named = [self.source.socket, self.destination.socket];
        match &self.translation {
            Some(translation) => named.map(|end| translation.true_end(end)),
            None => named,
        }
    }
}

/// Bytes of a first datagram that are compared.
const COMPARED: usize = 64;
/// A shorter datagram is like many others.
const TELLING: usize = 8;

/// What the first datagram of a flow without connections has in common with what is left of it
/// after translation.
pub(crate) fn likeness_of_datagram(datagram: &Datagram<'_>) -> Option<NonZeroU64> {
    let payload = datagram.payload;
    let front = payload.get(..COMPARED).unwrap_or(payload);
    (front.len() >= TELLING).then(|| {
        hash((
            datagram.headers.protocol,
            datagram.headers.payload_length,
            front,
        ))
    })
}

/// What both views of a translated connection have in common; `None` while there is nothing.
pub(crate) fn likeness(flow: &Flow) -> Option<NonZeroU64> {
    let client = &flow.client.tcp;
    match (flow.reached(), client.start, flow.server.tcp.start) {
        // Not TCP.
        (Phase::None, ..) => flow.likeness,
        (Phase::MidStream, ..) | (_, None, _) => None,
        (Phase::SynSent, Some(start), _) => Some(hash((start, client.timestamp()))),
        (_, Some(start), Some(answer)) => Some(hash((start, answer))),
        (_, Some(_), None) => None,
    }
}

fn hash(value: impl Hash) -> NonZeroU64 {
    let hash = foldhash::fast::FixedState::default().hash_one(value);
    NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)
}

impl Flow {
    /// From which end it is seen.
    pub(crate) const fn vantage(&self) -> Vantage {
        Vantage::of(self.sender(Direction::ToServer).hook)
    }
}
