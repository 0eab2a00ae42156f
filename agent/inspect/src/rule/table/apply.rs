//! What the keywords do that need more than a line.

use crate::{
    protocol::Buffer,
    rule::{
        PacketTest, Target, Test, Value, bytes, content, diagnostic::Fault, draft::Options,
        integer, keyword::relation, source::Span, state::State, value::alone,
    },
};

/// A content that counts from the start.
pub(super) fn absolute<'a>(
    options: &'a mut Options,
    at: Span<'_>,
) -> Result<&'a mut content::Content, Fault> {
    let content = options.content(at)?;
    if content.is_relative() {
        return Err(mixed(at));
    }
    Ok(content)
}

/// A content that counts from the previous match.
pub(super) fn following<'a>(
    options: &'a mut Options,
    at: Span<'_>,
) -> Result<&'a mut content::Content, Fault> {
    let content = options.content(at)?;
    if content.offset.is_some() || content.depth.is_some() {
        return Err(mixed(at));
    }
    Ok(content)
}

fn mixed(at: Span<'_>) -> Fault {
    Fault::new(
        at.at,
        "a content counts from the start or from the previous match, not both",
    )
}

pub(super) fn fast_pattern(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let twice = options
        .groups
        .iter()
        .flat_map(|group| &group.tests)
        .any(|test| test.content().is_some_and(|content| content.fast_pattern));
    if twice {
        return Err(Fault::new(value.at, "a rule has one fast_pattern"));
    }
    let content = options.content(value)?;
    if content.negated {
        // Only one that is free to be anywhere says something when it is found nowhere.
        return Err(Fault::new(
            value.at,
            "a negated content cannot be the fast_pattern",
        ));
    }
    content.fast_pattern = true;
    if value.text.is_empty() || value.text == "only" {
        return Ok(());
    }
    let chop = value.text.split_once(',').and_then(|(offset, length)| {
        Some((
            offset.trim().parse::<u16>().ok()?,
            length.trim().parse::<u16>().ok()?,
        ))
    });
    let inside = chop.filter(|(offset, length)| {
        *length > 0 && usize::from(*offset) + usize::from(*length) <= content.pattern.len()
    });
    content.chop = inside;
    if inside.is_none() {
        return Err(Fault::new(
            value.at,
            "fast_pattern takes nothing, `only`, or OFFSET,LENGTH inside the content",
        ));
    }
    Ok(())
}

pub(super) fn is_data_at(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let (negated, rest) = match value.text.strip_prefix('!') {
        Some(_) => (true, value.slice(1, value.text.len())),
        None => (false, value),
    };
    let mut parts = rest.split(',').map(Span::trim);
    let position = parts
        .next()
        .ok_or_else(|| Fault::new(value.at, "isdataat:[!]POSITION[,relative]"))?;
    let position = bytes::value(position, &options.variables)?;
    let mut relative = false;
    for part in parts {
        match part.text {
            "relative" => relative = true,
            "rawbytes" => {}
            _ => return Err(Fault::new(part.at, "unknown setting").hint("relative")),
        }
    }
    let test = Test::IsDataAt {
        negated,
        position,
        relative,
    };
    options.test(test, relative, value)
}

pub(super) fn base64_decode(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let (mut bytes, mut offset, mut relative) = (None, 0, false);
    for part in value
        .split(',')
        .map(Span::trim)
        .filter(|part| !part.text.is_empty())
    {
        let (name, argument) = part
            .text
            .split_once(char::is_whitespace)
            .unwrap_or((part.text, ""));
        let number = || {
            argument
                .trim()
                .parse()
                .map_err(|_| Fault::new(part.at, "a number is missing"))
        };
        match name {
            "relative" => relative = true,
            "bytes" => bytes = Some(number()?),
            "offset" => offset = number()?,
            _ => {
                return Err(
                    Fault::new(part.at, "unknown setting").hint("bytes N, offset N, relative")
                );
            }
        }
    }
    let test = Test::Base64Decode {
        bytes,
        offset,
        relative,
    };
    options.test(test, relative, value)
}

pub(super) fn modifier(
    options: &mut Options,
    buffer: Buffer,
    value: Span<'_>,
) -> Result<(), Fault> {
    alone(value)?;
    options.modify(Target::Transaction(buffer), value)
}

pub(super) fn packet(options: &mut Options, test: Result<PacketTest, Fault>) -> Result<(), Fault> {
    options.packet.push(test?);
    Ok(())
}

pub(super) fn checksum(of: &'static str, value: Span<'_>) -> Result<PacketTest, Fault> {
    match value.text.trim_matches('"') {
        "valid" => Ok(PacketTest::Checksum(of, true)),
        "invalid" => Ok(PacketTest::Checksum(of, false)),
        _ => Err(Fault::new(value.at, "valid or invalid")),
    }
}

pub(super) fn remember(options: &mut Options, state: Result<State, Fault>) -> Result<(), Fault> {
    match state? {
        State::Test(test) => options.states.push(test),
        State::Change(change) => options.changes.push(change),
        State::NoAlert => options.noalert = true,
    }
    Ok(())
}

/// `UUID[,OPERATOR VERSION][,any_frag]`, against the text `uuid|version`, with a space before it when no
/// first fragment offered the interface.
pub(super) fn interface(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let mut parts = value.split(',').map(Span::trim);
    let uuid = parts.next().unwrap_or(value);
    let hex = uuid
        .text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if uuid.text.len() != 36 || !hex {
        return Err(Fault::new(uuid.at, "an interface is named by its UUID"));
    }
    let mut pattern = uuid.text.to_ascii_lowercase().into_bytes();
    pattern.push(b'|');
    let length = i64::try_from(pattern.len()).unwrap_or(i64::MAX);
    let at = options.group(Target::Transaction(Buffer::DcerpcInterface));
    let any_fragment = value.text.split(',').any(|part| part.trim() == "any_frag");
    let content = content::Content {
        nocase: true,
        startswith: !any_fragment,
        offset: Some(Value::Number(0)),
        depth: Some(Value::Number(length + i64::from(any_fragment))),
        ..content::Content::new(pattern)
    };
    options.add(at, Test::Content(content), value)?;
    for part in parts.filter(|part| part.text != "any_frag") {
        let test = integer::parse(part, &|_| None)?;
        options.add(at, Test::DecimalRest(test), value)?;
    }
    Ok(())
}

pub(super) fn related(options: &mut Options, name: &str, value: Span<'_>) -> Result<(), Fault> {
    let wanted = relation(name, value)?;
    options.identity.push(wanted);
    Ok(())
}
