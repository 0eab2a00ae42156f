//! Globals that the agent sets before the programs are loaded.

use core::ptr;

/// Its name says which layout this object writes: the agent refuses an object without it.
#[unsafe(no_mangle)]
static LAYOUT_3: u8 = 0;
const _: () = assert!(hydrophone_common::LAYOUT_VERSION == 3);
/// Random for each load, so that no container can aim its flows at one ring.
#[unsafe(no_mangle)]
static HASH_SEED: u64 = 0;
/// Number of rings minus one; the number is a power of two.
#[unsafe(no_mangle)]
static RING_MASK: u32 = 0;
/// Bytes recorded of each direction of a flow.
#[unsafe(no_mangle)]
static CAPTURE_BUDGET: u64 = 131_072;
/// A direction gets the default budget anew when it has been silent for this long; one without
/// connections (anything but TCP) also when this long has passed since. Else what two hosts say by
/// ICMP, or over a pooled connection, would be looked at once and never again.
#[unsafe(no_mangle)]
static BUDGET_RENEWAL_NS: u64 = 10_000_000_000;
/// 1 when `bpf_get_netns_cookie` may be called from `cgroup_skb` (6.15 and later).
#[unsafe(no_mangle)]
static SKB_NETNS_COOKIE: u8 = 0;

/// Cookie of the host's network namespace; 0 when this kernel does not tell.
#[unsafe(no_mangle)]
static HOST_NAMESPACE: u64 = 0;

/// Reads a global as the loader left it.
///
/// Volatile, for the compiler would otherwise fold in the value that stands here. The section is
/// frozen at load, so the verifier knows the value and drops branches that cannot be taken.
#[inline(always)]
fn read<T: Copy>(global: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { ptr::read_volatile(global) }
}

#[inline(always)]
pub(crate) fn hash_seed() -> u64 {
    read(&HASH_SEED)
}

#[inline(always)]
pub(crate) fn ring_mask() -> u32 {
    read(&RING_MASK)
}

#[inline(always)]
pub(crate) fn capture_budget() -> u64 {
    read(&CAPTURE_BUDGET)
}

#[inline(always)]
pub(crate) fn budget_renewal_ns() -> u64 {
    read(&BUDGET_RENEWAL_NS)
}

#[inline(always)]
pub(crate) fn host_namespace() -> u64 {
    read(&HOST_NAMESPACE)
}

#[inline(always)]
pub(crate) fn skb_netns_cookie() -> bool {
    // Read here so that the linker keeps it.
    read(&LAYOUT_3);
    read(&SKB_NETNS_COOKIE) != 0
}
