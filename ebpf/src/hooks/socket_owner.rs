//! `connect` and `sendmsg`: which process is behind a socket.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_get_socket_cookie},
    },
    programs::{SockAddrContext, SockContext},
};
use aya_log_ebpf::warn;
use hydrophone_common::record::SocketOwner;

use super::process;
use crate::{
    config,
    maps::{NAMESPACES, SOCKETS},
};

/// Notes in which network namespace the sockets of the caller's cgroup are, for kernels where
/// `cgroup_skb` cannot ask. A cgroup whose processes use several has the last one's.
#[inline(always)]
pub(crate) fn remember_namespace(ctx: &SockContext) {
    if config::skb_netns_cookie() {
        return;
    }
    // SAFETY: no arguments.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: the helper takes the context.
    let namespace = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    let _ = NAMESPACES.insert(&cgroup_id, &namespace, 0);
}

/// Notes the calling process under the socket's cookie.
#[inline(always)]
pub(crate) fn remember(ctx: &SockAddrContext) {
    // SAFETY: the helper takes the context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: no arguments.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // sendmsg runs for each datagram: write only when the socket has changed hands.
    // SAFETY: integers that only this hook writes.
    if unsafe { SOCKETS.get(cookie) }.is_some_and(|owner| owner.pid == pid) {
        return;
    }
    let owner = SocketOwner {
        cgroup_id,
        pid,
        uid: bpf_get_current_uid_gid() as u32,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
    };
    if let Err(code) = SOCKETS.insert(&cookie, &owner, 0) {
        // In the caller's own context, and only when the kernel is out of memory.
        warn!(ctx, "process {} is not remembered: error {}", pid, code);
    }
    process::connect(ctx, cookie);
}
