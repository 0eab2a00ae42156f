//! What the parsers of binary protocols share: records cut out of a stream, and pieces of files put in
//! order.

mod chunks;
mod feed;
mod transfer;

pub(crate) use chunks::Chunks;
pub(crate) use feed::{Feed, Measure, Piece};
pub(crate) use transfer::Transfer;
