//! The flow table: entry, owners, hash and budget.

use aya_ebpf::bindings::BPF_NOEXIST;
use hydrophone_common::flow::{Direction, FlowKey, FlowState};

use crate::{config, maps::FLOWS};

/// What a new flow starts from. A budget of 0 stands for the default.
static NEW: FlowState = FlowState {
    directions: [Direction {
        packets: 0,
        bytes: 0,
        first_ns: 0,
        last_ns: 0,
        spent: 0,
        budget: 0,
        sequence_end: 0,
        tcp_flags: 0,
        hooks: 0,
        padding: 0,
        sender: hydrophone_common::record::OwnerRecord {
            cgroup_id: 0,
            ifindex: 0,
            pid: 0,
            uid: 0,
            padding: 0,
            comm: [0; 16],
        },
    }; 2],
};

/// The flow of `key`, made if there is none.
#[inline(always)]
pub(crate) fn entry(key: &FlowKey) -> Option<*mut FlowState> {
    if let Some(state) = FLOWS.get_ptr_mut(key) {
        return Some(state);
    }
    // Another CPU may have been first: then the look-up finds its entry.
    let _ = FLOWS.insert(key, &NEW, u64::from(BPF_NOEXIST));
    FLOWS.get_ptr_mut(key)
}

/// The flow of `key`, if there is one.
#[inline(always)]
pub(crate) fn find(key: &FlowKey) -> Option<*mut FlowState> {
    FLOWS.get_ptr_mut(key)
}

/// The sending direction and the other one.
///
/// Two constant indices instead of a variable one keep the verifier's bounds trivial.
#[inline(always)]
pub(crate) fn split(state: *mut FlowState, direction: u8) -> (*mut Direction, *mut Direction) {
    // SAFETY: in bounds of a map value that the verifier has seen checked for NULL.
    let first = unsafe { &raw mut (*state).directions[0] };
    // SAFETY: as above.
    let second = unsafe { &raw mut (*state).directions[1] };
    if direction == 0 {
        (first, second)
    } else {
        (second, first)
    }
}

/// Bytes that may still be recorded in `direction`.
#[inline(always)]
pub(crate) fn remaining(direction: *mut Direction) -> u64 {
    // SAFETY: a live map value; the agent may write `budget` at any time, and any value will do.
    let (spent, own) = unsafe { ((*direction).spent, (*direction).budget) };
    let budget = if own == 0 {
        config::capture_budget()
    } else {
        own
    };
    if budget > spent { budget - spent } else { 0 }
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
