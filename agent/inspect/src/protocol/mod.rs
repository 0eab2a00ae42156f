//! Application protocols: from streams and datagrams to transactions.
//!
//! A parser is fed the bytes of either direction as they come and pushes what it finds into
//! [`Transactions`], in one form for all protocols. Nothing here knows rules.

mod annotation;
mod ber;
mod buffer;
pub mod dcerpc;
pub mod dns;
pub mod enip;
mod field;
pub mod file;
mod frames;
pub mod ftp;
pub mod http;
pub mod http2;
pub mod krb5;
pub mod ldap;
mod line;
mod mime;
pub mod nfs;
pub mod quic;
pub(crate) mod read;
mod record;
pub(crate) mod registry;
pub mod rfb;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
pub mod tls;
mod transaction;
mod transactions;
pub mod websocket;

pub use annotation::FrameSet;
pub use buffer::Buffer;
pub(crate) use buffer::named;
pub use field::Field;
pub use registry::{Transport, parser};
pub use transaction::{Instance, Stage, Transaction};
pub use transactions::Transactions;

use crate::flow::Direction;

named! {
    /// What two ends speak, by the names of rule headers and `app-layer-protocol`.
    AppProtocol {
        Http: "http",
        // Only rules name it: flows of HTTP/1 are `Http`, which for rules is both versions.
        Http1: "http1",
        Http2: "http2",
        Dns: "dns",
        Tls: "tls" "ssl",
        Ssh: "ssh",
        Ftp: "ftp",
        FtpData: "ftp-data",
        Smtp: "smtp",
        Smb: "smb",
        Dcerpc: "dcerpc",
        Sip: "sip",
        Krb5: "krb5",
        Snmp: "snmp",
        Nfs: "nfs",
        Quic: "quic",
        Rfb: "rfb",
        Enip: "enip",
        Websocket: "websocket",
        Ldap: "ldap",
        Doh2: "doh2",
        Mdns: "mdns",
    }
}

impl AppProtocol {
    /// Whether `spoken` is this protocol and no more.
    #[must_use]
    pub fn is_exactly(self, spoken: Self) -> bool {
        self == spoken || (self, spoken) == (Self::Http1, Self::Http)
    }

    /// Whether a rule about this protocol is also about `spoken`.
    #[must_use]
    pub fn includes(self, spoken: Self) -> bool {
        self == spoken
            || matches!(
                (self, spoken),
                (Self::Http, Self::Http2 | Self::Doh2)
                    | (Self::Http1, Self::Http)
                    | (Self::Dns, Self::Doh2)
                    | (Self::Http2, Self::Doh2)
                    // Calls go through named pipes too.
                    | (Self::Dcerpc, Self::Smb)
            )
    }
}

/// What a parser may keep of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions that are not over.
    pub transactions: usize,
    /// Bytes of one transaction that are no bodies.
    pub head: usize,
    /// Bytes of each body or file that are kept (Suricata: `request-body-limit`, `response-body-limit`).
    pub body: usize,
    /// Bytes that a parser holds back while a line or a record is not whole.
    pub partial: usize,
    /// Bytes that decompression gives for one body.
    pub decompressed: usize,
    /// Layers of decompression.
    pub layers: usize,
    /// Whether files are hashed.
    pub hashes: bool,
    /// The frames that are kept; each is cut where a body would be.
    pub frames: FrameSet,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions: 256,
            head: 256 << 10,
            body: 128 << 10,
            partial: 64 << 10,
            decompressed: 1 << 20,
            layers: 2,
            hashes: false,
            frames: FrameSet::NONE,
        }
    }
}

/// What limits cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitCounters {
    /// Transactions and frames given up because [`Limits::transactions`] was reached.
    pub transactions_dropped: u64,
    /// Requests that waited for their response, or announced connections that waited to be taken
    /// up, and were given up because there were too many.
    pub pending_dropped: u64,
    /// Lines or records longer than [`Limits::partial`].
    pub partial_exceeded: u64,
    /// Bodies whose decompression was ended by [`Limits::decompressed`] or [`Limits::layers`].
    pub decompression_exceeded: u64,
    /// Bytes of pieces and bodies that transactions had no room for.
    pub bytes_left_out: u64,
}

impl LimitCounters {
    /// Adds what `other` counted.
    pub fn add(&mut self, other: Self) {
        let Self {
            transactions_dropped,
            pending_dropped,
            partial_exceeded,
            decompression_exceeded,
            bytes_left_out,
        } = other;
        self.transactions_dropped += transactions_dropped;
        self.pending_dropped += pending_dropped;
        self.partial_exceeded += partial_exceeded;
        self.decompression_exceeded += decompression_exceeded;
        self.bytes_left_out += bytes_left_out;
    }
}

/// Whether data begins as a protocol does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It does.
    Yes,
    /// It does not, whatever follows.
    No,
    /// Too little has come to tell.
    NeedMore,
}

/// Whether a parser goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Ok,
    /// It cannot make sense of the flow any more.
    Failed,
    /// The two ends have agreed on another protocol: what follows in either direction is to be
    /// probed anew, this one if it is known (STARTTLS, `CONNECT`, `Upgrade`).
    Change(Option<AppProtocol>),
}

/// Follows one flow. Input is hostile: no parser panics, and what it holds is bounded by [`Limits`].
pub trait Parser: core::fmt::Debug + Send {
    /// Bytes of one direction that follow those before, in pieces of any size; for UDP one datagram.
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status;

    /// Bytes that were not captured.
    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status;

    /// Nothing more comes in this direction.
    fn end(&mut self, direction: Direction, out: &mut Transactions);

    /// What is spoken on top of the protocol, once that is known (DNS over HTTP/2).
    fn refined(&self) -> Option<AppProtocol> {
        None
    }

    /// Bytes of memory held, beside the transactions.
    fn footprint(&self) -> usize;

    /// After [`Status::Change`]: bytes that were taken in and belong to what follows.
    fn take_rest(&mut self) -> Vec<(Direction, Vec<u8>)> {
        Vec::new()
    }

    /// Whether all that follows in both directions is encrypted, as far as its form shows.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Connections that the two ends have agreed on since the last call.
    fn take_announced(&mut self) -> Vec<ftp::Expectation> {
        Vec::new()
    }
}
