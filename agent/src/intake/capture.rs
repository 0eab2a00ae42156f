//! Capture files to packets: pcap (both byte orders, microseconds and nanoseconds) and pcapng
//! (several sections, interfaces and time resolutions), read as a stream.

use std::{
    fs::File,
    io::{self, Read},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use hydrophone_inspect::{Hook, LinkType, Owner, Packet, Timestamp};
use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, PcapBlockOwned, PcapError,
    PcapHeader, SimplePacketBlock, create_reader,
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

const SECOND: u128 = 1_000_000_000;
/// First size of the read buffer, in bytes.
const BUFFER: usize = 1 << 20;
/// Largest record or block that is read. (`tcpdump` writes at most 256 KiB a packet.)
const BLOCK_MAX: usize = 16 << 20;
/// Interfaces of one pcapng section that are kept.
const INTERFACES_MAX: usize = 65_536;

/// A capture file that cannot be read, or not to its end. `offset` is where, in bytes.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has no capture format's magic number.
    #[error("{path}: not a capture file: it starts neither as pcap nor as pcapng", path = path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
    },
    /// The file ends inside a record.
    #[error("{path}: cut off: the record at byte {offset} is not complete", path = path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Start of the record.
        offset: usize,
    },
    /// A record makes no sense, so neither does what follows.
    #[error("{path}: damaged at byte {offset}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Start of the record.
        offset: usize,
        /// What is wrong.
        what: String,
    },
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets that were handed on.
    pub packets: u64,
    /// Packets of a link type that is not known.
    pub skipped: u64,
    /// The first such link type (see tcpdump.org/linktypes.html).
    pub skipped_link_type: Option<i32>,
}

/// A capture file.
pub struct Capture {
    path: PathBuf,
    reader: Box<dyn PcapReaderIterator + Send>,
    capacity: usize,
    interfaces: Vec<Interface>,
    last: Timestamp,
    summary: Summary,
}

/// What is needed to read a packet of one interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    /// Or the number in the file, when it is none that is read.
    link_type: Result<LinkType, i32>,
    units_per_second: u64,
    offset_seconds: i64,
    snap_length: u32,
}

impl Capture {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read or is no capture file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|source| CaptureError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::new(path, file)
    }

    /// Reads a capture from anything; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be read or is no capture file.
    pub fn new(path: &Path, input: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let reader = create_reader(BUFFER, WholeReads(input)).map_err(|error| match error {
            PcapError::ReadError => CaptureError::Io {
                path: path.to_owned(),
                source: io::ErrorKind::Other.into(),
            },
            PcapError::Incomplete(_) => CaptureError::Truncated {
                path: path.to_owned(),
                offset: 0,
            },
            _ => CaptureError::NotACapture {
                path: path.to_owned(),
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            capacity: BUFFER,
            interfaces: Vec::new(),
            last: Timestamp(0),
            summary: Summary::default(),
        })
    }

    /// What was read so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Hands every packet to `take`, until the end of the file or until `take` breaks.
    ///
    /// # Errors
    /// At the first record that cannot be read. What came before has been handed on.
    pub fn read(
        &mut self,
        mut take: impl FnMut(&Packet<'_>) -> ControlFlow<()>,
    ) -> Result<(), CaptureError> {
        loop {
            let offset = self.reader.consumed();
            let (length, flow) = match self.reader.next() {
                Ok((length, block)) => {
                    let mut section = Section {
                        interfaces: &mut self.interfaces,
                        last: &mut self.last,
                        summary: &mut self.summary,
                    };
                    let flow =
                        section
                            .block(&block, &mut take)
                            .map_err(|what| CaptureError::Damaged {
                                path: self.path.clone(),
                                offset,
                                what,
                            })?;
                    (length, flow)
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(error) => {
                    let error = failure(&error);
                    self.make_room(offset, error)?;
                    continue;
                }
            };
            self.reader.consume(length);
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// Reads on when a record is not complete in the buffer.
    fn make_room(&mut self, offset: usize, failure: Failure) -> Result<(), CaptureError> {
        let damaged = |what: &str| CaptureError::Damaged {
            path: self.path.clone(),
            offset,
            what: what.to_owned(),
        };
        match failure {
            Failure::NeedsMore => {}
            Failure::NeedsRoom if self.capacity < BLOCK_MAX => {
                self.capacity *= 2;
                self.reader.grow(self.capacity);
            }
            Failure::NeedsRoom => return Err(damaged("a record claims more than 16 MiB")),
            Failure::Truncated => {
                return Err(CaptureError::Truncated {
                    path: self.path.clone(),
                    offset,
                });
            }
            Failure::Damaged => return Err(damaged("not a record of this format")),
        }
        let refilled = self.reader.refill().map_err(|_| ());
        refilled.map_err(|()| CaptureError::Io {
            path: self.path.clone(),
            source: io::Error::other(format!("cannot be read beyond byte {offset}")),
        })
    }
}

/// Why the parser gave no block, without what it borrows.
#[derive(Clone, Copy)]
enum Failure {
    NeedsMore,
    NeedsRoom,
    Truncated,
    Damaged,
}

fn failure(error: &PcapError<&[u8]>) -> Failure {
    match error {
        PcapError::Incomplete(_) => Failure::NeedsMore,
        PcapError::BufferTooSmall => Failure::NeedsRoom,
        PcapError::UnexpectedEof => Failure::Truncated,
        _ => Failure::Damaged,
    }
}

/// The parser takes a short read for the end of what there is.
struct WholeReads<R>(R);

impl<R: Read> Read for WholeReads<R> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        let mut total = 0;
        while !buffer.is_empty() {
            match self.0.read(buffer) {
                Ok(0) => break,
                Ok(length) => {
                    total += length;
                    buffer = buffer.get_mut(length..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }
}

/// The parts of a capture that a block changes.
struct Section<'c> {
    interfaces: &'c mut Vec<Interface>,
    last: &'c mut Timestamp,
    summary: &'c mut Summary,
}

impl Section<'_> {
    fn block(
        &mut self,
        block: &PcapBlockOwned<'_>,
        take: &mut impl FnMut(&Packet<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, String> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                *self.interfaces = vec![Interface::from_pcap(header)];
            }
            PcapBlockOwned::Legacy(record) => {
                let interface = self.interface(0)?;
                let ticks = u64::from(record.ts_sec) * interface.units_per_second
                    + u64::from(record.ts_usec);
                return Ok(self.packet(interface, Some(ticks), record.data, record.origlen, take));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Err(format!("more than {INTERFACES_MAX} interfaces"));
                }
                self.interfaces.push(Interface::from_pcapng(description)?);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(record)) => {
                return self.enhanced(record, take);
            }
            PcapBlockOwned::NG(Block::SimplePacket(record)) => return self.simple(record, take),
            // Statistics, names, secrets, comments.
            PcapBlockOwned::NG(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn enhanced(
        &mut self,
        record: &EnhancedPacketBlock<'_>,
        take: &mut impl FnMut(&Packet<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, String> {
        let interface = self.interface(record.if_id)?;
        let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
        let length = usize::try_from(record.caplen).unwrap_or(usize::MAX);
        let bytes = record
            .data
            .get(..length)
            .ok_or("a packet is longer than its block")?;
        Ok(self.packet(interface, Some(ticks), bytes, record.origlen, take))
    }

    fn simple(
        &mut self,
        record: &SimplePacketBlock<'_>,
        take: &mut impl FnMut(&Packet<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, String> {
        let interface = self.interface(0)?;
        let mut bytes = record.packet_data();
        let snap_length = usize::try_from(interface.snap_length).unwrap_or(usize::MAX);
        if snap_length > 0 {
            bytes = bytes.get(..snap_length).unwrap_or(bytes);
        }
        Ok(self.packet(interface, None, bytes, record.origlen, take))
    }

    fn interface(&self, index: u32) -> Result<Interface, String> {
        let interface = usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get(index));
        interface
            .copied()
            .ok_or_else(|| format!("a packet names interface {index}, which is not described"))
    }

    /// Simple Packet Blocks have no time: they get that of the packet before.
    fn packet(
        &mut self,
        interface: Interface,
        ticks: Option<u64>,
        bytes: &[u8],
        wire_length: u32,
        take: &mut impl FnMut(&Packet<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let link_type = match interface.link_type {
            Ok(link_type) => link_type,
            Err(number) => {
                self.summary.skipped += 1;
                self.summary.skipped_link_type.get_or_insert(number);
                return ControlFlow::Continue(());
            }
        };
        if let Some(ticks) = ticks {
            *self.last = interface.timestamp(ticks);
        }
        self.summary.packets += 1;
        take(&Packet {
            timestamp: *self.last,
            hook: Hook::Capture,
            ifindex: 0,
            link_type,
            scope: 0,
            bytes,
            wire_length: wire_length.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            source: Owner::default(),
            destination: Owner::default(),
        })
    }
}

impl Interface {
    fn from_pcap(header: &PcapHeader) -> Self {
        Self {
            link_type: link_type(header.network),
            units_per_second: if header.is_nanosecond_precision() {
                1_000_000_000
            } else {
                1_000_000
            },
            offset_seconds: 0,
            snap_length: header.snaplen,
        }
    }

    fn from_pcapng(description: &InterfaceDescriptionBlock<'_>) -> Result<Self, String> {
        // The parser reads the offset as little-endian, whatever the section is.
        let offset = description.if_tsoffset;
        let is_big_endian = description.block_type != 1;
        Ok(Self {
            link_type: link_type(description.linktype),
            units_per_second: units_per_second(description.if_tsresol).ok_or_else(|| {
                format!(
                    "an interface's time resolution {:#x} makes no sense",
                    description.if_tsresol
                )
            })?,
            offset_seconds: if is_big_endian {
                offset.swap_bytes()
            } else {
                offset
            },
            snap_length: description.snaplen,
        })
    }

    fn timestamp(&self, ticks: u64) -> Timestamp {
        let since_offset = u128::from(ticks) * SECOND / u128::from(self.units_per_second);
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        let total = i128::try_from(since_offset)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        Timestamp(u64::try_from(total.max(0)).unwrap_or(u64::MAX))
    }
}

/// `if_tsresol`: a negative power of 10, or of 2 when the top bit is set (pcapng section 4.2).
fn units_per_second(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 {
        10_u64.checked_pow(exponent)
    } else {
        1_u64.checked_shl(exponent)
    }
}

const fn link_type(link_type: Linktype) -> Result<LinkType, i32> {
    // The upper bits tell of a frame check sequence.
    match link_type.0 & 0xffff {
        0 | 108 => Ok(LinkType::Null),
        1 => Ok(LinkType::Ethernet),
        9 | 50 => Ok(LinkType::Ppp),
        12 | 14 | 101 | 228 | 229 => Ok(LinkType::RawIp),
        104 => Ok(LinkType::CiscoHdlc),
        113 => Ok(LinkType::LinuxSll),
        276 => Ok(LinkType::LinuxSll2),
        other => Err(other),
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
