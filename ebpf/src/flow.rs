//! The flow table: entry, owners, hash and budget.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_ktime_get_ns};
use hydrophone_common::{
    flow::{BUDGET_NONE, Direction, FlowKey, FlowState},
    record::OwnerRecord,
};

use crate::{
    config,
    headers::{Parsed, TCP},
    maps::FLOWS,
};

/// SYN without ACK begins a connection (RFC 9293 section 3.5).
const SYN_ACK: u8 = 0x12;
pub(crate) const SYN: u8 = 0x02;

/// What a new flow starts from.
static NEW: FlowState = FlowState {
    directions: [Direction {
        packets: 0,
        bytes: 0,
        first_ns: 0,
        last_ns: 0,
        renewed_ns: 0,
        spent: 0,
        budget: 0,
        sequence_end: 0,
        tcp_flags: 0,
        hooks: 0,
        padding: 0,
        sender: OwnerRecord {
            cgroup_id: 0,
            ifindex: 0,
            pid: 0,
            uid: 0,
            padding: 0,
            comm: [0; 16],
        },
    }; 2],
};

/// The flow of a packet: live map values, seen from its sender.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    /// The packet's direction.
    pub(crate) sending: *mut Direction,
    /// The other one: its sender is the packet's receiver.
    pub(crate) receiving: *mut Direction,
    /// The time of the packet, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) now: u64,
}

impl Flow {
    /// The packet's flow, made if there is none.
    #[inline(always)]
    pub(crate) fn open(parsed: &Parsed) -> Option<Self> {
        if let Some(flow) = Self::find(parsed) {
            return Some(flow);
        }
        // Another CPU may have been first: then the look-up finds its entry.
        let _ = FLOWS.insert(&parsed.key, &NEW, u64::from(BPF_NOEXIST));
        Self::find(parsed)
    }

    /// The packet's flow, if there is one.
    #[inline(always)]
    pub(crate) fn find(parsed: &Parsed) -> Option<Self> {
        let state = FLOWS.get_ptr_mut(&parsed.key)?;
        // Two constant indices instead of a variable one keep the verifier's bounds trivial.
        // SAFETY: in bounds of a map value.
        let low = unsafe { &raw mut (*state).directions[0] };
        // SAFETY: as above.
        let high = unsafe { &raw mut (*state).directions[1] };
        let (sending, receiving) = if parsed.direction == 0 {
            (low, high)
        } else {
            (high, low)
        };
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        Some(Self {
            sending,
            receiving,
            now,
        })
    }

    /// Starts budgets anew where that is due; to be called by the hook that inspects the packet.
    #[inline(always)]
    pub(crate) fn renew(&self, parsed: &Parsed) {
        let tcp = parsed.key.protocol == TCP;
        if tcp && parsed.tcp_flags & SYN_ACK == SYN {
            // The same ports again, maybe another process.
            self.begin(self.sending);
            self.begin(self.receiving);
            return;
        }
        // SAFETY: a live map value.
        let (last, renewed, budget) = unsafe {
            let sending = &*self.sending;
            (sending.last_ns, sending.renewed_ns, sending.budget)
        };
        let due = if tcp { last } else { renewed };
        if self.now.saturating_sub(due) > config::budget_renewal_ns() && budget != BUDGET_NONE {
            self.begin(self.sending);
        }
    }

    #[inline(always)]
    fn begin(&self, direction: *mut Direction) {
        // SAFETY: a live map value.
        unsafe {
            (*direction).renewed_ns = self.now;
            (*direction).spent = 0;
            (*direction).budget = 0;
            (*direction).sender.pid = 0;
        }
    }

    /// Bytes of the packet's direction that may still be recorded.
    #[inline(always)]
    pub(crate) fn remaining(&self) -> u64 {
        // SAFETY: a live map value; the agent may write `budget` at any time, and any value will do.
        let (spent, own) = unsafe { ((*self.sending).spent, (*self.sending).budget) };
        let budget = match own {
            0 => config::capture_budget(),
            BUDGET_NONE => 0,
            own => own,
        };
        budget.saturating_sub(spent)
    }
}

/// Symmetric hash of a flow, seeded for each load. With `ports`, of the flow; without, of the pair of
/// hosts, which is the same for every fragment of a datagram.
#[inline(always)]
pub(crate) fn hash(key: &FlowKey, ports: bool) -> u32 {
    let mut hash = config::hash_seed();
    hash = mix(hash, key.low[0]);
    hash = mix(hash, key.low[1]);
    hash = mix(hash, key.high[0]);
    hash = mix(hash, key.high[1]);
    hash = mix(hash, key.scope);
    if ports {
        let tail = u64::from(key.low_port) << 32
            | u64::from(key.high_port) << 16
            | u64::from(key.protocol);
        hash = mix(hash, tail);
    }
    (hash >> 32) as u32
}

/// One round of a multiplicative mix (the finalizer of splitmix64, shortened).
#[inline(always)]
fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
