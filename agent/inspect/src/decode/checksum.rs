//! Checksums, for rules that ask for them. Decoding does not: between virtual links the kernel
//! leaves them for hardware that never comes (`CHECKSUM_PARTIAL`).

use super::{PacketView, transport::protocol};

impl PacketView<'_> {
    /// Whether the checksum of the IPv4 header is right (`ipv4-csum`).
    #[must_use]
    pub fn ipv4_checksum_valid(&self) -> Option<bool> {
        Some(folded(sum(self.ipv4()?)) == u16::MAX)
    }

    /// Whether the checksum of TCP, UDP, ICMP, `ICMPv6` or IGMP is right (`tcpv4-csum` and so on).
    /// `None` for other protocols, fragments, and what was not captured whole.
    #[must_use]
    pub fn checksum_valid(&self) -> Option<bool> {
        let length = u32::try_from(self.message.len()).ok()?;
        if self.header_length == 0 || length < self.message_length {
            return None;
        }
        let protocol = self.protocol?;
        let pseudo = match (protocol, self.ip_version()?) {
            (protocol::ICMP | protocol::IGMP, 4) => 0,
            (protocol::TCP | protocol::UDP, 4) => sum(self.ip.get(12..20)?),
            (protocol::TCP | protocol::UDP | protocol::ICMPV6, 6) => sum(self.ip.get(8..40)?),
            _ => return None,
        };
        // RFC 768: none was computed. RFC 8200 section 8.1: IPv6 has to.
        if protocol == protocol::UDP
            && self.ip_version() == Some(4)
            && self.message.get(6..8) == Some(&[0, 0])
        {
            return Some(true);
        }
        let own = match protocol {
            protocol::ICMP | protocol::IGMP => 0,
            _ => u64::from(length) + u64::from(protocol),
        };
        Some(folded(pseudo + own + sum(self.message)) == u16::MAX)
    }
}

/// The sum of 16-bit words (RFC 1071), not yet folded.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum();
    words + rest.first().map_or(0, |&last| u64::from(last) << 8)
}

fn folded(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(sum) => return sum,
            Err(_) => sum = (sum >> 16) + (sum & 0xffff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Datagram,
        tests::{datagram, raw, v4, v6},
    };
    use crate::frames::{Tcp, icmp, udp};

    fn view<R>(bytes: &[u8], read: impl FnOnce(&Datagram<'_>) -> R) -> R {
        read(&datagram(raw(bytes)))
    }

    /// What the checksum field has to be for a packet in which it is 0.
    fn correct(bytes: &mut [u8], header: usize, field: usize) {
        for value in 0..=u16::MAX {
            bytes[header + field..header + field + 2].copy_from_slice(&value.to_be_bytes());
            if value != 0 && view(bytes, |d| d.view.checksum_valid()) == Some(true) {
                return;
            }
        }
        panic!("no checksum fits");
    }

    #[test]
    fn known_checksums_are_valid() {
        let mut bytes = vec![
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0xfd, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8,
            0, 0xc7,
        ];
        bytes[9] = 0x11;
        bytes.extend(udp(1, 2, &[0; 0x73 - 28]));
        assert_eq!(view(&bytes, |d| d.view.ipv4_checksum_valid()), Some(true));
        bytes[8] = 63;
        assert_eq!(view(&bytes, |d| d.view.ipv4_checksum_valid()), Some(false));
        let igmp = v4(2, &[0x16, 0, 0x09, 0xf6, 224, 0, 0, 9]);
        assert_eq!(view(&igmp, |d| d.view.checksum_valid()), Some(true));
    }

    #[test]
    fn each_protocol_has_one_right_checksum() {
        let segment = Tcp {
            payload: b"odd",
            ..Tcp::default()
        };
        let cases = [
            (v4(6, &segment.bytes()), 20, 16),
            (v6(6, &segment.bytes()), 40, 16),
            (v4(17, &udp(1, 2, b"odd")), 20, 6),
            (v6(17, &udp(1, 2, b"odd")), 40, 6),
            (v4(1, &icmp(8, 0, 1, 1, b"odd")), 20, 2),
            (v6(58, &icmp(128, 0, 1, 1, b"odd")), 40, 2),
        ];
        for (mut bytes, header, field) in cases {
            correct(&mut bytes, header, field);
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(view(&bytes, |d| d.view.checksum_valid()), Some(false));
        }
        let none = v4(17, &udp(1, 2, b"none"));
        assert_eq!(view(&none, |d| d.view.checksum_valid()), Some(true));
        assert_eq!(view(&v4(99, b"other"), |d| d.view.checksum_valid()), None);
    }
}
