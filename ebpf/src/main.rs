//! Hydrophone's kernel programs: entry points only.
//!
//! They read and never change a verdict: classifiers return `TCX_NEXT`, so that whatever else is
//! attached to the link still runs; cgroup programs return 1, which lets the packet or call go on.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        unsafe_code,
        reason = "kernel programs talk to the kernel by pointers and helpers"
    )
)]

#[cfg(target_arch = "bpf")]
mod capture;
#[cfg(target_arch = "bpf")]
mod config;
#[cfg(target_arch = "bpf")]
mod flow;
#[cfg(target_arch = "bpf")]
mod headers;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod outcome;

/// Their names tell an administrator whose they are (`bpftool prog`, `tc filter`); 15 bytes are shown.
#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr, classifier, raw_tracepoint},
        programs::{RawTracePointContext, SkBuffContext, SockAddrContext, SockContext, TcContext},
    };

    use crate::hooks::{link, process, socket, socket_owner};

    /// `TCX_NEXT` (`enum tcx_action_base`, 6.6) and `TC_ACT_UNSPEC`: go on with the next program.
    const NEXT: i32 = -1;
    /// cgroup programs: let it pass.
    const PASS: i32 = 1;

    #[classifier]
    fn hydro_link_in(ctx: TcContext) -> i32 {
        link::ingress(&ctx);
        NEXT
    }

    #[classifier]
    fn hydro_link_out(ctx: TcContext) -> i32 {
        link::egress(&ctx);
        NEXT
    }

    #[cgroup_skb]
    fn hydro_sock_out(ctx: SkBuffContext) -> i32 {
        socket::egress(&ctx);
        PASS
    }

    #[cgroup_skb]
    fn hydro_sock_in(ctx: SkBuffContext) -> i32 {
        socket::ingress(&ctx);
        PASS
    }

    #[cgroup_sock(sock_create)]
    fn hydro_sock_new(ctx: SockContext) -> i32 {
        socket_owner::remember_namespace(&ctx);
        process::created(&ctx);
        PASS
    }

    #[cgroup_sock(post_bind4)]
    fn hydro_bound4(ctx: SockContext) -> i32 {
        process::bound4(&ctx);
        PASS
    }

    #[cgroup_sock(post_bind6)]
    fn hydro_bound6(ctx: SockContext) -> i32 {
        process::bound6(&ctx);
        PASS
    }

    /// Loaded as `BPF_CGROUP_UNIX_CONNECT` (6.7), for which the toolchain has no name.
    #[cgroup_sock_addr(connect4)]
    fn hydro_unix(ctx: SockAddrContext) -> i32 {
        process::connect_unix(&ctx);
        PASS
    }

    #[raw_tracepoint(tracepoint = "sched_process_exec")]
    fn hydro_exec(ctx: RawTracePointContext) -> i32 {
        process::executed(&ctx);
        0
    }

    #[cgroup_sock_addr(connect4)]
    fn hydro_connect4(ctx: SockAddrContext) -> i32 {
        socket_owner::remember(&ctx);
        PASS
    }

    #[cgroup_sock_addr(connect6)]
    fn hydro_connect6(ctx: SockAddrContext) -> i32 {
        socket_owner::remember(&ctx);
        PASS
    }

    #[cgroup_sock_addr(sendmsg4)]
    fn hydro_sendmsg4(ctx: SockAddrContext) -> i32 {
        socket_owner::remember(&ctx);
        PASS
    }

    #[cgroup_sock_addr(sendmsg6)]
    fn hydro_sendmsg6(ctx: SockAddrContext) -> i32 {
        socket_owner::remember(&ctx);
        PASS
    }
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

// A loop, not `unreachable`: the verifier then refuses a program in which a panic can be reached.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
