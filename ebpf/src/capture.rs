//! From a packet to a record in a ring.

use core::arch::asm;

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, maps::ring_buf::RingBufBytes,
};
use hydrophone_common::{
    LAYOUT_VERSION,
    counter::{Counter, Hook},
    record::{
        self, FLAG_ETHERNET, FLAG_MALFORMED, FLAG_TRUNCATED, HEADER_LENGTH, RecordHeader,
        SIZE_CLASSES,
    },
};

use crate::{
    config,
    flow::{Flow, hash},
    headers::{Kind, Parsed, TCP, TCP_CONTROL},
    maps::RINGS,
    outcome::add,
};

const HEADERS_ONLY: u64 = record::HEADERS_ONLY as u64;
/// Most that is recorded of a packet. Larger ones there are only where an administrator has raised
/// `gso_max_size` (6.3 and later).
const LARGEST: u64 = SIZE_CLASSES[3] as u64;

/// Records the packet if its direction's budget allows, and says what became of it.
#[inline(always)]
pub(crate) fn record(skb: *mut __sk_buff, hook: Hook, parsed: &Parsed, flow: Flow) -> Counter {
    // SAFETY: a field of the context.
    let length = unsafe { (*skb).len };
    touch(flow, parsed, length);

    let remaining = flow.remaining();
    let control = parsed.key.protocol == TCP && parsed.tcp_flags & TCP_CONTROL != 0;
    if remaining == 0 && !control {
        return Counter::BudgetSpent;
    }
    let most = if parsed.kind == Kind::Malformed || remaining < HEADERS_ONLY {
        HEADERS_ONLY
    } else if remaining < LARGEST {
        remaining
    } else {
        LARGEST
    };
    let limit = if u64::from(length) < most {
        length
    } else {
        most as u32
    };
    let packet = Seen {
        skb,
        hook,
        parsed,
        flow,
        length,
    };
    let Some(ring) = RINGS.get(hash(&parsed.key, false) & config::ring_mask()) else {
        return Counter::RingFull;
    };
    // One arm a size class: the verifier wants each reservation's size to be a constant.
    macro_rules! reserve {
        ($class:expr) => {{
            const ROOM: usize = SIZE_CLASSES[$class];
            let Some(entry) = ring.reserve_bytes(HEADER_LENGTH + ROOM, 0) else {
                return Counter::RingFull;
            };
            packet.write::<ROOM>(entry, limit)
        }};
    }
    let counter = if limit as usize <= SIZE_CLASSES[0] {
        reserve!(0)
    } else if limit as usize <= SIZE_CLASSES[1] {
        reserve!(1)
    } else if limit as usize <= SIZE_CLASSES[2] {
        reserve!(2)
    } else {
        reserve!(3)
    };
    if counter == Counter::Inspected {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*flow.sending).spent }, u64::from(limit));
    }
    counter
}

/// Counts the packet in its flow.
#[inline(always)]
fn touch(flow: Flow, parsed: &Parsed, length: u32) {
    let sending = flow.sending;
    // SAFETY: a live map value.
    add(unsafe { &raw mut (*sending).packets }, 1);
    let bytes = length.saturating_sub(parsed.l3_offset);
    // SAFETY: as above.
    add(unsafe { &raw mut (*sending).bytes }, u64::from(bytes));
    // SAFETY: as above; a lost race between CPUs leaves one of two nearly equal times.
    unsafe {
        if (*sending).first_ns == 0 {
            (*sending).first_ns = flow.now;
        }
        (*sending).last_ns = flow.now;
        (*sending).tcp_flags |= parsed.tcp_flags;
    }
}

/// Hides a value's origin from the compiler, so that the checks that follow are made on the very
/// register that the verifier will look at.
#[inline(always)]
fn opaque(value: u64) -> u64 {
    let mut value = value;
    // One instruction, not none: of an empty one the compiler writes line information that the
    // kernel refuses.
    // SAFETY: changes nothing.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, pure)) };
    value
}

struct Seen<'a> {
    skb: *mut __sk_buff,
    hook: Hook,
    parsed: &'a Parsed,
    flow: Flow,
    length: u32,
}

impl Seen<'_> {
    /// Fills a reservation of header and `ROOM` bytes and submits it.
    #[inline(always)]
    fn write<const ROOM: usize>(&self, mut entry: RingBufBytes<'_>, limit: u32) -> Counter {
        // Less one while it is compared: before 6.8 the verifier does not learn from `!= 0` that a
        // length is at least 1.
        let last = opaque(u64::from(limit).wrapping_sub(1));
        if last >= ROOM as u64 {
            entry.discard(0);
            return Counter::LoadFailed;
        }
        let captured = last + 1;
        let start = entry.as_mut_ptr();
        // SAFETY: the reservation has ROOM bytes after the header, and 1 <= captured <= ROOM.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.skb.cast(),
                0,
                start.add(HEADER_LENGTH).cast(),
                captured as u32,
            )
        };
        if result != 0 {
            entry.discard(0);
            return Counter::LoadFailed;
        }
        let header = start.cast::<RecordHeader>();
        // SAFETY: ring reservations are 8-byte aligned and hold a header first; the map values live.
        unsafe {
            (*header).version = LAYOUT_VERSION;
            (*header).hook = self.hook as u8;
            (*header).flags = self.flags(captured as u32);
            (*header).l3_offset = if self.parsed.l3_offset < captured as u32 {
                self.parsed.l3_offset
            } else {
                captured as u32
            };
            (*header).timestamp_ns = self.flow.now;
            (*header).scope = self.parsed.key.scope;
            (*header).flow_hash = hash(&self.parsed.key, true);
            (*header).ifindex = self.ifindex();
            (*header).wire_length = self.length;
            (*header).captured_length = captured as u32;
            (*header).source = (*self.flow.sending).sender;
            (*header).destination = (*self.flow.receiving).sender;
        }
        entry.submit(0);
        Counter::Inspected
    }

    /// The link, if it is one of the host or loopback, which has the same index everywhere.
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        const LOOPBACK: u32 = 1;
        // SAFETY: a field of the context.
        let ifindex = unsafe { (*self.skb).ifindex };
        if matches!(self.hook, Hook::LinkIngress | Hook::LinkEgress) || ifindex == LOOPBACK {
            ifindex
        } else {
            0
        }
    }

    #[inline(always)]
    fn flags(&self, captured: u32) -> u8 {
        let mut flags = 0;
        if matches!(self.hook, Hook::LinkIngress | Hook::LinkEgress) {
            flags |= FLAG_ETHERNET;
        }
        if self.parsed.kind == Kind::Malformed {
            flags |= FLAG_MALFORMED;
        }
        if captured < self.length {
            flags |= FLAG_TRUNCATED;
        }
        flags
    }
}
