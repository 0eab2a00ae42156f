//! What rules ask of frames beside fields and content.

use super::{
    frame::{self, Header, Kind},
    hpack::Block,
};
use crate::{
    flow::Direction,
    protocol::{Field, Transaction},
};

/// A setting and its value as one number.
pub(crate) const SETTING_SHIFT: u32 = 32;

/// That a frame of this kind came.
pub(super) fn push_kind(direction: Direction, kind: Kind, transaction: &mut Transaction) {
    // All but the one that is ignored stand for their number.
    if kind != Kind::Unknown {
        transaction.number_once(direction, Field::Http2FrameType, kind as u64);
    }
}

/// What the payload of a frame without fields and content says.
pub(super) fn push(
    direction: Direction,
    header: Header,
    payload: &[u8],
    transaction: &mut Transaction,
) {
    push_kind(direction, header.kind, transaction);
    match header.kind {
        Kind::Settings => {
            for setting in payload.chunks_exact(frame::SETTING) {
                if let &[high, low, a, b, c, d] = setting {
                    let name = u64::from(u16::from_be_bytes([high, low]));
                    let value = u64::from(u32::from_be_bytes([a, b, c, d]));
                    let both = name << SETTING_SHIFT | value;
                    transaction.number_once(direction, Field::Http2Setting, both);
                }
            }
        }
        Kind::WindowUpdate => {
            if let Some(size) = payload.first_chunk::<4>() {
                // The first bit is reserved.
                let size = u32::from_be_bytes(*size) & 0x7fff_ffff;
                transaction.number_once(direction, Field::Http2Window, size.into());
            }
        }
        Kind::Priority => {
            if let Some(weight) = payload.get(4) {
                transaction.number_once(direction, Field::Http2Priority, (*weight).into());
            }
        }
        _ => {}
    }
}

/// What a header block says beside its fields.
pub(super) fn push_block(direction: Direction, block: &Block, transaction: &mut Transaction) {
    push_kind(direction, Kind::Headers, transaction);
    if block.continued {
        push_kind(direction, Kind::Continuation, transaction);
    }
    if let Some(weight) = block.priority {
        transaction.number_once(direction, Field::Http2Priority, weight.into());
    }
    for size in &block.sizes {
        transaction.number_once(direction, Field::Http2SizeUpdate, (*size).into());
    }
}
