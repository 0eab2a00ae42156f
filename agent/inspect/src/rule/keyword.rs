//! Options: from `keyword:value;` to a typed rule.
//!
//! A keyword is looked up in one table, then among the buffers, numbers and transforms, whose names
//! their own modules know.

use super::{
    dataset::Files,
    diagnostic::Fault,
    draft::Options,
    header::Protocol,
    header_buffer::HeaderBuffer,
    identity::{IdentityBuffer, IdentityFlag},
    number,
    packet::{self, PacketTest},
    source::Span,
    table,
    test::{Target, Test},
    transform,
};
use crate::protocol::{AppProtocol, Buffer, Field};

/// Applies all options of a rule. All faults are reported.
pub(super) fn parse(
    span: Span<'_>,
    application: Option<AppProtocol>,
    files: &mut Files<'_>,
    faults: &mut Vec<Fault>,
) -> Options {
    let mut options = Options::new(application);
    for option in split(span) {
        let (name, value) = match option.split_once(':') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => (option, option.slice(option.text.len(), option.text.len())),
        };
        options.places.push((name.text.to_owned(), name.at));
        if let Err(fault) = apply(&mut options, name, value, files) {
            faults.push(fault.keyword(name.text));
        }
    }
    options
}

fn apply(
    options: &mut Options,
    name: Span<'_>,
    value: Span<'_>,
    files: &mut Files<'_>,
) -> Result<(), Fault> {
    if let Some((_, apply)) = table::KEYWORDS
        .iter()
        .find(|(known, _)| *known == name.text)
    {
        return apply(options, value);
    }
    if let Some(result) = buffer(options, name.text, value) {
        return result;
    }
    if let Some(field) = Field::of_name(name.text) {
        options.numbers.push(number::parse(field, value)?);
        return Ok(());
    }
    if let Some(test) = packet::number(name.text, value) {
        options.packet.push(test?);
        return Ok(());
    }
    if let Some(transform) = transform::parse(name.text, value) {
        let transform = transform?;
        return options
            .transform(transform)
            .ok_or_else(|| Fault::new(name.at, "a transform needs a sticky buffer before it"));
    }
    match name.text {
        "dataset" => {
            let test = files.datasets.dataset(value, files.load)?;
            options.test(Test::Dataset(test), false, value)
        }
        "iprep" => {
            let test = files.reputations.test(value)?;
            options.packet.push(PacketTest::Reputation(test));
            Ok(())
        }
        "datarep" => {
            let test = files.datasets.reputation(value, files.load)?;
            options.test(Test::Dataset(test), false, value)
        }
        "filemd5" | "filesha1" | "filesha256" => {
            let buffer = match name.text {
                "filemd5" => Buffer::FileMd5,
                "filesha1" => Buffer::FileSha1,
                _ => Buffer::FileSha256,
            };
            let test = files.datasets.digests(value, files.load)?;
            let at = options.group(Target::Transaction(buffer));
            options.add(at, Test::Dataset(test), value)
        }
        _ => Err(unknown(name)),
    }
}

/// Makes the buffer of this name current; `None` when there is none. Some take a content at once.
fn buffer(options: &mut Options, name: &str, value: Span<'_>) -> Option<Result<(), Fault>> {
    // Few names are of a number as well: that is what stands behind a colon.
    let number = Field::of_name(name).is_some() && !value.text.is_empty();
    let target = if let Some(buffer) = Buffer::of_name(name).filter(|_| !number) {
        Target::Transaction(buffer)
    } else if let Some(header) = HeaderBuffer::of_name(name) {
        Target::Header(header)
    } else {
        Target::Identity(IdentityBuffer::of_name(name)?)
    };
    if value.text.starts_with(['"', '!']) {
        let at = options.group(target);
        let content = super::content::parse(value);
        return Some(content.and_then(|content| options.add(at, Test::Content(content), value)));
    }
    options.stick(target);
    Some(Ok(()))
}

/// A relation of the two ends, perhaps negated.
pub(super) fn relation(name: &str, value: Span<'_>) -> Result<(IdentityFlag, bool), Fault> {
    let flag = IdentityFlag::of_name(name)
        .ok_or_else(|| Fault::new(value.at, format!("no relation `{name}`")))?;
    match value.text {
        "" | "true" | "yes" => Ok((flag, true)),
        "!" | "false" | "no" => Ok((flag, false)),
        _ => Err(Fault::new(value.at, "takes nothing, or `false`")),
    }
}

/// Complains about options that `protocol` has no use for: such a rule could never match.
pub(super) fn fit(options: &Options, protocol: Protocol, rule: Span<'_>, faults: &mut Vec<Fault>) {
    let stream = protocol == Protocol::TcpStream;
    let transport = protocol.transport();
    let other = |wanted: u8| transport.is_some_and(|number| number != wanted);
    for test in &options.packet {
        let (keyword, wrong, message) = match test {
            PacketTest::Flags(_) => ("flags", other(6), "needs a rule for tcp"),
            PacketTest::Number(packet::PacketNumber::IcmpType, _) => {
                ("itype", other(58), "needs a rule for icmp")
            }
            PacketTest::Number(packet::PacketNumber::IcmpCode, _) => {
                ("icode", other(58), "needs a rule for icmp")
            }
            PacketTest::PayloadSize(_) => (
                "dsize",
                stream,
                "looks at packets, the rule only at the stream",
            ),
            _ => continue,
        };
        if wrong {
            let at = options.place(keyword, rule);
            faults.push(Fault::new(at, message).keyword(keyword));
        }
    }
}

/// Options between semicolons; a backslash escapes one.
fn split(span: Span<'_>) -> Vec<Span<'_>> {
    let mut options = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (position, byte) in span.text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b';' => {
                options.push(span.slice(start, position).trim());
                start = position + 1;
            }
            _ => {}
        }
    }
    options.push(span.slice(start, span.text.len()).trim());
    options.retain(|option| !option.text.is_empty());
    options
}

fn unknown(name: Span<'_>) -> Fault {
    let fault = Fault::new(name.at, format!("keyword `{}` is not supported", name.text));
    let names = Buffer::ALL.iter().map(|buffer| buffer.name());
    let nearest = table::KEYWORDS
        .iter()
        .map(|(keyword, _)| *keyword)
        .chain(names)
        .map(|keyword| (distance(keyword, name.text), keyword))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match nearest {
        Some((_, keyword)) => fault.hint(format!("did you mean `{keyword}`?")),
        None => fault,
    }
}

/// Levenshtein distance, bounded: long names are never near.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 32 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *slot;
            let cost = diagonal + usize::from(x != y);
            left = cost.min(above + 1).min(left + 1);
            diagonal = above;
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// Whether there is a keyword of this name.
pub(super) fn known(name: &str) -> bool {
    table::KEYWORDS.iter().any(|(known, _)| *known == name)
        || Buffer::of_name(name).is_some()
        || Field::of_name(name).is_some()
        || HeaderBuffer::of_name(name).is_some()
        || IdentityBuffer::of_name(name).is_some()
        || packet::PacketNumber::of_name(name).is_some()
        || transform::parse(name, Span::new("", 0)).is_some()
        || matches!(
            name,
            "dataset" | "datarep" | "iprep" | "filemd5" | "filesha1" | "filesha256"
        )
}
