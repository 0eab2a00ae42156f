//! What a process did with a socket, as it crosses the ring of process events: one fixed layout.

use crate::LAYOUT_VERSION;

/// What happened.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `connect` or a first `sendto` of an IP socket.
    Connect = 0,
    /// A successful `bind` of an IP socket.
    Bind = 1,
    /// `socket` of type `SOCK_RAW` for IPv4 or IPv6.
    RawSocket = 2,
    /// `connect` of a Unix socket.
    ConnectUnix = 3,
    /// A program was executed.
    Execute = 4,
}

impl Call {
    /// All calls, in order.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Bind,
        Self::RawSocket,
        Self::ConnectUnix,
        Self::Execute,
    ];

    /// The call with this number.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Connect),
            1 => Some(Self::Bind),
            2 => Some(Self::RawSocket),
            3 => Some(Self::ConnectUnix),
            4 => Some(Self::Execute),
            _ => None,
        }
    }
}

/// Bytes of `sun_path` (`unix(7)`), and four so that what follows is aligned.
pub const PATH_ROOM: usize = 112;

/// One event. Integers in host byte order; 0 is "not known" or "not meant".
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessEvent {
    /// [`LAYOUT_VERSION`] of the writer.
    pub version: u16,
    /// [`Call`] as integer.
    pub call: u8,
    /// Address family of the socket (`AF_…`).
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Bytes of `path` that are meant.
    pub path_length: u8,
    /// Local port of a `bind`, in host byte order.
    pub port: u16,
    /// Thread group id in the host's namespace.
    pub pid: u32,
    /// User id in the host's namespace.
    pub uid: u32,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub timestamp_ns: u64,
    /// cgroup2 id of the process.
    pub cgroup_id: u64,
    /// Cookie of the socket's network namespace.
    pub namespace: u64,
    /// Cookie of the socket.
    pub socket: u64,
    /// Name of the calling thread, NUL-padded.
    pub comm: [u8; 16],
    /// Local address of a `bind`, in network byte order; of IPv4 the first four bytes.
    pub address: [u8; 16],
    /// `sun_path` of a `connect` to a Unix socket: begins with NUL when it is abstract.
    pub path: [u8; PATH_ROOM],
}

/// Bytes of an event.
pub const EVENT_LENGTH: usize = size_of::<ProcessEvent>();

const _: () = assert!(EVENT_LENGTH == 192);

impl ProcessEvent {
    /// Reads an event as it came from the ring; `None` when no kernel object of this layout can have
    /// written it.
    #[must_use]
    pub fn decode(raw: &[u8]) -> Option<(Call, Self)> {
        let mut rest = raw;
        let event = Self {
            version: u16::from_ne_bytes(take(&mut rest)?),
            call: u8::from_ne_bytes(take(&mut rest)?),
            family: u8::from_ne_bytes(take(&mut rest)?),
            protocol: u8::from_ne_bytes(take(&mut rest)?),
            path_length: u8::from_ne_bytes(take(&mut rest)?),
            port: u16::from_ne_bytes(take(&mut rest)?),
            pid: u32::from_ne_bytes(take(&mut rest)?),
            uid: u32::from_ne_bytes(take(&mut rest)?),
            timestamp_ns: u64::from_ne_bytes(take(&mut rest)?),
            cgroup_id: u64::from_ne_bytes(take(&mut rest)?),
            namespace: u64::from_ne_bytes(take(&mut rest)?),
            socket: u64::from_ne_bytes(take(&mut rest)?),
            comm: take(&mut rest)?,
            address: take(&mut rest)?,
            path: take(&mut rest)?,
        };
        let call = Call::from_u8(event.call)?;
        (event.version == LAYOUT_VERSION).then_some((call, event))
    }

    /// The path that a `connect` named, without what follows it.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let room = &self.path;
        room.get(..self.path_length.into()).unwrap_or(room)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*field)
}

/// What became of an event. The value is its place in the map of counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventCounter {
    /// It is in the ring.
    Reported = 0,
    /// The process has made more calls of this kind in one second than are reported.
    Limited = 1,
    /// The ring had no room.
    RingFull = 2,
}

impl EventCounter {
    /// All counters, in order.
    pub const ALL: [Self; 3] = [Self::Reported, Self::Limited, Self::RingFull];

    /// Name in the `stats` event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "events",
            Self::Limited => "events_limited",
            Self::RingFull => "events_lost",
        }
    }
}

/// Calls of one kind that are reported of one process in one second.
pub const CALLS_PER_SECOND: u64 = 64;
/// Executions that are reported of one cgroup in one second.
pub const EXECUTIONS_PER_SECOND: u64 = 256;

/// Whose calls are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceKey {
    /// Thread group id; of [`Call::Execute`] the cgroup id.
    pub id: u64,
    /// [`Call`] as integer.
    pub call: u64,
}

/// Calls within the second that began at `since_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub since_ns: u64,
    /// Calls since then.
    pub calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_numbers() {
        for (number, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, number);
            assert_eq!(Call::from_u8(call as u8), Some(call));
        }
        assert_eq!(Call::from_u8(5), None);
    }

    #[test]
    fn what_no_kernel_object_writes_is_refused() {
        let mut raw = [0; EVENT_LENGTH];
        raw[..2].copy_from_slice(&LAYOUT_VERSION.to_ne_bytes());
        raw[5] = 200;
        let (call, event) = ProcessEvent::decode(&raw).unwrap();
        assert_eq!(call, Call::Connect);
        assert_eq!(event.path().len(), PATH_ROOM, "a length beyond the room");
        for length in 0..EVENT_LENGTH {
            assert_eq!(ProcessEvent::decode(&raw[..length]), None);
        }
        raw[2] = 9;
        assert_eq!(ProcessEvent::decode(&raw), None);
        raw[2] = 0;
        raw[0] ^= 0x80;
        assert_eq!(ProcessEvent::decode(&raw), None);
    }
}
