//! Captured bytes that know how long they were on the wire.

use crate::anomaly::Anomaly;

/// A run of octets of which the first `bytes.len()` were captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    /// At most `wire` octets.
    pub(crate) bytes: &'a [u8],
    /// Length on the wire.
    pub(crate) wire: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn new(bytes: &'a [u8], wire: usize) -> Self {
        Self {
            bytes,
            wire: wire.max(bytes.len()),
        }
    }

    /// The first `N` octets. What is not on the wire is `otherwise`; what is on the wire but was
    /// not captured is [`Anomaly::CaptureTooShort`].
    pub(crate) fn header<const N: usize>(
        &self,
        otherwise: Anomaly,
    ) -> Result<&'a [u8; N], Anomaly> {
        self.bytes
            .first_chunk()
            .ok_or_else(|| self.missing(N, otherwise))
    }

    /// The first `length` octets.
    pub(crate) fn prefix(&self, length: usize, otherwise: Anomaly) -> Result<&'a [u8], Anomaly> {
        self.bytes
            .get(..length)
            .ok_or_else(|| self.missing(length, otherwise))
    }

    /// What follows the first `length` octets; empty when there is nothing.
    pub(crate) fn skip(&self, length: usize) -> Self {
        Self {
            bytes: self.bytes.get(length..).unwrap_or_default(),
            wire: self.wire.saturating_sub(length),
        }
    }

    /// The first `length` octets on the wire: cuts link padding and trailers.
    pub(crate) fn truncate(&self, length: usize) -> Self {
        Self {
            bytes: self.bytes.get(..length).unwrap_or(self.bytes),
            wire: self.wire.min(length),
        }
    }

    const fn missing(&self, length: usize, otherwise: Anomaly) -> Anomaly {
        if self.wire < length {
            otherwise
        } else {
            Anomaly::CaptureTooShort
        }
    }
}
