//! What each hook does with what it sees.

pub(crate) mod link;
pub(crate) mod socket;
pub(crate) mod socket_owner;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_socket_cookie, bpf_skb_cgroup_id},
};
use hydrophone_common::{flow::Direction, record::OwnerRecord};

use crate::maps::SOCKETS;

/// The cgroup id of the v2 root: sockets of the kernel itself have it.
const ROOT_CGROUP: u64 = 1;

/// Fills what is not yet known of the sending end from the packet's socket, if it still has one.
#[inline(always)]
fn learn_sender(skb: *mut __sk_buff, sending: *mut Direction) {
    // SAFETY: a live map value.
    let owner = unsafe { &raw mut (*sending).sender };
    learn_cgroup(skb, owner);
    // SAFETY: as above.
    if unsafe { (*owner).pid } != 0 {
        return;
    }
    // SAFETY: the helper takes the context; 0 when there is no socket.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    if cookie == 0 {
        return;
    }
    // SAFETY: the entry is written once, before the socket's first packet, and only read here.
    if let Some(process) = unsafe { SOCKETS.get(cookie) } {
        // SAFETY: a live map value.
        unsafe {
            (*owner).uid = process.uid;
            (*owner).comm = process.comm;
            (*owner).pid = process.pid;
        }
    }
}

/// Fills the cgroup id from the packet's socket. In `cgroup_skb` ingress that is the receiver's.
#[inline(always)]
fn learn_cgroup(skb: *mut __sk_buff, owner: *mut OwnerRecord) {
    // SAFETY: a live map value.
    if unsafe { (*owner).cgroup_id } > ROOT_CGROUP {
        return;
    }
    // SAFETY: the helper takes the context; 0 when there is no socket.
    let cgroup_id = unsafe { bpf_skb_cgroup_id(skb) };
    if cgroup_id != 0 {
        // SAFETY: a live map value.
        unsafe { (*owner).cgroup_id = cgroup_id };
    }
}
