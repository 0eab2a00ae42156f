//! What each hook does with what it sees.

pub(crate) mod link;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod socket_owner;

use crate::{flow::Flow, maps::SOCKETS};
use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_socket_cookie, bpf_skb_cgroup_id},
};

/// The cgroup id of the v2 root: the host's own, and what the kernel sends by itself.
const ROOT_CGROUP: u64 = 1;
/// Packets of a direction whose process is looked for.
const EARLY: u64 = 8;

/// Notes who sends: the link (0 for none) and, if the packet still has its socket, cgroup and process.
///
/// What an earlier packet of the same tuple told is replaced: addresses and ports are used again, by
/// the next container or by whoever forges them.
///
/// `is_host` says whether the kernel's own packets are the host's.
#[inline(always)]
fn learn_sender(skb: *mut __sk_buff, flow: Flow, ifindex: u32, is_host: bool) {
    // SAFETY: a live map value.
    let owner = unsafe { &mut (*flow.sending).sender };
    if owner.ifindex != ifindex {
        owner.ifindex = ifindex;
        owner.cgroup_id = 0;
        owner.pid = 0;
    }
    // SAFETY: the helper takes the context; 0 when there is no socket.
    let cgroup_id = unsafe { bpf_skb_cgroup_id(skb) };
    // On a container's link the root's is that of its kernel (RST, ACK in TIME_WAIT): not known.
    let known = cgroup_id > ROOT_CGROUP || (cgroup_id == ROOT_CGROUP && is_host);
    if !known {
        return;
    }
    let changed = owner.cgroup_id != cgroup_id;
    if changed {
        owner.cgroup_id = cgroup_id;
        owner.pid = 0;
    }
    // Who has not called `connect` or `sendmsg` by then (a server) will not for this flow.
    // SAFETY: as above.
    let early = unsafe { (*flow.sending).packets } < EARLY;
    if owner.pid != 0 || !(changed || early) {
        return;
    }
    // SAFETY: the helper takes the context; 0 when there is no socket.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    // SAFETY: the entry is written before the socket's first packet, and only read here.
    if let Some(process) = unsafe { SOCKETS.get(cookie) } {
        owner.uid = process.uid;
        owner.comm = process.comm;
        owner.pid = process.pid;
    }
}

/// Notes the receiving socket's cgroup (`cgroup_skb` ingress).
#[inline(always)]
fn learn_receiver(skb: *mut __sk_buff, flow: Flow) {
    // SAFETY: the helper takes the context; 0 when there is no socket.
    let cgroup_id = unsafe { bpf_skb_cgroup_id(skb) };
    // SAFETY: a live map value.
    let owner = unsafe { &mut (*flow.receiving).sender };
    if cgroup_id != 0 && owner.cgroup_id != cgroup_id {
        owner.cgroup_id = cgroup_id;
        owner.pid = 0;
    }
}
