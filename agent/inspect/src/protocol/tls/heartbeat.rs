//! Heartbeats (RFC 6520), and how CVE-2014-0160 shows in them.

use crate::flow::Direction;

/// Type and length of the payload.
pub(super) const HEADER: usize = 3;
/// Bytes of padding that there must be.
const PADDING: u32 = 16;

/// The heartbeat that is under way.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    begun_by: Option<Direction>,
    /// Bytes of its record, if it is encrypted.
    length: u16,
}

impl Heartbeats {
    /// Takes the beginning of a heartbeat, and says what is wrong with it.
    pub(super) fn message(
        &mut self,
        direction: Direction,
        head: [u8; HEADER],
        length: u16,
        encrypted: bool,
    ) -> Option<&'static str> {
        let [kind, high, low] = head;
        if !encrypted && !(1..=2).contains(&kind) {
            return Some("tls.invalid_heartbeat_message");
        }
        match self.begun_by {
            None => {
                self.begun_by = Some(direction);
                if encrypted {
                    self.length = length;
                    return None;
                }
                let claimed = u32::from(u16::from_be_bytes([high, low])) + 3;
                match u32::from(length).checked_sub(claimed) {
                    None => Some("tls.overflow_heartbeat_message"),
                    Some(padding) if padding < PADDING => Some("tls.invalid_heartbeat_message"),
                    Some(_) => None,
                }
            }
            Some(begun_by) if begun_by == direction => Some("tls.heartbeat_message"),
            // The answer is as long as the question, or it has more in it.
            Some(_) => {
                self.begun_by = None;
                let asked = core::mem::take(&mut self.length);
                (encrypted && asked > 0 && asked < length)
                    .then_some("tls.dataleak_heartbeat_mismatch")
            }
        }
    }
}
