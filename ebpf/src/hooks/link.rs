//! Classifiers on the host side of a container link.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use hydrophone_common::counter::{Counter, Hook};

use super::learn_sender;
use crate::{
    capture,
    flow::Flow,
    headers::{Kind, Parsed, load, parse_ethernet},
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
    let Some(flow) = open(skb, &mut parsed) else {
        return missing(&parsed);
    };
    flow.renew(&parsed);
    // SAFETY: a field of the context.
    learn_sender(skb, flow, unsafe { (*skb).ifindex }, false);
    // SAFETY: a live map value.
    unsafe { (*flow.sending).hooks |= 1 << Hook::LinkIngress as u8 };
    capture::record(skb, Hook::LinkIngress, &parsed, flow)
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
    let Some(flow) = open(skb, &mut parsed) else {
        return missing(&parsed);
    };
    // SAFETY: fields of the context.
    let (ifindex, from) = unsafe { ((*skb).ifindex, (*skb).ingress_ifindex) };
    if parsed.kind == Kind::Keyed && !to_group(skb) {
        // SAFETY: a live map value.
        unsafe { (*flow.receiving).sender.ifindex = ifindex };
    }
    // SAFETY: the values are integers that only the agent writes.
    let covered = if from == 0 {
        None
    } else {
        unsafe { COVERED.get(from) }
    };
    // SAFETY: a live map value.
    let seen_at_ingress = unsafe { (*flow.sending).hooks } & (1 << Hook::LinkIngress as u8) != 0;
    if covered.is_some() && seen_at_ingress {
        return Counter::OtherHook;
    }
    flow.renew(&parsed);
    // A bridge or a device that is not ours says nothing about who is behind it.
    if from == 0 || covered == Some(&COVERED_LINK) {
        learn_sender(skb, flow, from, from == 0);
    }
    // SAFETY: a live map value.
    unsafe { (*flow.sending).hooks |= 1 << Hook::LinkEgress as u8 };
    capture::record(skb, Hook::LinkEgress, &parsed, flow)
}

/// Whether the frame is for a group: it reaches many links, none of which is the other end.
#[inline(always)]
fn to_group(skb: *mut __sk_buff) -> bool {
    load::<u8>(skb, 0).is_none_or(|first| first & 1 != 0)
}

/// The packet's flow; `None` when there is none to be had.
#[inline(always)]
fn open(skb: *mut __sk_buff, parsed: &mut Parsed) -> Option<Flow> {
    if parsed.kind == Kind::NotIp {
        return None;
    }
    if parsed.kind == Kind::Malformed {
        // One budget a link: who sends garbage spends only its own.
        // SAFETY: a field of the context.
        parsed.key.low[0] = u64::from(unsafe { (*skb).ifindex });
    }
    Flow::open(parsed)
}

#[inline(always)]
fn missing(parsed: &Parsed) -> Counter {
    if parsed.kind == Kind::NotIp {
        Counter::NotIp
    } else {
        Counter::FlowTableFull
    }
}
