//! The clsact qdisc of a link, where classifiers are filters (kernels without tcx).

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcHandle, TcMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

const CLSACT: TcHandle = TcHandle::CLSACT;
/// `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS` of it (`linux/pkt_sched.h`).
const HOOKS: [u16; 2] = [0xfff2, 0xfff3];

/// `NLMSG_ERROR`, also an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// `RTM_NEWTFILTER`.
const NEW_FILTER: u16 = 44;
/// Length of a netlink message's header.
const HEADER: usize = 16;

/// Removes the clsact qdisc of a link unless somebody has a filter on it.
///
/// # Errors
/// When netlink fails; the qdisc stays then, and is inert.
pub(super) fn remove_if_unused(ifindex: u32) -> io::Result<()> {
    let index = i32::try_from(ifindex).map_err(io::Error::other)?;
    let message = |handle, parent| {
        let mut message = TcMessage::with_index(index);
        message.header.handle = handle;
        message.header.parent = parent;
        message
    };
    for hook in HOOKS {
        let parent = TcHandle {
            major: CLSACT.major,
            minor: hook,
        };
        let request = message(TcHandle::default(), parent);
        let request = RouteNetlinkMessage::GetTrafficFilter(request);
        if ask(request, NLM_F_DUMP)?.contains(&NEW_FILTER) {
            return Ok(());
        }
    }
    let handle = TcHandle {
        major: CLSACT.major,
        minor: 0,
    };
    let request = RouteNetlinkMessage::DelQueueDiscipline(message(handle, CLSACT));
    ask(request, NLM_F_ACK).map(drop)
}

/// Sends a request and returns the types of the messages that answer it. What they say is not parsed:
/// the filters are other people's, of kinds that we need not know.
fn ask(request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<u16>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    request.header.flags = NLM_F_REQUEST | flags;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut types = Vec::new();
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            match message.message_type() {
                DONE => return Ok(types),
                ERROR => {
                    let code = message.payload().first_chunk().copied().unwrap_or_default();
                    return match i32::from_ne_bytes(code) {
                        0 => Ok(types),
                        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    };
                }
                kind => types.push(kind),
            }
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            // Messages are aligned to 4 bytes.
            let step = length.max(HEADER).saturating_add(3) & !3;
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}
