//! Kernel records to packets.

use hydrophone_common::{
    counter::Hook as KernelHook,
    record::{FLAG_ETHERNET, OwnerRecord, Record},
};
use hydrophone_inspect::{Hook, LinkType, Owner, Packet, Process};

use crate::probe::Clock;

/// The packet that a record holds; its bytes are borrowed from the ring.
#[must_use]
pub fn packet<'a>(record: &Record<'a>, clock: Clock) -> Packet<'a> {
    let header = &record.header;
    Packet {
        timestamp: clock.wall(header.timestamp_ns),
        hook: hook(record.hook),
        ifindex: header.ifindex,
        link_type: if header.flags & FLAG_ETHERNET == 0 {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        },
        scope: header.scope,
        bytes: record.bytes,
        wire_length: header.wire_length,
        source: owner(&header.source),
        destination: owner(&header.destination),
    }
}

const fn hook(hook: KernelHook) -> Hook {
    match hook {
        KernelHook::LinkIngress => Hook::LinkIngress,
        KernelHook::LinkEgress => Hook::LinkEgress,
        KernelHook::SocketEgress => Hook::SocketEgress,
        KernelHook::SocketIngress => Hook::SocketIngress,
    }
}

/// What the kernel knew of one end.
#[must_use]
pub fn owner(record: &OwnerRecord) -> Owner {
    let process = (record.pid != 0).then_some(Process {
        pid: record.pid,
        uid: record.uid,
        comm: record.comm,
    });
    Owner {
        cgroup_id: record.cgroup_id,
        ifindex: record.ifindex,
        process,
    }
}

#[cfg(test)]
mod tests {
    use hydrophone_common::{LAYOUT_VERSION, record::HEADER_LENGTH};

    use super::*;

    /// A record as the kernel lays it out.
    fn raw(hook: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        raw.extend(LAYOUT_VERSION.to_ne_bytes());
        raw.extend([hook, flags]);
        raw.extend(14_u32.to_ne_bytes());
        raw.extend(1_000_u64.to_ne_bytes());
        raw.extend(77_u64.to_ne_bytes());
        for word in [5_u32, 9, 1_500, u32::try_from(payload.len()).unwrap()] {
            raw.extend(word.to_ne_bytes());
        }
        for pid in [42_u32, 0] {
            raw.extend(4_711_u64.to_ne_bytes());
            for word in [9_u32, pid, 1_000, 0] {
                raw.extend(word.to_ne_bytes());
            }
            raw.extend(*b"nginx\0\0\0\0\0\0\0\0\0\0\0");
        }
        assert_eq!(raw.len(), HEADER_LENGTH);
        raw.extend(payload);
        raw
    }

    #[test]
    fn a_record_becomes_a_packet() {
        let mut raw = raw(0, FLAG_ETHERNET, &[0xaa; 60]);
        // Size classes leave room behind the captured bytes.
        raw.resize(HEADER_LENGTH + 512, 0);
        let record = Record::decode(&raw).unwrap();
        let packet = packet(&record, Clock::now());
        assert_eq!(packet.hook, Hook::LinkIngress);
        assert_eq!(packet.link_type, LinkType::Ethernet);
        assert_eq!(packet.bytes, [0xaa; 60]);
        assert_eq!(
            (packet.scope, packet.ifindex, packet.wire_length),
            (77, 9, 1_500)
        );
        assert_eq!(packet.source.process.unwrap().pid, 42);
        assert_eq!(packet.destination.process, None);
        assert_eq!(packet.destination.cgroup_id, 4_711);
    }

    #[test]
    fn what_no_kernel_object_writes_is_refused() {
        let good = raw(3, 0, &[1; 20]);
        for length in 0..good.len() {
            assert!(Record::decode(&good[..length]).is_err(), "{length} bytes");
        }
        let mut other_version = good.clone();
        other_version[0] ^= 0xff;
        assert!(Record::decode(&other_version).is_err());
        assert!(Record::decode(&raw(4, 0, &[1; 20])).is_err());
        assert!(
            Record::decode(&raw(0, 0, &[1; 10])).is_err(),
            "network header beyond the bytes"
        );
    }
}
