//! A packet as it crosses the ring: a fixed header, then the captured bytes.

use crate::{LAYOUT_VERSION, counter::Hook};

/// What the kernel knew of one end. 0 is "not known".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerRecord {
    /// cgroup2 id.
    pub cgroup_id: u64,
    /// Host-side link behind which the end is.
    pub ifindex: u32,
    /// Thread group id of the process that called `connect` or `sendmsg`; 0 when not known.
    pub pid: u32,
    /// Its user id; meaningless while `pid` is 0.
    pub uid: u32,
    /// Always 0.
    pub padding: u32,
    /// Its `comm`, NUL-padded.
    pub comm: [u8; 16],
}

/// Value of the socket table: who opened a socket. Key: socket cookie (`u64`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    /// cgroup2 id of the caller.
    pub cgroup_id: u64,
    /// Thread group id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// `comm`, NUL-padded.
    pub comm: [u8; 16],
}

/// Header of a record. Integers in host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// [`LAYOUT_VERSION`] of the writer.
    pub version: u16,
    /// [`Hook`] as integer.
    pub hook: u8,
    /// `FLAG_…` bits.
    pub flags: u8,
    /// Bytes of link header before the network header; 0 when the bytes start at L3.
    pub l3_offset: u32,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub timestamp_ns: u64,
    /// [`crate::flow::FlowKey::scope`].
    pub scope: u64,
    /// Symmetric hash of the flow key.
    pub flow_hash: u32,
    /// Link on which the packet was seen, in the namespace of that link.
    pub ifindex: u32,
    /// Bytes of the packet, from the first captured header on.
    pub wire_length: u32,
    /// Bytes that follow this header.
    pub captured_length: u32,
    /// The end that sent the packet.
    pub source: OwnerRecord,
    /// The end that receives it.
    pub destination: OwnerRecord,
}

/// [`RecordHeader::flags`]: the bytes start with an Ethernet header.
pub const FLAG_ETHERNET: u8 = 0x01;
/// [`RecordHeader::flags`]: the kernel could not parse it; user space names what is wrong.
pub const FLAG_MALFORMED: u8 = 0x02;
/// [`RecordHeader::flags`]: fewer bytes were captured than the packet has, for want of budget.
pub const FLAG_TRUNCATED: u8 = 0x04;

const _: () = assert!(size_of::<OwnerRecord>() == 40);
const _: () = assert!(size_of::<SocketOwner>() == 32);
const _: () = assert!(size_of::<RecordHeader>() == 120);

/// Bytes of a record's header.
pub const HEADER_LENGTH: usize = size_of::<RecordHeader>();
/// Room for captured bytes in each size class. The verifier wants constant reservations.
pub const SIZE_CLASSES: [usize; 4] = [512, 2048, 16_384, 65_664];
/// Bytes captured of a packet when only its headers are wanted (SYN, FIN, RST past the budget; malformed).
pub const HEADERS_ONLY: usize = 256;

/// Why bytes from a ring are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than a header or than the header says.
    Short {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// Written by a kernel object of another layout.
    Version(u16),
    /// No such hook.
    Hook(u8),
    /// `l3_offset` lies beyond the captured bytes.
    Offset(u32),
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short { have, need } => write!(f, "record of {have} bytes, {need} needed"),
            Self::Version(version) => {
                write!(
                    f,
                    "record of layout {version}, this agent reads {LAYOUT_VERSION}"
                )
            }
            Self::Hook(hook) => write!(f, "record of unknown hook {hook}"),
            Self::Offset(offset) => {
                write!(f, "network header at {offset}, beyond the captured bytes")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// A decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The header.
    pub header: RecordHeader,
    /// Its hook.
    pub hook: Hook,
    /// Captured bytes.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record as it came from a ring (which may be longer: size classes).
    ///
    /// # Errors
    /// When the bytes cannot have been written by a kernel object of this layout.
    pub fn decode(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { raw, at: 0 };
        let header = RecordHeader {
            version: u16::from_ne_bytes(reader.take()?),
            hook: u8::from_ne_bytes(reader.take()?),
            flags: u8::from_ne_bytes(reader.take()?),
            l3_offset: u32::from_ne_bytes(reader.take()?),
            timestamp_ns: u64::from_ne_bytes(reader.take()?),
            scope: u64::from_ne_bytes(reader.take()?),
            flow_hash: u32::from_ne_bytes(reader.take()?),
            ifindex: u32::from_ne_bytes(reader.take()?),
            wire_length: u32::from_ne_bytes(reader.take()?),
            captured_length: u32::from_ne_bytes(reader.take()?),
            source: reader.owner()?,
            destination: reader.owner()?,
        };
        if header.version != LAYOUT_VERSION {
            return Err(DecodeError::Version(header.version));
        }
        let hook = Hook::from_u8(header.hook).ok_or(DecodeError::Hook(header.hook))?;
        if header.l3_offset > header.captured_length {
            return Err(DecodeError::Offset(header.l3_offset));
        }
        let length = usize::try_from(header.captured_length).unwrap_or(usize::MAX);
        let need = HEADER_LENGTH.saturating_add(length);
        let bytes = raw.get(HEADER_LENGTH..need).ok_or(DecodeError::Short {
            have: raw.len(),
            need,
        })?;
        Ok(Self {
            header,
            hook,
            bytes,
        })
    }
}

struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = self.at + N;
        let field = self
            .raw
            .get(self.at..end)
            .and_then(|bytes| bytes.try_into().ok());
        self.at = end;
        field.ok_or(DecodeError::Short {
            have: self.raw.len(),
            need: HEADER_LENGTH,
        })
    }

    fn owner(&mut self) -> Result<OwnerRecord, DecodeError> {
        Ok(OwnerRecord {
            cgroup_id: u64::from_ne_bytes(self.take()?),
            ifindex: u32::from_ne_bytes(self.take()?),
            pid: u32::from_ne_bytes(self.take()?),
            uid: u32::from_ne_bytes(self.take()?),
            padding: u32::from_ne_bytes(self.take()?),
            comm: self.take()?,
        })
    }
}
