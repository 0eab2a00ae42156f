//! Packets in memory, so that reading them costs next to nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hydrophone_inspect::{Hook, LinkType, Owner, Packet, Timestamp};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

const BUFFER: usize = 1 << 20;

/// A list of packets; their bytes lie one behind the other.
#[derive(Default)]
pub(crate) struct Store {
    bytes: Vec<u8>,
    packets: Vec<Entry>,
}

struct Entry {
    timestamp: Timestamp,
    link_type: LinkType,
    start: usize,
    length: usize,
    wire_length: u32,
}

impl Store {
    pub(crate) fn push(&mut self, timestamp: Timestamp, link_type: LinkType, bytes: &[u8]) {
        self.packets.push(Entry {
            timestamp,
            link_type,
            start: self.bytes.len(),
            length: bytes.len(),
            wire_length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        });
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets.iter().map(|entry| Packet {
            timestamp: entry.timestamp,
            hook: Hook::Capture,
            ifindex: 0,
            link_type: entry.link_type,
            scope: 0,
            bytes: self
                .bytes
                .get(entry.start..entry.start + entry.length)
                .unwrap_or_default(),
            wire_length: entry.wire_length,
            source: Owner::default(),
            destination: Owner::default(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Bytes on the wire.
    pub(crate) fn wire_bytes(&self) -> u64 {
        let lengths = self.packets.iter().map(|it| u64::from(it.wire_length));
        lengths.sum()
    }
}

/// Every capture in a folder and the folders in it, each with its name, in their order.
pub(crate) fn captures(folder: &Path) -> io::Result<Vec<(String, Store)>> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let named = |path: &PathBuf| Some((path.display().to_string(), read(path)?));
    Ok(files.iter().filter_map(named).collect())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// A capture up to where it is damaged. `None` for what is no capture.
fn read(path: &Path) -> Option<Store> {
    let mut reader = create_reader(BUFFER, fs::File::open(path).ok()?).ok()?;
    let mut store = Store::default();
    let mut link_type = None;
    loop {
        match reader.next() {
            Ok((taken, block)) => {
                add(&block, &mut link_type, &mut store);
                reader.consume(taken);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().ok()?,
            Err(_) => return Some(store),
        }
    }
}

/// One packet after the other a microsecond later: clocks of captures say nothing about speed.
fn add(block: &PcapBlockOwned<'_>, link_type: &mut Option<LinkType>, store: &mut Store) {
    let (data, wire_length) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            *link_type = known(header.network);
            return;
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            *link_type = known(interface.linktype);
            return;
        }
        PcapBlockOwned::Legacy(packet) => (packet.data, packet.origlen),
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let length = usize::try_from(packet.caplen).unwrap_or(usize::MAX);
            (
                packet.data.get(..length).unwrap_or(packet.data),
                packet.origlen,
            )
        }
        PcapBlockOwned::NG(_) => return,
    };
    let Some(link_type) = *link_type else {
        return;
    };
    let at = u64::try_from(store.len()).unwrap_or_default();
    store.push(Timestamp(1_000_000_000 + at * 1_000), link_type, data);
    if let Some(entry) = store.packets.last_mut() {
        entry.wire_length = wire_length.max(entry.wire_length);
    }
}

fn known(link_type: Linktype) -> Option<LinkType> {
    match link_type {
        Linktype::ETHERNET => Some(LinkType::Ethernet),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12) => Some(LinkType::RawIp),
        Linktype::LINUX_SLL => Some(LinkType::LinuxSll),
        Linktype::LINUX_SLL2 => Some(LinkType::LinuxSll2),
        _ => None,
    }
}
