//! Classifiers on the host side of a container link.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use hydrophone_common::{
    counter::{Counter, Hook},
    flow::Direction,
};

use super::{ROOT_CGROUP, learn_sender};
use crate::{
    capture, flow,
    headers::{Kind, Parsed, parse_ethernet},
    maps::{COVERED, COVERED_LINK},
    outcome::account,
};

/// The container sends: always inspected, whatever has been seen of the flow before.
#[inline(always)]
pub(crate) fn ingress(ctx: &TcContext) {
    let skb = ctx.skb.skb;
    account(Hook::LinkIngress, inspect_ingress(skb));
}

#[inline(always)]
fn inspect_ingress(skb: *mut __sk_buff) -> Counter {
    let mut parsed = parse_ethernet(skb);
    let Some((sending, receiving)) = directions(skb, &mut parsed) else {
        return missing(&parsed);
    };
    // SAFETY: a field of the context.
    let ifindex = unsafe { (*skb).ifindex };
    // SAFETY: a live map value.
    unsafe {
        (*sending).sender.ifindex = ifindex;
        (*sending).hooks |= 1 << Hook::LinkIngress as u8;
    }
    learn_sender(skb, sending);
    // What the container's kernel sends by itself (RST, ACK in TIME_WAIT) carries the root's id.
    // SAFETY: a live map value.
    unsafe {
        if (*sending).sender.cgroup_id == ROOT_CGROUP {
            (*sending).sender.cgroup_id = 0;
        }
    }
    capture::record(skb, Hook::LinkIngress, &parsed, sending, receiving)
}

/// The container receives: inspected unless a link ingress has inspected this direction of the flow
/// and the packet came in over a covered link.
#[inline(always)]
pub(crate) fn egress(ctx: &TcContext) {
    let skb = ctx.skb.skb;
    account(Hook::LinkEgress, inspect_egress(skb));
}

#[inline(always)]
fn inspect_egress(skb: *mut __sk_buff) -> Counter {
    let mut parsed = parse_ethernet(skb);
    let Some((sending, receiving)) = directions(skb, &mut parsed) else {
        return missing(&parsed);
    };
    // SAFETY: fields of the context.
    let (ifindex, from) = unsafe { ((*skb).ifindex, (*skb).ingress_ifindex) };
    // A broadcast or multicast frame reaches many links: none of them is the other end.
    if parsed.kind == Kind::Keyed {
        // SAFETY: a live map value.
        unsafe {
            if (*receiving).sender.ifindex == 0 {
                (*receiving).sender.ifindex = ifindex;
            }
        }
    }
    // SAFETY: the values are integers that only the agent writes.
    let covered = from != 0 && unsafe { COVERED.get(from) }.is_some();
    // SAFETY: a live map value.
    let seen_at_ingress = unsafe { (*sending).hooks } & (1 << Hook::LinkIngress as u8) != 0;
    if covered && seen_at_ingress {
        return Counter::OtherHook;
    }
    // SAFETY: a live map value.
    unsafe { (*sending).hooks |= 1 << Hook::LinkEgress as u8 };
    if from == 0 {
        learn_sender(skb, sending);
    } else if is_link(from) {
        // SAFETY: a live map value.
        unsafe { (*sending).sender.ifindex = from };
    }
    capture::record(skb, Hook::LinkEgress, &parsed, sending, receiving)
}

#[inline(always)]
fn is_link(ifindex: u32) -> bool {
    // SAFETY: the values are integers that only the agent writes.
    unsafe { COVERED.get(ifindex) }.is_some_and(|kind| *kind == COVERED_LINK)
}

/// The flow's directions; `None` when there is no flow to be had.
#[inline(always)]
fn directions(
    skb: *mut __sk_buff,
    parsed: &mut Parsed,
) -> Option<(*mut Direction, *mut Direction)> {
    if parsed.kind == Kind::NotIp {
        return None;
    }
    if parsed.kind == Kind::Malformed {
        // One budget a link: who sends garbage spends only its own.
        // SAFETY: a field of the context.
        parsed.key.low_port = unsafe { (*skb).ifindex } as u16;
    }
    flow::entry(&parsed.key).map(|state| flow::split(state, parsed.direction))
}

#[inline(always)]
fn missing(parsed: &Parsed) -> Counter {
    if parsed.kind == Kind::NotIp {
        Counter::NotIp
    } else {
        Counter::FlowTableFull
    }
}
