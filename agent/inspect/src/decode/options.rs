//! Options of IPv4, TCP and the extension headers of IPv6.

use crate::anomaly::{Anomaly, AnomalySet};

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// TCP option kinds (RFC 9293 section 3.2, RFC 7323).
pub(super) const MAXIMUM_SEGMENT_SIZE: u8 = 2;
pub(super) const WINDOW_SCALE: u8 = 3;
const SELECTIVE_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

/// One option of IPv4 or TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderOption<'a> {
    /// Kind or type; 0 ends the list, 1 is padding.
    pub kind: u8,
    /// What follows the length.
    pub data: &'a [u8],
}

/// The options of an IPv4 or TCP header, up to the end of the list (which is one of them) or to
/// the first that runs past the header (which is not).
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Whether an option that runs past the header comes next.
    const fn is_cut(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = HeaderOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, data, rest): (_, &[u8], &[u8]) = match self.rest {
            [END, ..] => (END, &[], &[]),
            [NO_OPERATION, rest @ ..] => (NO_OPERATION, &[], rest),
            [kind, length, ..] => {
                let length = usize::from(*length);
                let data = self.rest.get(2..length)?;
                (*kind, data, self.rest.get(length..)?)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(HeaderOption { kind, data })
    }
}

/// Checks the options of an IPv4 header (`ip_options_compile`: Linux drops packets of which one
/// runs past the header). False if it does.
pub(super) fn ipv4(options: &[u8], events: &mut AnomalySet) -> bool {
    let mut options = Options::new(options);
    let mut seen: u128 = 0;
    for HeaderOption { kind, .. } in options.by_ref() {
        // RFC 791, 1108, 2113 and the IANA registry.
        let known = matches!(
            kind,
            0 | 1 | 7 | 68 | 82 | 130 | 131 | 133 | 134 | 136 | 137 | 148
        );
        if !known {
            events.insert(Anomaly::Ipv4OptionUnknown);
        }
        // Two types that differ in the copy bit alone are one option.
        let bit = 1 << (kind & 0x7f);
        if kind > NO_OPERATION && seen & bit != 0 {
            events.insert(Anomaly::Ipv4OptionDuplicate);
        }
        seen |= bit;
    }
    !options.is_cut()
}

/// Checks the options of a TCP header. Linux stops reading at one that is wrong
/// (`tcp_parse_options`) and takes the segment.
pub(super) fn tcp(options: &[u8], events: &mut AnomalySet) {
    let mut options = Options::new(options);
    let mut seen: u16 = 0;
    for HeaderOption { kind, data } in options.by_ref() {
        let length = match kind {
            MAXIMUM_SEGMENT_SIZE => 2,
            WINDOW_SCALE => 1,
            SELECTIVE_PERMITTED => 0,
            TIMESTAMPS => 8,
            _ => continue,
        };
        if data.len() != length {
            events.insert(Anomaly::TcpOptionLength);
        }
        if seen & (1 << kind) != 0 {
            events.insert(Anomaly::TcpOptionDuplicate);
        }
        seen |= 1 << kind;
    }
    if options.is_cut() {
        events.insert(Anomaly::TcpOptionLength);
    }
}

/// Value and echo of a timestamp option (RFC 7323 section 3).
pub(crate) fn tcp_timestamps(options: &[u8]) -> Option<(u32, u32)> {
    let mut options = Options::new(options);
    let found = options.find(|option| option.kind == TIMESTAMPS)?;
    let &[v0, v1, v2, v3, e0, e1, e2, e3] = found.data else {
        return None;
    };
    let value = u32::from_be_bytes([v0, v1, v2, v3]);
    Some((value, u32::from_be_bytes([e0, e1, e2, e3])))
}

/// Checks the options of a hop-by-hop (`hop_by_hop`) or destination options header of IPv6, which
/// begin behind its first two octets (RFC 8200 section 4.2).
pub(super) fn ipv6(mut options: &[u8], hop_by_hop: bool, events: &mut AnomalySet) {
    const PAD_1: u8 = 0;
    const PAD_N: u8 = 1;
    let (unknown, padding) = if hop_by_hop {
        (Anomaly::Ipv6HopByHopUnknown, Anomaly::Ipv6HopByHopPadding)
    } else {
        (
            Anomaly::Ipv6DestinationUnknown,
            Anomaly::Ipv6DestinationPadding,
        )
    };
    let mut only_padding = true;
    loop {
        options = match options {
            [] => break,
            [PAD_1, rest @ ..] => rest,
            [kind, length, rest @ ..] => {
                match (*kind, *length) {
                    (PAD_N, 0) => {
                        events.insert(Anomaly::Ipv6PaddingEmpty);
                    }
                    (PAD_N, _) => {}
                    _ => only_padding = false,
                }
                // Tunnel limit, router alert, quick start, CALIPSO, home address, jumbo payload.
                if !matches!(kind, 0x01 | 0x04 | 0x05 | 0x07 | 0x26 | 0xc2 | 0xc9) {
                    events.insert(unknown);
                }
                if let Some(rest) = rest.get(usize::from(*length)..) {
                    rest
                } else {
                    events.insert(Anomaly::Ipv6OptionLength);
                    return;
                }
            }
            [_] => {
                events.insert(Anomaly::Ipv6OptionLength);
                return;
            }
        };
    }
    if only_padding {
        events.insert(padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(check: impl FnOnce(&mut AnomalySet)) -> Vec<Anomaly> {
        let mut events = AnomalySet::default();
        check(&mut events);
        events.iter().collect()
    }

    #[test]
    fn tcp_options_are_checked() {
        let check = |options: &[u8]| raised(|events| tcp(options, events));
        assert_eq!(check(&[2, 4, 5, 180, 1, 3, 3, 7, 0, 99, 99]), []);
        assert_eq!(check(&[2, 3, 5]), [Anomaly::TcpOptionLength]);
        assert_eq!(check(&[3, 9, 5]), [Anomaly::TcpOptionLength]);
        assert_eq!(check(&[5, 0]), [Anomaly::TcpOptionLength]);
        assert_eq!(check(&[3, 3, 7, 3, 3, 7]), [Anomaly::TcpOptionDuplicate]);
        assert_eq!(
            tcp_timestamps(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 1, 0]),
            Some((9, 256))
        );
    }

    #[test]
    fn ipv4_options_are_checked() {
        let check = |options: &[u8]| raised(|events| assert!(ipv4(options, events)));
        assert_eq!(check(&[148, 4, 0, 0]), []);
        assert_eq!(check(&[99, 2, 1, 1]), [Anomaly::Ipv4OptionUnknown]);
        assert_eq!(
            check(&[148, 4, 0, 0, 148, 4, 0, 0]),
            [Anomaly::Ipv4OptionDuplicate]
        );
        assert!(!ipv4(&[148], &mut AnomalySet::default()));
    }

    #[test]
    fn ipv6_options_are_checked() {
        let check = |options: &[u8]| raised(|events| ipv6(options, true, events));
        assert_eq!(check(&[5, 2, 0, 0, 1, 1, 0]), []);
        assert_eq!(
            check(&[1, 0, 0, 0, 0, 0]),
            [Anomaly::Ipv6HopByHopPadding, Anomaly::Ipv6PaddingEmpty]
        );
        assert_eq!(
            check(&[0x3e, 0, 1]),
            [Anomaly::Ipv6OptionLength, Anomaly::Ipv6HopByHopUnknown]
        );
    }
}
