//! The account of packets: the one place where counters are bumped.

use core::arch::asm;

use hydrophone_common::counter::{self, Counter, Hook};

use crate::maps::COUNTERS_MAP;

/// Counts a packet as seen, and as what became of it.
#[inline(always)]
pub(crate) fn account(hook: Hook, counter: Counter) {
    bump(counter::index(hook, Counter::Seen));
    bump(counter::index(hook, counter));
}

#[inline(always)]
fn bump(index: u32) {
    if let Some(value) = COUNTERS_MAP.get_ptr_mut(index) {
        // Atomic although the slot belongs to this CPU: a softirq may interrupt a socket hook that
        // runs in process context.
        add(value, 1);
    }
}

/// Adds to a 64-bit counter that others may be adding to.
///
/// By hand, for `core` offers no `fetch_add` on a target without compare-and-swap, while plain
/// `BPF_ATOMIC | BPF_ADD` is in every kernel that has `cgroup_skb`.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, amount: u64) {
    // SAFETY: callers pass a live, aligned field of a map value.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}
