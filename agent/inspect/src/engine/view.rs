//! What the flow stage hands to the engine for one evaluation.

use crate::{
    anomaly::AnomalySet,
    decode::{Headers, PacketView},
    flow::Direction,
    packet::Timestamp,
    protocol::{AppProtocol, Transaction},
};

/// What [`Inspection::data`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The payload of one packet. Header keywords apply. For TCP it is evaluated only for rules
    /// that look at the packet (`flags`, `dsize`, no content, or `tcp-pkt`).
    Packet,
    /// A window of one direction's reassembled TCP stream. Content keywords apply.
    Stream,
    /// A packet without a flow: not IP, a fragment, or one that could not be decoded.
    Frame,
    /// Nothing but [`Inspection::events`].
    StreamEvent,
}

/// What the flow stage knows of the flow (Suricata: `flow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowView {
    /// The data goes from client to server.
    pub to_server: bool,
    /// TCP: three-way handshake seen (or picked up mid-stream with both sides heard).
    /// Others: both sides were heard.
    pub established: bool,
    /// The packet was put together from fragments.
    pub fragmented: bool,
    /// What the two ends speak, once it is known.
    pub application: Option<AppProtocol>,
    /// What the client, and what the server speaks, where that is not `application`.
    pub differing: [Option<AppProtocol>; 2],
    /// What was spoken before the two ends first agreed on something else.
    pub original: Option<AppProtocol>,
    /// Nothing known was recognised, and nothing will be.
    pub application_failed: bool,
    /// Nanoseconds since the first packet.
    pub age: u64,
    /// Packets to the server, and to the client.
    pub packets: [u64; 2],
    /// Bytes on the wire to the server, and to the client.
    pub bytes: [u64; 2],
    /// Bytes of the client's stream, and of the server's.
    pub stream: [u64; 2],
}

impl FlowView {
    /// The same where the stream of the data has so many bytes.
    #[must_use]
    pub(crate) const fn with_stream(mut self, length: u64) -> Self {
        let [client, server] = &mut self.stream;
        *if self.to_server { client } else { server } = length;
        self
    }

    /// The direction of the data.
    #[must_use]
    pub const fn direction(self) -> Direction {
        if self.to_server {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }
}

/// One evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Inspection<'a> {
    /// Headers of the packet that is the occasion; their source sent `data`.
    pub headers: &'a Headers,
    /// When it was seen.
    pub now: Timestamp,
    /// The flow.
    pub flow: FlowView,
    /// What `data` is.
    pub unit: Unit,
    /// Payload or stream window.
    pub data: &'a [u8],
    /// Position of `data[0]` in the direction's stream; 0 for packets. Nonzero when the window
    /// has slid: `offset` and `depth` count from the stream's start.
    pub data_start: u64,
    /// `data[..fresh]` was evaluated before; a match must touch a byte at or after it.
    pub fresh: usize,
    /// The packet's headers as they were on the wire, if a packet is looked at.
    pub view: Option<&'a PacketView<'a>>,
    /// What reassembly has just found (Suricata: `stream-event`).
    pub events: AnomalySet,
    /// The transaction that is looked at, if one is.
    pub transaction: Option<&'a Transaction>,
}
