//! Options: from `keyword:value;` to a typed rule.
//!
//! A keyword is looked up in one table, then among the buffers, numbers and transforms, whose names
//! their own modules know.

use super::{
    NumberTest,
    content::Content,
    dataset::Files,
    diagnostic::Fault,
    header::Protocol,
    header_buffer::HeaderBuffer,
    identity::{IdentityBuffer, IdentityFlag},
    number,
    options::{FlowOption, Threshold},
    packet::{self, PacketTest},
    source::Span,
    state::{StateChange, StateTest},
    table,
    test::{Group, Target, Test, Value},
    transform::{self, Transform},
};
use crate::protocol::{AppProtocol, Buffer, Field};

/// Most tests of one rule.
const MAX_TESTS: usize = 256;
/// Most variables of one rule.
const MAX_VARIABLES: usize = 64;

/// Names that `byte_extract` and `byte_math` give.
#[derive(Debug, Default)]
pub(super) struct Variables {
    names: Vec<String>,
}

impl Variables {
    pub(super) fn index(&self, name: &str) -> Option<u8> {
        let at = self.names.iter().position(|known| known == name)?;
        u8::try_from(at).ok()
    }

    pub(super) fn define(&mut self, name: Span<'_>) -> Result<u8, Fault> {
        if let Some(index) = self.index(name.text) {
            return Ok(index);
        }
        if name.text.is_empty() || self.names.len() >= MAX_VARIABLES {
            return Err(Fault::new(
                name.at,
                format!("a variable needs a name, and a rule has {MAX_VARIABLES} at most"),
            ));
        }
        self.names.push(name.text.to_owned());
        self.index(name.text)
            .ok_or_else(|| Fault::new(name.at, "too many variables"))
    }
}

/// What the options of one rule add up to.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) msg: Option<String>,
    pub(super) sid: Option<u32>,
    pub(super) rev: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) priority: Option<u8>,
    pub(super) classtype: Option<(String, usize)>,
    pub(super) references: Vec<(String, String)>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) groups: Vec<Group>,
    pub(super) packet: Vec<PacketTest>,
    pub(super) numbers: Vec<NumberTest>,
    pub(super) events: Vec<&'static str>,
    pub(super) states: Vec<StateTest>,
    pub(super) changes: Vec<StateChange>,
    pub(super) identity: Vec<(IdentityFlag, bool)>,
    pub(super) flow: Option<FlowOption>,
    pub(super) threshold: Option<Threshold>,
    pub(super) noalert: bool,
    /// `requires` that this engine does not meet: the rule is for another one.
    pub(super) not_for_us: Option<String>,
    pub(super) variables: Variables,
    /// The application protocol of the header.
    pub(super) application: Option<AppProtocol>,
    /// The group that a sticky buffer has made current.
    pub(super) current: Option<usize>,
    /// Where the last test went.
    last: Option<usize>,
    /// Where the last content went.
    last_content: Option<usize>,
    tests: usize,
    /// Where each option stands.
    places: Vec<(String, usize)>,
}

impl Options {
    /// Where `keyword` stands in the file, if the rule `rule` has it; else where the rule begins.
    pub(super) fn place(&self, keyword: &str, rule: Span<'_>) -> usize {
        let mut places = self.places.iter();
        places
            .find(|(name, _)| *name == keyword)
            .map_or(rule.at, |(_, at)| *at)
    }

    /// Whether the rule asks who the two ends are.
    pub(super) fn asks_who(&self) -> bool {
        let text =
            |group: &Group| matches!(group.target, Target::Identity(_)) && !group.tests.is_empty();
        !self.identity.is_empty() || self.groups.iter().any(text)
    }

    /// The group of `target` without transforms; a new one when there is none.
    pub(super) fn group(&mut self, target: Target) -> usize {
        let known = self
            .groups
            .iter()
            .position(|group| group.target == target && group.transforms.is_empty());
        known.unwrap_or_else(|| self.new_group(target))
    }

    fn new_group(&mut self, target: Target) -> usize {
        self.groups.push(Group {
            target,
            transforms: Vec::new(),
            tests: Vec::new(),
        });
        self.groups.len() - 1
    }

    /// Makes `target` the buffer of what follows.
    pub(super) fn stick(&mut self, target: Target) {
        let several = match target {
            Target::Transaction(buffer) => buffer.has_instances(),
            _ => false,
        };
        // A group with transforms is a buffer of its own.
        let at = if several || target == Target::Base64 {
            self.new_group(target)
        } else {
            self.group(target)
        };
        self.current = Some(at);
        self.last = Some(at);
    }

    /// Adds a transform to the current buffer. Behind tests it makes a buffer of its own: what comes
    /// before it is about the data as it is up to there.
    fn transform(&mut self, transform: Transform) -> Option<()> {
        let at = self.current?;
        let group = self.groups.get_mut(at)?;
        if group.tests.is_empty() {
            group.transforms.push(transform);
            return Some(());
        }
        let mut transforms = group.transforms.clone();
        transforms.push(transform);
        let target = group.target;
        let at = self.new_group(target);
        self.groups.get_mut(at)?.transforms = transforms;
        self.current = Some(at);
        self.last = Some(at);
        Some(())
    }

    pub(super) fn add(&mut self, at: usize, test: Test, span: Span<'_>) -> Result<(), Fault> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(Fault::new(
                span.at,
                format!("more than {MAX_TESTS} tests in one rule"),
            ));
        }
        if matches!(test, Test::Content(_)) {
            self.last_content = Some(at);
        }
        if let Some(group) = self.groups.get_mut(at) {
            group.tests.push(test);
        }
        self.last = Some(at);
        Ok(())
    }

    /// Adds a test to the current buffer. One that is relative goes where the test before it is.
    pub(super) fn test(&mut self, test: Test, relative: bool, span: Span<'_>) -> Result<(), Fault> {
        let at = match (self.current, self.last) {
            (Some(current), _) => current,
            (None, Some(last)) if relative => last,
            _ => self.group(Target::Payload),
        };
        self.add(at, test, span)
    }

    /// The content that a modifier changes: the last one, whatever stands between.
    pub(super) fn content(&mut self, at: Span<'_>) -> Result<&mut Content, Fault> {
        let group = self.last_content.and_then(|at| self.groups.get_mut(at));
        let last = group.and_then(|group| {
            group.tests.iter_mut().rev().find_map(|test| match test {
                Test::Content(content) => Some(content),
                _ => None,
            })
        });
        last.ok_or_else(|| Fault::new(at.at, "there is no content before it"))
    }

    /// Moves the last content to `target` (the older spelling of buffers).
    pub(super) fn modify(&mut self, target: Target, at: Span<'_>) -> Result<(), Fault> {
        let payload = self.last_content.and_then(|last| self.groups.get_mut(last));
        let Some(group) = payload.filter(|group| group.target == Target::Payload) else {
            return Err(Fault::new(
                at.at,
                "needs a content before it that is in no buffer yet",
            ));
        };
        let content = group
            .tests
            .iter()
            .rposition(|test| matches!(test, Test::Content(_)))
            .ok_or_else(|| Fault::new(at.at, "there is no content before it"))?;
        let test = group.tests.remove(content);
        let to = self.group(target);
        if let Some(group) = self.groups.get_mut(to) {
            group.tests.push(test);
        }
        self.last = Some(to);
        self.last_content = Some(to);
        Ok(())
    }
}

/// Applies all options of a rule. All faults are reported.
pub(super) fn parse(
    span: Span<'_>,
    application: Option<AppProtocol>,
    files: &mut Files<'_>,
    faults: &mut Vec<Fault>,
) -> Options {
    let mut options = Options {
        application,
        ..Options::default()
    };
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

/// Refuses a value.
pub(super) fn alone(value: Span<'_>) -> Result<(), Fault> {
    if value.text.is_empty() {
        Ok(())
    } else {
        Err(Fault::new(value.at, "takes no value"))
    }
}

pub(super) fn set<T>(slot: &mut Option<T>, value: T, at: Span<'_>) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::new(at.at, "given twice"));
    }
    *slot = Some(value);
    Ok(())
}

pub(super) fn long_enough(content: &Content, room: Value, at: Span<'_>) -> Result<(), Fault> {
    let length = i64::try_from(content.pattern.len()).unwrap_or(i64::MAX);
    if let Value::Number(room) = room
        && room < length
    {
        return Err(Fault::new(
            at.at,
            format!("the content has {length} bytes and cannot lie within {room}"),
        ));
    }
    Ok(())
}

pub(super) fn number<T: std::str::FromStr>(value: Span<'_>) -> Result<T, Fault> {
    value.text.parse().map_err(|_| {
        Fault::new(
            value.at,
            format!("`{}` is no number that fits here", value.text),
        )
    })
}

pub(super) fn quoted(value: Span<'_>) -> Result<String, Fault> {
    let inside = value
        .text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let inside = inside.ok_or_else(|| Fault::new(value.at, "text is written in double quotes"))?;
    let mut text = String::with_capacity(inside.len());
    let mut escaped = false;
    for c in inside.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            text.push(c);
        }
    }
    Ok(text)
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
