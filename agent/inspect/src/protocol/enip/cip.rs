//! What messages carry: identities, services, and calls of the Common Industrial Protocol.

use crate::{
    flow::Direction,
    protocol::{Buffer, Field, Transaction, Transactions, read::Reader},
};

const LIST_SERVICES: u16 = 0x04;
const LIST_IDENTITY: u16 = 0x63;
const REGISTER_SESSION: u16 = 0x65;
const SEND_REQUEST: u16 = 0x6f;
const SEND_UNIT: u16 = 0x70;

/// Kinds of items of the common packet format.
const IDENTITY: u16 = 0x0c;
const CONNECTED: u16 = 0xb1;
const UNCONNECTED: u16 = 0xb2;
const SERVICES: u16 = 0x100;

const GET_ATTRIBUTE_LIST: u8 = 0x03;
const MULTIPLE: u8 = 0x0a;
/// Set in the service of a reply.
const REPLY: u8 = 0x80;

/// Items of one message, calls of one packet, and attributes of one call.
const MAX_PARTS: u16 = 64;
/// The fields of the service and of the class in one number, before the attribute.
pub(crate) const SERVICE_SHIFT: u32 = 32;
/// The same of the class.
pub(crate) const CLASS_SHIFT: u32 = 16;

/// A piece of a message that is a frame of its own.
type Piece<'a> = (Buffer, &'a [u8]);

/// Pushes what a message has behind its header; `None` when it does not have its form.
pub(super) fn push(
    command: u16,
    body: &[u8],
    direction: Direction,
    id: u64,
    out: &mut Transactions,
) -> Option<()> {
    let mut pieces = Vec::new();
    let transaction = out.get(id)?;
    let read = match command {
        REGISTER_SESSION => number(
            &mut Reader::little(body),
            2,
            direction,
            Field::EnipProtocolVersion,
            transaction,
        ),
        // What asks for a list has no body.
        LIST_IDENTITY | LIST_SERVICES if body.is_empty() => Some(()),
        LIST_IDENTITY | LIST_SERVICES => items(body, direction, transaction, &mut pieces),
        SEND_REQUEST | SEND_UNIT => {
            // The handle of the interface, and a timeout.
            let packet = body.get(6..);
            packet.and_then(|packet| items(packet, direction, transaction, &mut pieces))
        }
        _ => Some(()),
    };
    for (frame, bytes) in pieces {
        out.frames.push(direction, frame, bytes);
    }
    read
}

fn items<'a>(
    packet: &'a [u8],
    direction: Direction,
    transaction: &mut Transaction,
    pieces: &mut Vec<Piece<'a>>,
) -> Option<()> {
    let mut reader = Reader::little(packet);
    let count = reader.u16()?;
    for _ in 0..count.min(MAX_PARTS) {
        let whole = reader.rest();
        let kind = reader.u16()?;
        let content = reader.sized16()?;
        pieces.push((Buffer::FrameEnipItem, whole.get(..content.len() + 4)?));
        let mut content = Reader::little(content);
        match kind {
            IDENTITY => identity(&mut content, direction, transaction)?,
            SERVICES => services(&mut content, direction, transaction)?,
            CONNECTED | UNCONNECTED => {
                if kind == CONNECTED {
                    content.skip(2)?;
                }
                pieces.push((Buffer::FrameEnipCip, content.rest()));
                call(content.rest(), direction, transaction, true)?;
            }
            _ => {}
        }
    }
    Some(())
}

/// The next number of so many bytes.
fn number(
    reader: &mut Reader<'_>,
    bytes: usize,
    direction: Direction,
    field: Field,
    transaction: &mut Transaction,
) -> Option<()> {
    let value = match bytes {
        1 => reader.u8()?.into(),
        2 => reader.u16()?.into(),
        _ => reader.u32()?,
    };
    transaction.number(direction, field, value.into());
    Some(())
}

fn identity(
    reader: &mut Reader<'_>,
    direction: Direction,
    transaction: &mut Transaction,
) -> Option<()> {
    let mut next = |reader: &mut Reader<'_>, bytes, field| {
        number(reader, bytes, direction, field, transaction)
    };
    next(reader, 2, Field::EnipProtocolVersion)?;
    // The address.
    reader.skip(16)?;
    next(reader, 2, Field::EnipVendor)?;
    next(reader, 2, Field::EnipDeviceType)?;
    next(reader, 2, Field::EnipProductCode)?;
    next(reader, 2, Field::EnipRevision)?;
    next(reader, 2, Field::EnipIdentityStatus)?;
    next(reader, 4, Field::EnipSerial)?;
    let name = reader.sized8()?;
    next(reader, 1, Field::EnipState)?;
    transaction.push(direction, Buffer::EnipProductName, name);
    Some(())
}

fn services(
    reader: &mut Reader<'_>,
    direction: Direction,
    transaction: &mut Transaction,
) -> Option<()> {
    number(
        reader,
        2,
        direction,
        Field::EnipProtocolVersion,
        transaction,
    )?;
    number(reader, 2, direction, Field::EnipCapabilities, transaction)?;
    let name = reader.rest();
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    transaction.push(direction, Buffer::EnipServiceName, name.get(..end)?);
    Some(())
}

/// A request or a reply, and those that it carries.
fn call(
    bytes: &[u8],
    direction: Direction,
    transaction: &mut Transaction,
    outermost: bool,
) -> Option<()> {
    let mut reader = Reader::little(bytes);
    let first = reader.u8()?;
    let service = first & !REPLY;
    let base = u64::from(service) << SERVICE_SHIFT;
    if first & REPLY != 0 {
        reader.skip(1)?;
        number(&mut reader, 1, direction, Field::EnipCipStatus, transaction)?;
        // In words.
        let extended = reader.u8()?;
        if extended > 0 {
            let field = Field::EnipCipExtendedStatus;
            number(&mut reader, 2, direction, field, transaction)?;
            reader.skip((usize::from(extended) - 1) * 2)?;
        }
        transaction.number(direction, Field::EnipCipService, base);
    } else {
        let words = reader.u8()?;
        let path = reader.take(usize::from(words) * 2)?;
        let (class, mut attributes) = route(path, direction, transaction)?;
        if service == GET_ATTRIBUTE_LIST {
            let mut list = reader;
            let count = list.u16()?;
            for _ in 0..count.min(MAX_PARTS) {
                let attribute = list.u16()?;
                transaction.number(direction, Field::EnipCipAttribute, attribute.into());
                attributes.push(attribute);
            }
        }
        let base = base | u64::from(class) << CLASS_SHIFT;
        if attributes.is_empty() {
            transaction.number(direction, Field::EnipCipService, base);
        }
        for attribute in attributes {
            let all = base | u64::from(attribute);
            transaction.number(direction, Field::EnipCipService, all);
        }
    }
    if service == MULTIPLE && outermost {
        let packet = reader.rest();
        let count = reader.u16()?;
        for _ in 0..count.min(MAX_PARTS) {
            let offset = reader.u16()?;
            call(packet.get(offset.into()..)?, direction, transaction, false)?;
        }
    }
    Some(())
}

/// The class of a path, and its attributes.
fn route(
    path: &[u8],
    direction: Direction,
    transaction: &mut Transaction,
) -> Option<(u16, Vec<u16>)> {
    let (mut class, mut attributes) = (0, Vec::new());
    let mut reader = Reader::little(path);
    while let Some(kind) = reader.u8() {
        let value = if kind & 1 == 0 {
            reader.u8()?.into()
        } else {
            reader.skip(1)?;
            reader.u16()?
        };
        let field = match kind & !1 {
            0x20 => {
                class = value;
                Field::EnipCipClass
            }
            0x24 => Field::EnipCipInstance,
            0x30 => {
                attributes.push(value);
                Field::EnipCipAttribute
            }
            // Other segments have other lengths.
            _ => return None,
        };
        transaction.number(direction, field, value.into());
    }
    Some((class, attributes))
}
