//! Headers that steer a packet through a network: MPLS (RFC 3032) and NSH (RFC 8300).

use super::{Decoded, Malformed, PacketView, ipv4, ipv6, link, slice::Slice};
use crate::anomaly::Anomaly;

/// Labels in one stack.
const MAX_LABELS: usize = 16;

/// A label stack and what is under it.
pub(super) fn mpls<'a>(
    mut rest: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    for _ in 0..MAX_LABELS {
        let entry: &[u8; 4] = rest.header(Anomaly::MplsTruncated)?;
        let entry = u32::from_be_bytes(*entry);
        rest = rest.skip(4);
        if entry & 0x100 != 0 {
            return under(entry >> 12, rest, view);
        }
    }
    Err(Anomaly::TooManyLayers.into())
}

/// What is under the label at the bottom.
fn under<'a>(
    label: u32,
    rest: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    match label {
        0 => return ipv4::decode(rest, view),
        2 => return ipv6::decode(rest, view),
        1 => return Err(Anomaly::MplsRouterAlert.into()),
        3 => return Err(Anomaly::MplsImplicitNull.into()),
        4..=15 => {
            view.events.insert(Anomaly::MplsReserved);
        }
        _ => {}
    }
    let &[first] = rest.header::<1>(Anomaly::MplsTruncated)?;
    match first >> 4 {
        4 => ipv4::decode(rest, view),
        6 => ipv6::decode(rest, view),
        // The control word of a pseudowire (RFC 4385 section 3).
        0 => link::ethernet(rest.skip(4), view),
        _ => Err(Anomaly::MplsPayload.into()),
    }
}

/// A network service header and what it carries.
pub(super) fn nsh<'a>(
    packet: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    const BASE: usize = 8;
    /// Length of a header with metadata of type 1.
    const TYPE_1: usize = 24;
    let &[version, length, kind, next, ..] = packet.header::<BASE>(Anomaly::NshTruncated)?;
    if version >> 6 != 0 {
        return Err(Anomaly::NshVersion.into());
    }
    let length = usize::from(length & 0x3f) * 4;
    if length < BASE || length > packet.wire {
        return Err(Anomaly::NshHeaderLength.into());
    }
    match kind & 0x0f {
        0 => return Err(Anomaly::NshReservedType.into()),
        1 if length != TYPE_1 => return Err(Anomaly::NshHeaderLength.into()),
        1 | 2 | 15 => {}
        _ => return Err(Anomaly::NshUnsupportedType.into()),
    }
    let rest = packet.skip(length);
    match next {
        1 => ipv4::decode(rest, view),
        2 => ipv6::decode(rest, view),
        3 => link::ethernet(rest, view),
        5 => mpls(rest, view),
        _ => Err(Anomaly::NshPayload.into()),
    }
}
