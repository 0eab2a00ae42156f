//! What is told on request of traffic in which nothing was found: flows, transactions, files.

use crate::{decode::TcpFlags, finding::Context, packet::Timestamp, protocol::AppProtocol};

/// Which events are asked for. What is not costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTypes {
    /// The end of each flow.
    pub flows: bool,
    /// The files of each transaction.
    pub files: bool,
    /// Protocols whose transactions are told, a bit each.
    transactions: u64,
}

impl EventTypes {
    /// Nothing.
    pub const NONE: Self = Self {
        flows: false,
        files: false,
        transactions: 0,
    };

    /// Asks for the transactions of a protocol.
    #[must_use]
    pub const fn with_transactions(self, protocol: AppProtocol) -> Self {
        Self {
            transactions: self.transactions | Self::bit(protocol),
            ..self
        }
    }

    /// Whether the transactions of a protocol are asked for.
    #[must_use]
    pub const fn has_transactions(self, protocol: AppProtocol) -> bool {
        self.transactions & Self::bit(protocol) != 0
    }

    const fn bit(protocol: AppProtocol) -> u64 {
        1 << protocol as u8
    }
}

const _: () = assert!(AppProtocol::ALL.len() <= 64, "a bit for each protocol");

/// One event. It carries no payload.
#[derive(Clone, Debug)]
pub struct Event {
    /// What ended.
    pub kind: EventKind,
    /// Where. The source is the client of a flow or transaction, and the sender of files.
    pub context: Context,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A flow is over.
    Flow(FlowEnd),
    /// A transaction is over: [`Context::application`].
    Transaction,
    /// The same, about the files that the source sent in it: at least one.
    Files,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEnd {
    /// Last packet.
    pub end: Timestamp,
    /// How far it came.
    pub state: FlowStage,
    /// Why it is over.
    pub reason: EndReason,
    /// Whether a rule has matched in it.
    pub alerted: bool,
    /// What was spoken last.
    pub application: Option<AppProtocol>,
    /// There was payload, and nothing known was recognised in it.
    pub unrecognised: bool,
    /// For TCP.
    pub tcp: Option<TcpEnd>,
}

/// How far a flow came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStage {
    /// One end was heard, or no handshake was completed.
    New,
    /// Both ends were heard.
    Established,
    /// TCP: RST, or FIN of both sides.
    Closed,
}

impl FlowStage {
    /// As in Suricata's EVE.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Nothing came for long enough.
    Timeout,
    /// Its place was needed.
    Forced,
    /// Inspection ended.
    Shutdown,
    /// Another connection began on the same ports.
    Reused,
}

impl EndReason {
    /// As in Suricata's EVE.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Forced => "forced",
            Self::Shutdown => "shutdown",
            Self::Reused => "tcp_reuse",
        }
    }
}

/// What a TCP connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpEnd {
    /// All flags that the client has set.
    pub to_server: TcpFlags,
    /// All flags that the server has set.
    pub to_client: TcpFlags,
    /// The state of the connection, as in Suricata's EVE.
    pub state: &'static str,
}
