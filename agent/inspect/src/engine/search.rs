//! Whether the tests of one buffer pass, by backtracking with bounded work.

use memchr::{memchr, memchr2};

use super::number::{masked, text_number};
use crate::rule::{
    Base64Mode, ByteExtract, ByteJump, ByteMath, ByteTest, Comparison, Content, NumberFormat,
    Operator, Pcre, Test, Value, decode_base64,
};

/// Bytes compared for one rule and evaluation. Rules with many relative contents on hostile data
/// would otherwise take exponential time.
pub(super) const MAX_WORK: usize = 2 << 20;
/// What comparing a whole pattern costs, in bytes scanned.
const COMPARISON: usize = 8;
/// What a regular expression costs beside the bytes it may look at.
const EXPRESSION: usize = 256;
/// Variables of one rule.
pub(super) const VARIABLES: usize = 64;

/// What the groups of one rule share during an evaluation.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) variables: [u64; VARIABLES],
    pub(super) base64: Vec<u8>,
    /// Bytes that may still be compared.
    pub(super) left: usize,
    pub(super) exceeded: bool,
}

impl Work {
    pub(super) const fn new() -> Self {
        Self {
            variables: [0; VARIABLES],
            base64: Vec::new(),
            left: MAX_WORK,
            exceeded: false,
        }
    }
}

/// One buffer against the tests of a group.
pub(super) struct Search<'a> {
    pub(super) data: &'a [u8],
    /// Place of `data[0]` in the stream; 0 for other buffers.
    pub(super) start: u64,
    /// Some content must end after this position; 0 when it does not matter where.
    pub(super) fresh: usize,
    /// More may follow `data`.
    pub(super) open: bool,
    pub(super) work: &'a mut Work,
    /// The message says that its numbers are little endian (`dce`).
    pub(super) little_endian: bool,
    /// A content decides against the rule for good.
    pub(super) never: bool,
    /// Tests of the group.
    pub(super) count: usize,
    /// Index of a content that was nowhere to be found: no match without it.
    pub(super) awaited: Option<usize>,
}

/// How the tests from one on turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    /// Not with those before them where they are.
    Missing,
    /// Not with those before them at any later position either.
    Hopeless,
}

impl<'a> Search<'a> {
    pub(super) const fn new(data: &'a [u8], work: &'a mut Work) -> Self {
        Self {
            data,
            start: 0,
            fresh: 0,
            open: false,
            little_endian: false,
            work,
            never: false,
            count: 0,
            awaited: None,
        }
    }

    /// All tests of a group.
    pub(super) fn group(&mut self, tests: &[Test]) -> Outcome {
        self.count = tests.len();
        self.tests(tests, 0, 0)
    }

    /// `cursor` is where the last match ended, `last` how far any has reached.
    fn tests(&mut self, tests: &[Test], cursor: usize, last: usize) -> Outcome {
        let Some((test, rest)) = tests.split_first() else {
            return if self.fresh == 0 || last > self.fresh {
                Outcome::Found
            } else {
                Outcome::Missing
            };
        };
        let passed = match test {
            Test::Content(content) => return self.content(content, tests, cursor, last),
            Test::Pcre(pcre) => return self.pcre(pcre, rest, cursor, last),
            Test::ByteJump(jump) => {
                return match self.jump(jump, cursor) {
                    Some(cursor) => positional(self.tests(rest, cursor, last)),
                    None => Outcome::Missing,
                };
            }
            Test::ByteExtract(extract) => match self.extract(extract, cursor) {
                Some(end) => return positional(self.tests(rest, end, last)),
                None => return Outcome::Missing,
            },
            Test::ByteMath(math) => match self.math(math, cursor) {
                Some(end) => return positional(self.tests(rest, end, last)),
                None => return Outcome::Missing,
            },
            Test::ByteTest(test) => self.byte_test(test, cursor),
            Test::IsDataAt {
                negated,
                position,
                relative,
            } => {
                let position = self.value(*position);
                let length = signed(self.data.len());
                let there = if *relative {
                    signed(cursor) + position <= length
                } else {
                    position < length
                };
                there != *negated
            }
            Test::Size(size) => !self.open && size.matches(self.data.len() as u64),
            Test::Entropy(test) => !self.open && test.matches(self.data),
            Test::Base64Decode {
                bytes,
                offset,
                relative,
            } => self.base64(*bytes, *offset, if *relative { cursor } else { 0 }),
            Test::Dataset(dataset) => dataset.matches(self.data),
            Test::DecimalRest(test) => {
                let text = self.data.get(cursor..).unwrap_or_default();
                let number = core::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok());
                number.is_some_and(|number| test.matches(number))
            }
            // Decided where the buffer is looked up: here it is there.
            Test::Absent { or_else } => *or_else,
        };
        if passed {
            positional(self.tests(rest, cursor, last))
        } else {
            Outcome::Missing
        }
    }

    fn content(
        &mut self,
        content: &Content,
        tests: &[Test],
        cursor: usize,
        last: usize,
    ) -> Outcome {
        let rest = tests.get(1..).unwrap_or_default();
        // From a later position on, what is not limited by `within` can only see less.
        let narrowing = content.within.is_none();
        let room = self.room(content, cursor);
        if content.negated {
            let found = room.and_then(|(low, high)| self.next(content, low, high));
            return match found {
                None if self.work.exceeded => Outcome::Hopeless,
                None => self.tests(rest, cursor, last),
                Some(_) if content.is_relative() => Outcome::Missing,
                Some(_) => {
                    self.never |= !content.endswith;
                    Outcome::Hopeless
                }
            };
        }
        let mut anywhere = false;
        if let Some((low, high)) = room {
            let depends = depends_on_cursor(rest);
            let mut from = low;
            // Not the first occurrence alone: a later one may be the one that the rest follows.
            while let Some(start) = self.next(content, from, high) {
                anywhere = true;
                let end = start + content.pattern.len();
                match self.tests(rest, end, last.max(end)) {
                    Outcome::Missing if depends || self.fresh > 0 => from = start + 1,
                    Outcome::Missing => return Outcome::Hopeless,
                    decided => return decided,
                }
            }
        }
        if !anywhere {
            self.never |= !self.work.exceeded && self.in_view(content);
            if narrowing && !content.endswith && !self.work.exceeded {
                self.awaited = Some(self.count - tests.len());
            }
        }
        if self.work.exceeded || narrowing && (!anywhere || self.fresh == 0) {
            Outcome::Hopeless
        } else {
            Outcome::Missing
        }
    }

    fn pcre(&mut self, pcre: &Pcre, rest: &[Test], cursor: usize, last: usize) -> Outcome {
        let mut from = if pcre.relative { cursor } else { 0 };
        loop {
            let cost = EXPRESSION + self.data.len().saturating_sub(from);
            if self.spend(cost).is_none() {
                return Outcome::Hopeless;
            }
            let found = pcre.find(self.data, from, &mut self.work.exceeded);
            if pcre.negated {
                return match found {
                    None => self.tests(rest, cursor, last),
                    Some(_) => Outcome::Missing,
                };
            }
            let Some((start, end)) = found else {
                return Outcome::Missing;
            };
            match self.tests(rest, end, last.max(end)) {
                Outcome::Missing if depends_on_cursor(rest) || self.fresh > 0 => from = start + 1,
                decided => return decided,
            }
        }
    }

    fn value(&self, value: Value) -> i64 {
        match value {
            Value::Number(number) => number,
            Value::Variable(index) => {
                let value = self.work.variables.get(usize::from(index)).copied();
                i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX)
            }
        }
    }

    /// Reads a number whose bytes begin at `offset`, and says where they end.
    fn read(&self, format: &NumberFormat, offset: i64, cursor: usize) -> Option<(u64, usize)> {
        let base = if format.relative { signed(cursor) } else { 0 };
        let from = usize::try_from(base.checked_add(offset)?).ok()?;
        let bytes = usize::try_from(self.value(format.bytes)).ok()?;
        if let Some(radix) = format.text_base {
            let text = self.data.get(from..from.checked_add(bytes)?)?;
            return Some((text_number(text, radix)?, from + bytes));
        }
        if bytes == 0 {
            return Some((0, from));
        }
        let field = self
            .data
            .get(from..from.checked_add(bytes)?)
            .filter(|_| bytes <= 8)?;
        let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let little_endian = if format.dce {
            self.little_endian
        } else {
            format.little_endian
        };
        let number = if little_endian {
            field.iter().rev().fold(0, shift)
        } else {
            field.iter().fold(0, shift)
        };
        Some((number, from + bytes))
    }

    fn byte_test(&self, test: &ByteTest, cursor: usize) -> bool {
        let offset = self.value(test.offset);
        let Some((number, _)) = self.read(&test.format, offset, cursor) else {
            return false;
        };
        let number = masked(number, test.bitmask);
        let wanted = self.value(test.value).cast_unsigned();
        let holds = match test.comparison {
            Comparison::Less => number < wanted,
            Comparison::LessOrEqual => number <= wanted,
            Comparison::Greater => number > wanted,
            Comparison::GreaterOrEqual => number >= wanted,
            Comparison::Equal => number == wanted,
            Comparison::And => number & wanted != 0,
            Comparison::Or => number ^ wanted != 0,
        };
        holds != test.negated
    }

    fn jump(&self, jump: &ByteJump, cursor: usize) -> Option<usize> {
        let (number, end) = self.read(&jump.format, self.value(jump.offset), cursor)?;
        let mut distance = masked(number, jump.bitmask).checked_mul(u64::from(jump.multiplier))?;
        if jump.align {
            distance = distance.checked_next_multiple_of(4)?;
        }
        let from = if jump.from_beginning {
            0
        } else if jump.from_end {
            self.data.len()
        } else {
            end
        };
        let place = signed(from)
            .checked_add(i64::try_from(distance).ok()?)?
            .checked_add(self.value(jump.post_offset))?;
        // Before the start is at the start.
        usize::try_from(place.max(0))
            .ok()
            .filter(|place| *place <= self.data.len())
    }

    fn extract(&mut self, extract: &ByteExtract, cursor: usize) -> Option<usize> {
        let (number, end) = self.read(&extract.format, extract.offset, cursor)?;
        let scaled = masked(number, extract.bitmask).wrapping_mul(u64::from(extract.multiplier));
        let aligned = scaled.checked_next_multiple_of(u64::from(extract.align.max(1)))?;
        self.remember(extract.variable, aligned);
        Some(end)
    }

    fn math(&mut self, math: &ByteMath, cursor: usize) -> Option<usize> {
        let (number, end) = self.read(&math.format, math.offset, cursor)?;
        let operand = self.value(math.operand).cast_unsigned();
        let shift = u32::try_from(operand).ok();
        let result = match math.operator {
            Operator::Add => number.wrapping_add(operand),
            Operator::Subtract => number.wrapping_sub(operand),
            Operator::Multiply => number.wrapping_mul(operand),
            Operator::Divide => number.checked_div(operand)?,
            Operator::ShiftLeft => number.checked_shl(shift?).unwrap_or(0),
            Operator::ShiftRight => number.checked_shr(shift?).unwrap_or(0),
        };
        self.remember(math.variable, masked(result, math.bitmask));
        Some(end)
    }

    fn remember(&mut self, variable: u8, value: u64) {
        if let Some(slot) = self.work.variables.get_mut(usize::from(variable)) {
            *slot = value;
        }
    }

    fn base64(&mut self, bytes: Option<u32>, offset: u32, cursor: usize) -> bool {
        let from = cursor.saturating_add(usize::try_from(offset).unwrap_or(usize::MAX));
        let Some(text) = self.data.get(from..) else {
            return false;
        };
        let most = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let text = most.and_then(|most| text.get(..most)).unwrap_or(text);
        if self.spend(text.len()).is_none() {
            return false;
        }
        self.work.base64 = decode_base64(text, Base64Mode::Rfc2045).unwrap_or_default();
        !self.work.base64.is_empty()
    }

    /// Whether all places in which the content may lie are in the data.
    fn in_view(&self, content: &Content) -> bool {
        let literal = |value: Option<Value>| match value {
            None => Some(0),
            Some(value) => value.literal(),
        };
        let (Some(offset), Some(Some(depth))) =
            (literal(content.offset), content.depth.map(Value::literal))
        else {
            return false;
        };
        let start = i64::try_from(self.start).unwrap_or(i64::MAX);
        let end = start.saturating_add(signed(self.data.len()));
        !content.is_relative()
            && !content.endswith
            && offset >= start
            && offset.saturating_add(depth) <= end
    }

    /// First position and end (exclusive) between which the pattern must lie, in `data`.
    fn room(&self, content: &Content, cursor: usize) -> Option<(usize, usize)> {
        let length = signed(self.data.len());
        let (low, high) = if content.is_relative() {
            let distance = content.distance.map_or(0, |value| self.value(value));
            let low = signed(cursor).saturating_add(distance);
            let within = content.within.map(|value| self.value(value));
            (low, within.map(|within| low.saturating_add(within)))
        } else {
            // Counted from the stream's start, of which the window may show a later part.
            let shift = i64::try_from(self.start).ok()?;
            let offset = content.offset.map_or(0, |value| self.value(value));
            let depth = content.depth.map(|value| self.value(value));
            (
                offset.saturating_sub(shift),
                depth.map(|depth| offset.saturating_add(depth).saturating_sub(shift)),
            )
        };
        let low = low.max(0);
        let high = high.unwrap_or(length).min(length);
        let pattern = signed(content.pattern.len());
        let low = if content.endswith {
            low.max(length - pattern)
        } else {
            low
        };
        (low + pattern <= high).then_some((usize::try_from(low).ok()?, usize::try_from(high).ok()?))
    }

    /// First occurrence that lies in `low..high`; `None` also when the work is used up.
    pub(super) fn next(&mut self, content: &Content, low: usize, high: usize) -> Option<usize> {
        let room = self.data.get(low..high)?;
        let pattern = content.pattern.as_slice();
        let (place, rarest) = content.rarest()?;
        // Where the rarest byte can be.
        let places = room.len().checked_sub(pattern.len())? + 1 + place;
        let mut from = place;
        loop {
            let rest = room.get(from..places)?;
            let found = if content.nocase && rarest.is_ascii_alphabetic() {
                memchr2(rarest, rarest.to_ascii_uppercase(), rest)
            } else {
                memchr(rarest, rest)
            };
            let Some(skipped) = found else {
                self.spend(rest.len())?;
                return None;
            };
            self.spend(skipped + COMPARISON)?;
            let at = from + skipped - place;
            let window = room.get(at..at + pattern.len())?;
            let same = if content.nocase {
                window.eq_ignore_ascii_case(pattern)
            } else {
                window == pattern
            };
            if same {
                return Some(low + at);
            }
            from += skipped + 1;
        }
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        let left = self.work.left.checked_sub(bytes);
        self.work.exceeded |= left.is_none();
        self.work.left = left.unwrap_or(0);
        left.map(|_| ())
    }
}

/// A test that reads at the place of the previous match may pass where that is another one.
fn positional(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Hopeless => Outcome::Missing,
        other => other,
    }
}

/// Whether what follows turns out otherwise when the previous match is elsewhere.
fn depends_on_cursor(rest: &[Test]) -> bool {
    for test in rest {
        match test {
            Test::Content(content) if content.is_relative() => return true,
            Test::Content(content) if content.negated => {}
            Test::Content(_) => return false,
            Test::Pcre(pcre) if pcre.relative => return true,
            Test::Pcre(pcre) if pcre.negated => {}
            Test::Pcre(_) => return false,
            Test::ByteTest(test) if test.format.relative => return true,
            Test::ByteJump(jump) => return jump.format.relative,
            Test::ByteExtract(extract) => return extract.format.relative,
            Test::ByteMath(math) => return math.format.relative,
            Test::IsDataAt { relative: true, .. } | Test::DecimalRest(_) => return true,
            Test::Base64Decode { relative, .. } => return *relative,
            Test::ByteTest(_)
            | Test::IsDataAt { .. }
            | Test::Size(_)
            | Test::Entropy(_)
            | Test::Dataset(_)
            | Test::Absent { .. } => {}
        }
    }
    false
}

/// A length as a distance; slices are never longer than `isize::MAX`.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
