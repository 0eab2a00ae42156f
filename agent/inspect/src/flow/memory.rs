//! What reassembly may hold, and what it did.

/// Bounds of TCP reassembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes of each direction that were evaluated and are kept so that a match may span
    /// segments. 16 KiB holds a request head with room to spare.
    pub window: usize,
    /// Bytes of one direction that may wait for a hole to be filled. The default is that of one
    /// direction's capture budget with as much again for retransmissions.
    pub pending: usize,
    /// Bytes that all streams of the inspector hold together.
    pub total: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            window: 16 << 10,
            pending: 256 << 10,
            total: 64 << 20,
        }
    }
}

/// What TCP reassembly did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Segments with payload.
    pub segments: u64,
    /// Segments that had to wait for an earlier one.
    pub out_of_order: u64,
    /// Segments that held bytes which had been delivered.
    pub retransmissions: u64,
    /// Segments outside the receiver's window, inspected by themselves.
    pub out_of_window: u64,
    /// Segments whose bytes differ from those received before for the same place.
    pub conflicts: u64,
    /// Holes that were skipped.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Of the holes: skipped because [`StreamLimits::pending`] was reached.
    pub pending_limit: u64,
    /// Streams that lost their window because [`StreamLimits::total`] was reached.
    pub window_released: u64,
}
