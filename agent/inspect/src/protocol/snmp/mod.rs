//! SNMP (RFC 1157, RFC 3416, RFC 3412). Each datagram is a transaction of its own, over at once.

use super::ber::{self, Elements, INTEGER, OCTETS, SEQUENCE};
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// Events that are raised.
pub const EVENTS: &[&str] = &[
    "snmp.malformed_data",
    "snmp.version_mismatch",
    "snmp.unknown_security_model",
];

/// The security model whose parameters are read (RFC 3414).
const USER_BASED: u64 = 3;

/// Whether a datagram is SNMP.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    match Elements(data).content(SEQUENCE).and_then(version) {
        Some((1..=3, _)) => Probe::Yes,
        _ => Probe::No,
    }
}

/// The version by its usual name, and what follows.
fn version(message: &[u8]) -> Option<(u64, Elements<'_>)> {
    let mut parts = Elements(message);
    let version = match ber::unsigned(parts.content(INTEGER)?)? {
        number @ 0..=1 => number + 1,
        number => number,
    };
    Some((version, parts))
}

/// Follows one flow of datagrams.
#[derive(Debug, Default)]
pub struct Snmp {
    version: Option<u64>,
}

impl Snmp {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn message(&mut self, direction: Direction, data: &[u8], out: &mut Transaction) -> Option<()> {
        let (version, mut parts) = version(Elements(data).content(SEQUENCE)?)?;
        out.number(direction, Field::SnmpVersion, version);
        if *self.version.get_or_insert(version) != version {
            out.event(direction, "snmp.version_mismatch");
        }
        if version != 3 {
            out.push(direction, Buffer::SnmpCommunity, parts.content(OCTETS)?);
            return kind(direction, &mut parts, out);
        }
        // RFC 3412, 6: identifier, size, flags, security model.
        let model = Elements(parts.content(SEQUENCE)?).nth(3);
        if model.and_then(|(_, model)| ber::unsigned(model)) != Some(USER_BASED) {
            out.event(direction, "snmp.unknown_security_model");
        }
        // RFC 3414, 2.4: engine, boots, time, user.
        let security = Elements(parts.content(OCTETS)?).content(SEQUENCE)?;
        let user = Elements(security).nth(3).filter(|it| it.0 == OCTETS)?;
        out.push(direction, Buffer::SnmpUsm, user.1);
        match parts.next()? {
            (SEQUENCE, scoped) => {
                let mut scoped = Elements(scoped);
                scoped.content(OCTETS)?;
                scoped.content(OCTETS)?;
                kind(direction, &mut scoped, out)
            }
            // Encrypted.
            (OCTETS, _) => Some(()),
            _ => None,
        }
    }
}

fn kind(direction: Direction, parts: &mut Elements<'_>, out: &mut Transaction) -> Option<()> {
    let (tag, _) = parts.next()?;
    if tag & 0xe0 != 0xa0 {
        return None;
    }
    out.number(direction, Field::SnmpPduType, u64::from(tag & 0x1f));
    Some(())
}

impl Parser for Snmp {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        out.frames.push(direction, Buffer::FrameSnmpPdu, data);
        let id = out.begin();
        if let Some(transaction) = out.get(id) {
            if self.message(direction, data, transaction).is_none() {
                transaction.event(direction, "snmp.malformed_data");
            }
            transaction.advance(Direction::ToServer, Stage::Complete);
            transaction.advance(Direction::ToClient, Stage::Complete);
        }
        Status::Ok
    }

    fn gap(&mut self, _direction: Direction, _length: u64, _out: &mut Transactions) -> Status {
        Status::Ok
    }

    fn end(&mut self, _direction: Direction, _out: &mut Transactions) {}

    fn footprint(&self) -> usize {
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Limits;

    #[test]
    fn community_and_kind_are_found() {
        let get_next = b"\x30\x0d\x02\x01\x01\x04\x06public\xa1\x00";
        assert_eq!(probe(Direction::ToServer, get_next), Probe::Yes);
        let mut out = Transactions::new(Limits::default());
        Snmp::new().data(Direction::ToServer, get_next, &mut out);
        let transaction = out.last().unwrap();
        let community = transaction.first(Direction::ToServer, Buffer::SnmpCommunity);
        assert_eq!(community, Some(&b"public"[..]));
        assert_eq!(
            transaction.numbers(),
            [
                (Direction::ToServer, Field::SnmpVersion, 2),
                (Direction::ToServer, Field::SnmpPduType, 1)
            ]
        );
        assert!(transaction.events().is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Transactions::new(Limits::default());
            let framed = [b"\x30\x70\x02\x01\x03".as_slice(), &data].concat();
            for datagram in [&data, &framed] {
                let _ = probe(Direction::ToServer, datagram);
                Snmp::new().data(Direction::ToServer, datagram, &mut out);
            }
        }
    }
}
