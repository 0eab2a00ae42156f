use std::io::Cursor;

use proptest::prelude::*;

use super::*;

type Seen = Vec<(u64, LinkType, Vec<u8>, u32)>;

fn read(bytes: Vec<u8>) -> (Seen, Result<Summary, CaptureError>) {
    let mut seen = Vec::new();
    let result = Capture::new(Path::new("t.pcap"), Cursor::new(bytes)).and_then(|mut capture| {
        let read = capture.read(|packet| {
            seen.push((
                packet.timestamp.0,
                packet.link_type,
                packet.bytes.to_vec(),
                packet.wire_length,
            ));
            ControlFlow::Continue(())
        });
        read.map(|()| capture.summary())
    });
    (seen, result)
}

/// Writes numbers in the byte order of the file.
struct Writer {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Writer {
    fn new(big_endian: bool) -> Self {
        Self {
            bytes: Vec::new(),
            big_endian,
        }
    }

    fn u16(&mut self, value: u16) {
        let bytes = if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(bytes);
    }

    fn u32(&mut self, value: u32) {
        let bytes = if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(bytes);
    }

    fn u64(&mut self, value: u64) {
        let bytes = if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(bytes);
    }

    fn pcap(big_endian: bool, magic: u32, link_type: u32) -> Self {
        let mut writer = Self::new(big_endian);
        writer.u32(magic);
        writer.u16(2);
        writer.u16(4);
        for word in [0, 0, 65_535, link_type] {
            writer.u32(word);
        }
        writer
    }

    fn record(mut self, seconds: u32, fraction: u32, wire_length: u32, data: &[u8]) -> Self {
        for word in [
            seconds,
            fraction,
            u32::try_from(data.len()).unwrap(),
            wire_length,
        ] {
            self.u32(word);
        }
        self.bytes.extend(data);
        self
    }

    fn block(mut self, kind: u32, body: impl FnOnce(&mut Self)) -> Self {
        let mut inner = Self::new(self.big_endian);
        body(&mut inner);
        inner.bytes.resize(inner.bytes.len().next_multiple_of(4), 0);
        let length = u32::try_from(inner.bytes.len()).unwrap() + 12;
        self.u32(kind);
        self.u32(length);
        self.bytes.extend(inner.bytes);
        self.u32(length);
        self
    }

    fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |body| {
            body.u32(0x1a2b_3c4d);
            body.u16(1);
            body.u16(0);
            body.u64(u64::MAX);
        })
    }

    fn interface(self, link_type: u16, resolution: u8, offset: u64) -> Self {
        self.block(1, |body| {
            body.u16(link_type);
            body.u16(0);
            body.u32(0);
            body.u16(9);
            body.u16(1);
            body.bytes.extend([resolution, 0, 0, 0]);
            body.u16(14);
            body.u16(8);
            body.u64(offset);
            body.u32(0);
        })
    }

    fn enhanced(self, interface: u32, ticks: u64, data: &[u8]) -> Self {
        self.block(6, |body| {
            body.u32(interface);
            body.u32(u32::try_from(ticks >> 32).unwrap());
            body.u32(u32::try_from(ticks & 0xffff_ffff).unwrap());
            body.u32(u32::try_from(data.len()).unwrap());
            body.u32(2_000);
            body.bytes.extend(data);
        })
    }
}

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for big_endian in [false, true] {
        for (magic, nanoseconds) in [(0xa1b2_c3d4, 7_000), (0xa1b2_3c4d, 7)] {
            let bytes = Writer::pcap(big_endian, magic, 1)
                .record(1_000, 7, 1_500, b"abc")
                .record(1_001, 0, 0, b"defg")
                .bytes;
            let (seen, result) = read(bytes);
            assert_eq!(
                seen,
                [
                    (
                        1_000_000_000_000 + nanoseconds,
                        LinkType::Ethernet,
                        b"abc".to_vec(),
                        1_500
                    ),
                    (1_001_000_000_000, LinkType::Ethernet, b"defg".to_vec(), 4),
                ]
            );
            assert_eq!(result.unwrap().packets, 2);
        }
    }
}

#[test]
fn pcapng_with_interfaces_of_different_kinds_and_clocks() {
    for big_endian in [false, true] {
        let bytes = Writer::new(big_endian)
            .section()
            .interface(1, 9, 0)
            .interface(113, 6, 100)
            .interface(276, 0x80 | 20, 0)
            .enhanced(0, 5_000_000_001, b"a")
            .enhanced(1, 2_000_000, b"bc")
            .enhanced(2, (3 << 20) + (1 << 19), b"def")
            .block(5, |body| body.bytes.extend([0; 12]))
            .block(3, |body| {
                body.u32(5);
                body.bytes.extend(b"hello");
            })
            .section()
            .interface(101, 6, 0)
            .enhanced(0, 1, b"ip")
            .bytes;
        let (seen, result) = read(bytes);
        assert_eq!(
            seen,
            [
                (5_000_000_001, LinkType::Ethernet, b"a".to_vec(), 2_000),
                (102_000_000_000, LinkType::LinuxSll, b"bc".to_vec(), 2_000),
                (3_500_000_000, LinkType::LinuxSll2, b"def".to_vec(), 2_000),
                (3_500_000_000, LinkType::Ethernet, b"hello".to_vec(), 5),
                (1_000, LinkType::RawIp, b"ip".to_vec(), 2_000),
            ],
            "big endian: {big_endian}"
        );
        assert_eq!(result.unwrap().packets, 5);
    }
}

#[test]
fn packets_of_an_unknown_link_type_are_counted() {
    let bytes = Writer::pcap(false, 0xa1b2_c3d4, 127)
        .record(1, 0, 3, b"abc")
        .bytes;
    let (seen, result) = read(bytes);
    assert!(seen.is_empty());
    assert_eq!(
        result.unwrap(),
        Summary {
            packets: 0,
            skipped: 1,
            skipped_link_type: Some(127)
        }
    );
}

#[test]
fn a_large_record_grows_the_buffer() {
    let data = vec![7; 3 << 20];
    let bytes = Writer::pcap(false, 0xa1b2_c3d4, 1)
        .record(1, 0, 0, b"first")
        .record(2, 0, 0, &data)
        .record(3, 0, 0, b"last")
        .bytes;
    let (seen, result) = read(bytes);
    assert_eq!(result.unwrap().packets, 3);
    assert_eq!(seen[1].2.len(), 3 << 20);
}

#[test]
fn a_cut_file_yields_what_is_whole_and_says_where() {
    let bytes = Writer::pcap(false, 0xa1b2_c3d4, 1)
        .record(1, 0, 3, b"abc")
        .record(2, 0, 3, b"def")
        .bytes;
    let (seen, result) = read(bytes[..bytes.len() - 1].to_vec());
    assert_eq!(seen.len(), 1);
    assert_eq!(
        result.unwrap_err().to_string(),
        "t.pcap: cut off: the record at byte 43 is not complete"
    );
}

#[test]
fn damage_is_named_with_its_place() {
    let pcap = Writer::pcap(false, 0xa1b2_c3d4, 1).record(1, 0, 3, b"abc");
    let mut huge = Writer {
        bytes: pcap.bytes,
        big_endian: false,
    };
    for word in [1, 0, 0x7000_0000, 3] {
        huge.u32(word);
    }
    huge.bytes.resize(20 << 20, 0);
    let foreign = Writer::new(false)
        .section()
        .interface(1, 6, 0)
        .enhanced(3, 1, b"x");
    let resolution = Writer::new(false).section().interface(1, 100, 0);
    for (bytes, packets, message) in [
        (
            huge.bytes,
            1,
            "t.pcap: damaged at byte 43: a record claims more than 16 MiB",
        ),
        (
            foreign.bytes,
            0,
            "t.pcap: damaged at byte 72: a packet names interface 3, which is not described",
        ),
        (
            resolution.bytes,
            0,
            "t.pcap: damaged at byte 28: an interface's time resolution 0x64 makes no sense",
        ),
    ] {
        let (seen, result) = read(bytes);
        assert_eq!(seen.len(), packets);
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    for bytes in [
        b"not a capture at all, but long enough".to_vec(),
        Vec::new(),
        vec![0; 3],
    ] {
        let (seen, result) = read(bytes.clone());
        assert!(seen.is_empty());
        assert!(result.is_err(), "{bytes:?}");
    }
    let error = Capture::open(Path::new("/nonexistent.pcap"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("/nonexistent.pcap: "), "{error}");
}

#[test]
fn reading_stops_when_told() {
    let bytes = Writer::pcap(false, 0xa1b2_c3d4, 1)
        .record(1, 0, 0, b"a")
        .record(2, 0, 0, b"b")
        .bytes;
    let mut capture = Capture::new(Path::new("t.pcap"), Cursor::new(bytes)).unwrap();
    capture.read(|_| ControlFlow::Break(())).unwrap();
    assert_eq!(capture.summary().packets, 1);
}

fn sample(is_pcapng: bool) -> Vec<u8> {
    if is_pcapng {
        let writer = Writer::new(false)
            .section()
            .interface(1, 6, 0)
            .interface(113, 9, 5);
        writer.enhanced(0, 1, b"abc").enhanced(1, 2, b"defgh").bytes
    } else {
        let writer = Writer::pcap(false, 0xa1b2_c3d4, 1);
        writer
            .record(1, 2, 3, b"abc")
            .record(1, 3, 5, b"defgh")
            .bytes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_damage_crashes_the_reader(
        is_pcapng in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample(is_pcapng);
        for (index, value) in edits {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let (seen, _) = read(bytes);
        prop_assert!(seen.len() <= 4);
    }

    #[test]
    fn no_bytes_crash_the_reader(
        magic in prop::sample::select(vec![
            vec![], vec![0xd4, 0xc3, 0xb2, 0xa1], vec![0xa1, 0xb2, 0xc3, 0xd4],
            Writer::new(false).section().bytes, Writer::new(true).section().bytes,
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = magic;
        bytes.extend(rest);
        let _outcome = read(bytes);
    }
}
