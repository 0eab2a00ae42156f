//! Events about processes: what they do with sockets, at the moment of the call.
//!
//! Off the path of packets: only `connect`, `bind`, `socket` and executions come here.

use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_get_socket_cookie,
            bpf_ktime_get_ns, bpf_probe_read_kernel,
        },
    },
    programs::{RawTracePointContext, SockAddrContext, SockContext},
};
use hydrophone_common::{
    LAYOUT_VERSION,
    process::{
        CALLS_PER_SECOND, Call, EXECUTIONS_PER_SECOND, EventCounter, Pace, PaceKey, ProcessEvent,
    },
};

use crate::{
    maps::{PACES, PROCESS_COUNTERS, PROCESS_EVENTS},
    outcome::add,
};

/// `AF_INET` and `AF_INET6`.
const INET: u32 = 2;
const INET6: u32 = 10;
/// `SOCK_RAW`.
const RAW: u32 = 3;
/// The cgroup id of the v2 root: the host's own.
const ROOT_CGROUP: u64 = 1;

/// A process connects a socket, or sends its first datagram by it.
#[inline(always)]
pub(crate) fn connect(ctx: &SockAddrContext, cookie: u64) {
    let Some(caller) = Caller::within_pace(Call::Connect) else {
        return;
    };
    // SAFETY: the helper takes the context.
    let namespace = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    // SAFETY: fields of the context.
    let (family, protocol) = unsafe { ((*ctx.sock_addr).family, (*ctx.sock_addr).protocol) };
    caller.report(|event| {
        event.namespace = namespace;
        event.socket = cookie;
        event.family = family as u8;
        event.protocol = protocol as u8;
    });
}

/// A socket has been bound to an IPv4 address.
#[inline(always)]
pub(crate) fn bound4(ctx: &SockContext) {
    // SAFETY: a field of the context, in network byte order.
    let address = unsafe { (*ctx.sock).src_ip4 };
    bound(ctx, [address, 0, 0, 0]);
}

/// A socket has been bound to an IPv6 address.
#[inline(always)]
pub(crate) fn bound6(ctx: &SockContext) {
    // SAFETY: a field of the context, in network byte order. Word by word: it is no memory that could
    // be copied.
    let address = unsafe {
        let words = &raw const (*ctx.sock).src_ip6;
        let words = words.cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    };
    bound(ctx, address);
}

#[inline(always)]
fn bound(ctx: &SockContext, address: [u32; 4]) {
    let Some(caller) = Caller::within_pace(Call::Bind) else {
        return;
    };
    let socket = Socket::of(ctx);
    // SAFETY: a field of the context, in host byte order.
    let port = unsafe { (*ctx.sock).src_port };
    caller.report(|event| {
        socket.write(event);
        event.port = port as u16;
        let words = event.address.as_mut_ptr().cast::<u32>();
        // SAFETY: the field has 16 bytes and is aligned to 8 (offset 64).
        unsafe {
            words.write(address[0]);
            words.add(1).write(address[1]);
            words.add(2).write(address[2]);
            words.add(3).write(address[3]);
        }
    });
}

/// A process makes an IP socket: told when it is a raw one.
#[inline(always)]
pub(crate) fn created(ctx: &SockContext) {
    // SAFETY: fields of the context.
    let (kind, family) = unsafe { ((*ctx.sock).type_, (*ctx.sock).family) };
    if kind != RAW || (family != INET && family != INET6) {
        return;
    }
    let Some(caller) = Caller::within_pace(Call::RawSocket) else {
        return;
    };
    let socket = Socket::of(ctx);
    caller.report(|event| socket.write(event));
}

/// A process connects a Unix socket.
///
/// The context offers no path (6.18). It begins with two pointers, to the socket and to the address
/// that was copied from user space; the length of the address follows at offset 32. That is no stable
/// interface: the agent connects to a path of its own and only uses this hook when it hears that path.
#[inline(always)]
pub(crate) fn connect_unix(ctx: &SockAddrContext) {
    /// `struct bpf_sock_addr_kern` (`linux/filter.h`, since 6.7): `uaddr` and `uaddrlen`.
    const ADDRESS: usize = 8;
    const LENGTH: usize = 32;
    /// Bytes of `sun_family`, and of `sun_path`.
    const FAMILY: u32 = 2;
    const PATH: u32 = 108;
    let Some(caller) = Caller::within_pace(Call::ConnectUnix) else {
        return;
    };
    let start = ctx.as_ptr().cast::<u8>();
    let mut address = 0_u64;
    let mut length = 0_u32;
    // SAFETY: reads that may fail, into values of the sizes that are given.
    let failed = unsafe {
        bpf_probe_read_kernel((&raw mut address).cast(), 8, start.add(ADDRESS).cast())
            | bpf_probe_read_kernel((&raw mut length).cast(), 4, start.add(LENGTH).cast())
    };
    // SAFETY: the helper takes the context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: as above.
    let namespace = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    let length = if failed == 0 && length > FAMILY && length <= FAMILY + PATH {
        length - FAMILY
    } else {
        0
    };
    caller.report(|event| {
        event.namespace = namespace;
        event.socket = cookie;
        event.family = 1;
        // All of it is read, for the size must be known to the verifier; `path_length` says what is
        // meant, and the agent looks at nothing else.
        // SAFETY: a read that may fail, into a field of that size.
        let failed = unsafe {
            bpf_probe_read_kernel(
                event.path.as_mut_ptr().cast(),
                PATH,
                (address + u64::from(FAMILY)) as *const _,
            )
        };
        event.path_length = if failed == 0 { length as u8 } else { 0 };
    });
}

/// A process of a container, or of a service, has executed a program.
#[inline(always)]
pub(crate) fn executed(_ctx: &RawTracePointContext) {
    // SAFETY: no arguments.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    if cgroup_id <= ROOT_CGROUP {
        return;
    }
    if let Some(caller) = Caller::of(cgroup_id, Call::Execute) {
        caller.report(|_| {});
    }
}

/// The socket that a `cgroup_sock` program is about.
struct Socket {
    cookie: u64,
    namespace: u64,
    family: u32,
    protocol: u32,
}

impl Socket {
    #[inline(always)]
    fn of(ctx: &SockContext) -> Self {
        let sock: *mut bpf_sock = ctx.sock;
        // SAFETY: fields of the context, and helpers that take it.
        unsafe {
            Self {
                cookie: bpf_get_socket_cookie(ctx.as_ptr()),
                namespace: bpf_get_netns_cookie(ctx.as_ptr()),
                family: (*sock).family,
                protocol: (*sock).protocol,
            }
        }
    }

    #[inline(always)]
    fn write(&self, event: &mut ProcessEvent) {
        event.socket = self.cookie;
        event.namespace = self.namespace;
        event.family = self.family as u8;
        event.protocol = self.protocol as u8;
    }
}

/// Who makes a call that is to be reported.
struct Caller {
    call: Call,
    now: u64,
    pid: u32,
}

impl Caller {
    /// The calling process; `None` when it has made more calls of this kind than are reported.
    #[inline(always)]
    fn within_pace(call: Call) -> Option<Self> {
        Self::of(bpf_get_current_pid_tgid() >> 32, call)
    }

    /// The same, counted under another id.
    #[inline(always)]
    fn of(id: u64, call: Call) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        let key = PaceKey {
            id,
            call: call as u64,
        };
        match PACES.get_ptr_mut(&key) {
            Some(pace) => {
                // SAFETY: a live map value. Threads of one process may race: then some more or fewer
                // events than the limit are reported.
                let pace = unsafe { &mut *pace };
                if now.wrapping_sub(pace.since_ns) > SECOND {
                    *pace = Pace {
                        since_ns: now,
                        calls: 0,
                    };
                }
                pace.calls += 1;
                let most = if matches!(call, Call::Execute) {
                    EXECUTIONS_PER_SECOND
                } else {
                    CALLS_PER_SECOND
                };
                if pace.calls > most {
                    count(EventCounter::Limited);
                    return None;
                }
            }
            None => {
                let pace = Pace {
                    since_ns: now,
                    calls: 1,
                };
                let _ = PACES.insert(&key, &pace, 0);
            }
        }
        Some(Self {
            call,
            now,
            pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        })
    }

    /// Puts an event into the ring, and counts it.
    #[inline(always)]
    fn report(&self, fill: impl FnOnce(&mut ProcessEvent)) {
        let Some(mut entry) = PROCESS_EVENTS.reserve_untyped::<ProcessEvent>(0) else {
            count(EventCounter::RingFull);
            return;
        };
        let event = entry.as_mut_ptr();
        // SAFETY: the reservation holds an event; zeroes are a valid one.
        unsafe { core::ptr::write_bytes(event, 0, 1) };
        // SAFETY: it has just been written.
        let event = unsafe { &mut *event };
        event.version = LAYOUT_VERSION;
        event.call = self.call as u8;
        event.pid = self.pid;
        event.uid = bpf_get_current_uid_gid() as u32;
        event.timestamp_ns = self.now;
        // SAFETY: no arguments.
        event.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
        event.comm = bpf_get_current_comm().unwrap_or([0; 16]);
        fill(event);
        entry.submit(0);
        count(EventCounter::Reported);
    }
}

#[inline(always)]
fn count(counter: EventCounter) {
    if let Some(value) = PROCESS_COUNTERS.get_ptr_mut(counter as u32) {
        add(value, 1);
    }
}
