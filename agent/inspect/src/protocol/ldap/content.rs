//! What rules look at in the operations (RFC 4511, section 4).

use super::super::ber::{ENUMERATED, Elements, INTEGER, OCTETS, SEQUENCE, SET, unsigned};
use super::{Buffer, Field, Message};
use crate::flow::Direction;
use crate::protocol::Transaction;

const BIND: u8 = 0;
const SEARCH: u8 = 3;
const ENTRY: u8 = 4;
const MODIFY: u8 = 6;
const ADD: u8 = 8;
const DELETE: u8 = 10;
const MODIFY_DN: u8 = 12;
const COMPARE: u8 = 14;
/// Responses that are an LDAPResult.
const RESULTS: &[u8] = &[1, 5, 7, 9, 11, 13, 15, 24];

/// Where the attributes of one side go.
struct Attributes<'t> {
    transaction: &'t mut Transaction,
    direction: Direction,
    types: Buffer,
    pairs: Buffer,
    /// `TYPE=VALUE`, one after another.
    pair: Vec<u8>,
}

impl Attributes<'_> {
    fn name(&mut self, name: &[u8]) {
        self.transaction.push(self.direction, self.types, name);
    }

    fn pair(&mut self, name: &[u8], value: &[u8]) {
        self.pair.clear();
        self.pair.extend_from_slice(name);
        self.pair.push(b'=');
        self.pair.extend_from_slice(value);
        self.transaction
            .push(self.direction, self.pairs, &self.pair);
    }

    /// A type and the set of its values.
    fn attribute(&mut self, content: &[u8]) -> Option<()> {
        let mut parts = Elements(content);
        let name = parts.content(OCTETS)?;
        self.name(name);
        for (_, value) in Elements(parts.content(SET)?) {
            self.pair(name, value);
        }
        Some(())
    }
}

/// Pushes what a request is about.
pub(super) fn request(message: &Message<'_>, transaction: &mut Transaction) -> Option<()> {
    let direction = Direction::ToServer;
    let mut parts = Elements(message.content);
    let name = match message.operation {
        BIND => {
            parts.content(INTEGER)?;
            parts.content(OCTETS)?
        }
        DELETE => message.content,
        SEARCH | MODIFY | ADD | MODIFY_DN | COMPARE => parts.content(OCTETS)?,
        _ => return None,
    };
    transaction.push(direction, Buffer::LdapRequestDn, name);
    let mut out = Attributes {
        transaction,
        direction,
        types: Buffer::LdapRequestAttributeType,
        pairs: Buffer::LdapRequestAttributes,
        pair: Vec::new(),
    };
    match message.operation {
        SEARCH => {
            // Scope, aliases, both limits, types only, filter.
            for (_, name) in Elements(parts.nth(6)?.1) {
                out.name(name);
            }
        }
        MODIFY => {
            for (_, change) in Elements(parts.content(SEQUENCE)?) {
                let mut change = Elements(change);
                change.content(ENUMERATED)?;
                out.attribute(change.content(SEQUENCE)?)?;
            }
        }
        ADD => {
            for (_, attribute) in Elements(parts.content(SEQUENCE)?) {
                out.attribute(attribute)?;
            }
        }
        COMPARE => {
            let mut assertion = Elements(parts.content(SEQUENCE)?);
            let name = assertion.content(OCTETS)?;
            out.name(name);
            out.pair(name, assertion.content(OCTETS)?);
        }
        _ => {}
    }
    Some(())
}

/// Pushes what a response says. What it does not have is pushed as empty, so that positions are
/// those of the responses.
pub(super) fn response(message: &Message<'_>, transaction: &mut Transaction) {
    let direction = Direction::ToClient;
    let mut parts = Elements(message.content);
    let (mut code, mut name, mut text): (_, &[u8], &[u8]) = (Field::NONE, &[], &[]);
    if RESULTS.contains(&message.operation) {
        code = parts
            .content(ENUMERATED)
            .and_then(unsigned)
            .unwrap_or(Field::NONE);
        name = parts.content(OCTETS).unwrap_or_default();
        text = parts.content(OCTETS).unwrap_or_default();
    } else if message.operation == ENTRY {
        name = parts.content(OCTETS).unwrap_or_default();
    }
    transaction.number(direction, Field::LdapResponsesResultCode, code);
    transaction.push(direction, Buffer::LdapResponsesDn, name);
    transaction.push(direction, Buffer::LdapResponsesMessage, text);
    if message.operation == ENTRY {
        let mut out = Attributes {
            transaction,
            direction,
            types: Buffer::LdapResponsesAttributeType,
            pairs: Buffer::LdapResponsesAttributes,
            pair: Vec::new(),
        };
        let attributes = parts.content(SEQUENCE).unwrap_or_default();
        for (_, attribute) in Elements(attributes) {
            if out.attribute(attribute).is_none() {
                break;
            }
        }
    }
}
