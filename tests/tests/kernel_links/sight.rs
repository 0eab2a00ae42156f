//! What the rings say was seen.

use hydrophone::probe::{AttachMode, LoadOptions, Loaded, Probe, RingReader, Shutdown};
use hydrophone_common::{
    counter::Hook,
    record::{FLAG_ETHERNET, Record, RecordHeader},
};

pub(crate) fn load(attach: AttachMode) -> Loaded {
    load_with(&LoadOptions {
        attach,
        ..LoadOptions::default()
    })
}

pub(crate) fn load_with(options: &LoadOptions) -> Loaded {
    let shutdown = Shutdown::new().expect("eventfd");
    Probe::load(options, &shutdown).unwrap_or_else(|error| panic!("{error}"))
}

/// One record of an IP packet without IPv4 options or extension headers.
pub(crate) struct Sight {
    pub(crate) header: RecordHeader,
    pub(crate) hook: Hook,
    pub(crate) protocol: u8,
    /// Source and destination port of TCP and UDP.
    pub(crate) ports: (u16, u16),
    /// TCP sequence number.
    pub(crate) sequence: u32,
    /// TCP payload.
    pub(crate) payload: Vec<u8>,
}

impl Sight {
    fn parse(record: &Record<'_>) -> Option<Self> {
        let at = usize::try_from(record.header.l3_offset).ok()?;
        assert_eq!(record.header.flags & FLAG_ETHERNET != 0, at != 0);
        let network = record.bytes.get(at..)?;
        // Ethernet pads short frames: the length in the header counts. 0: longer than it can tell.
        let word = |index: usize| {
            let bytes = [*network.get(index)?, *network.get(index + 1)?];
            Some(u16::from_be_bytes(bytes))
        };
        let (protocol, header, length) = match network.first()? >> 4 {
            4 => (*network.get(9)?, 20, usize::from(word(2)?)),
            6 => (*network.get(6)?, 40, usize::from(word(4)?) + 40),
            _ => return None,
        };
        let end = if length > header {
            length.min(network.len())
        } else {
            network.len()
        };
        let transport = network.get(header..end)?;
        let ports = match protocol {
            6 | 17 => (word(header)?, word(header + 2)?),
            _ => (0, 0),
        };
        let sequence = match protocol {
            6 => u32::from_be_bytes(*transport.get(4..)?.first_chunk()?),
            _ => 0,
        };
        let payload = match protocol {
            6 => transport.get(usize::from(transport.get(12)? >> 4) * 4..)?,
            _ => &[],
        };
        Some(Self {
            header: record.header,
            hook: record.hook,
            protocol,
            ports,
            sequence,
            payload: payload.to_vec(),
        })
    }
}

/// All records of TCP segments that wait in the rings. (IPv6 talks of its own accord.)
pub(crate) fn segments(rings: &mut [RingReader]) -> Vec<Sight> {
    let mut sights = sights(rings);
    sights.retain(|sight| sight.protocol == 6);
    sights
}

/// All records of IP packets that wait in the rings.
pub(crate) fn sights(rings: &mut [RingReader]) -> Vec<Sight> {
    let mut sights = Vec::new();
    for ring in rings {
        while ring.next(|raw| {
            let record = Record::decode(raw).unwrap_or_else(|error| panic!("{error}"));
            sights.extend(Sight::parse(&record));
        }) {}
    }
    sights
}

/// The hooks that recorded ICMP packets, one entry a record.
pub(crate) fn echoes(rings: &mut [RingReader]) -> Vec<Hook> {
    sights(rings)
        .iter()
        .filter(|sight| sight.protocol == 1)
        .map(|sight| sight.hook)
        .collect()
}

/// The TCP payload that went to the server (`true`) or came from it, as it was recorded. What a hook
/// shows again was sent again; what another hook shows again is inspected twice, and counts.
pub(crate) fn stream(sights: &[Sight], client: u16, to_server: bool) -> Vec<u8> {
    let segments: Vec<&Sight> = sights
        .iter()
        .filter(|sight| !sight.payload.is_empty())
        .filter(|sight| {
            let (source, destination) = sight.ports;
            client == if to_server { source } else { destination }
        })
        .collect();
    let mut stream = Vec::new();
    let Some(first) = segments.first() else {
        return stream;
    };
    for segment in &segments {
        let place = segment.sequence.wrapping_sub(first.sequence) as usize;
        let again = if segment.hook == first.hook {
            stream.len().saturating_sub(place)
        } else {
            0
        };
        stream.extend(segment.payload.iter().skip(again));
    }
    stream
}

/// Bytes that do not repeat soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
