//! What a rule asks of the numbers of a transaction (Suricata: integer and multi-integer keywords).

use super::{IntegerTest, diagnostic::Fault, integer, names, source::Span};
use crate::{flow::Direction, protocol::Field};

/// A field, what its numbers must be, and which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberTest {
    /// Which numbers.
    pub field: Field,
    /// A number passes by one of them.
    pub wanted: Vec<Wanted>,
    /// A number passes by none of them.
    pub negated: bool,
    /// Which of several numbers have to pass.
    pub which: Which,
    /// `FROM:TO`: only those from the first position up to before the second; below 0 counts from the end.
    pub part: Option<(i64, i64)>,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The number.
    pub number: IntegerTest,
    /// What another number of the transaction must be: a word may stand for different numbers in
    /// different versions of a protocol.
    pub under: Option<(Field, IntegerTest)>,
}

/// Which of several numbers have to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One of them.
    Any {
        /// Or there is none.
        or_absent: bool,
    },
    /// Each.
    All {
        /// Or there is none.
        or_absent: bool,
    },
    /// The one at this position, from 0, or from the end with -1.
    At {
        /// The position.
        position: i64,
        /// Or there are fewer.
        or_outside: bool,
    },
    /// So many of them.
    Times(IntegerTest),
}

const ANY: Which = Which::Any { or_absent: false };

impl NumberTest {
    /// One number that passes is enough.
    pub(super) const fn any(field: Field, wanted: Vec<Wanted>, negated: bool) -> Self {
        Self {
            field,
            wanted,
            negated,
            which: ANY,
            part: None,
        }
    }

    /// Whether it cannot be told before all numbers have come.
    #[must_use]
    pub const fn needs_all(&self) -> bool {
        match self.which {
            Which::Any { or_absent } => or_absent || self.part.is_some(),
            Which::All { .. } | Which::Times(_) => true,
            Which::At {
                position,
                or_outside,
            } => position < 0 || or_outside || self.part.is_some(),
        }
    }

    /// Whether the numbers of a transaction, of the directions that are looked at, are as wanted.
    #[must_use]
    pub fn matches(
        &self,
        numbers: &[(Direction, Field, u64)],
        looked_at: impl Fn(Direction) -> bool,
    ) -> bool {
        let mut values = numbers
            .iter()
            .filter(|(direction, field, _)| *field == self.field && looked_at(*direction))
            .map(|(.., value)| *value);
        let passes = |value: u64| self.passes(value, numbers);
        if self.which == ANY && self.part.is_none() {
            return values.any(passes);
        }
        let count = values.clone().count();
        let (from, to) = self.bounds(count);
        let there = to - from;
        let mut values = values.skip(from).take(there);
        match self.which {
            Which::Any { or_absent } => (or_absent && there == 0) || values.any(passes),
            Which::All { or_absent } => (or_absent || there > 0) && values.all(passes),
            Which::At {
                position,
                or_outside,
            } => match inside(position, there).and_then(|at| values.nth(at)) {
                Some(value) => passes(value),
                None => or_outside,
            },
            Which::Times(times) => {
                times.matches(values.filter(|value| passes(*value)).count() as u64)
            }
        }
    }

    fn passes(&self, value: u64, numbers: &[(Direction, Field, u64)]) -> bool {
        let under = |under: Option<(Field, IntegerTest)>| {
            under.is_none_or(|(field, test)| {
                numbers
                    .iter()
                    .any(|(_, of, value)| *of == field && test.matches(*value))
            })
        };
        let wanted = |it: &Wanted| it.number.matches(value) && under(it.under);
        value != Field::NONE && self.wanted.iter().any(wanted) != self.negated
    }

    /// The positions that are looked at of so many; none when one end is outside.
    fn bounds(&self, count: usize) -> (usize, usize) {
        let Some((from, to)) = self.part else {
            return (0, count);
        };
        let within = |position| match inside(position, count) {
            Some(at) => Some(at),
            None if position == i64::try_from(count).unwrap_or(i64::MAX) => Some(count),
            None => None,
        };
        match (within(from), within(to)) {
            (Some(from), Some(to)) if from <= to => (from, to),
            _ => (0, 0),
        }
    }
}

/// A position of so many, where one below 0 counts from the end.
fn inside(position: i64, count: usize) -> Option<usize> {
    let count = i64::try_from(count).ok()?;
    let at = if position < 0 {
        count.checked_add(position)?
    } else {
        position
    };
    (0..count).contains(&at).then_some(at)?.try_into().ok()
}

/// Parses `VALUE[,INDEX[,FROM:TO]]` or `count VALUE`.
pub(super) fn parse(field: Field, value: Span<'_>) -> Result<NumberTest, Fault> {
    let plain = |wanted: Vec<Wanted>, negated| NumberTest::any(field, wanted, negated);
    if let Some(flags) = names::flags(field)
        && let Some(test) = bits(value, flags)
    {
        return Ok(plain(vec![Wanted::number(test)], false));
    }
    if names::are_alternatives(field) {
        let tests = value.split(',').map(|it| one(field, it.trim()));
        let tests = tests.collect::<Result<Vec<_>, _>>()?;
        return Ok(plain(
            tests.into_iter().map(Wanted::number).collect(),
            false,
        ));
    }
    let (counted, rest) = match value.text.strip_prefix("count") {
        Some(rest) if !rest.is_empty() => (true, value.slice(5, value.text.len()).trim()),
        _ => (false, value),
    };
    let mut parts = rest.split(',').map(Span::trim);
    let first = parts.next().unwrap_or(rest);
    let mut test = if counted {
        let times = Which::Times(integer::parse(first, &|_| None)?);
        let mut test = plain(vec![Wanted::number(IntegerTest::ANY)], false);
        test.which = times;
        return match parts.next() {
            None => Ok(test),
            Some(part) => Err(Fault::new(part.at, "a count takes no index")),
        };
    } else {
        let (word, negated) = match first.text.strip_prefix('!') {
            Some(word) => (word.trim(), true),
            None => (first.text, false),
        };
        match names::by_version(field, word) {
            Some(wanted) => plain(wanted, negated),
            None => plain(vec![Wanted::number(one(field, first)?)], false),
        }
    };
    if let Some(index) = parts.next() {
        test.which = which(index)?;
    }
    if let Some(part) = parts.next() {
        let ends = part
            .text
            .split_once(':')
            .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)));
        test.part = Some(ends.ok_or_else(|| Fault::new(part.at, "a part is FROM:TO"))?);
    }
    match parts.next() {
        Some(part) => Err(Fault::new(part.at, "one setting too many").hint(SYNTAX)),
        None => Ok(test),
    }
}

const SYNTAX: &str = "VALUE[,INDEX[,FROM:TO]], INDEX is a position, any, all, all_or_absent, \
    or_absent, oob_or POSITION or nb with a number";

fn one(field: Field, value: Span<'_>) -> Result<IntegerTest, Fault> {
    let names = |text: &str| names::number(field, text);
    if names::range_is_inclusive(field) {
        integer::parse_inclusive(value, &names)
    } else {
        integer::parse(value, &names)
    }
}

fn which(index: Span<'_>) -> Result<Which, Fault> {
    let wrong = || Fault::new(index.at, format!("no index `{}`", index.text)).hint(SYNTAX);
    Ok(match index.text {
        "any" => ANY,
        "or_absent" => Which::Any { or_absent: true },
        "all" => Which::All { or_absent: false },
        "all_or_absent" => Which::All { or_absent: true },
        text => {
            if text.starts_with("nb") {
                let times = index.slice(2, text.len()).trim();
                return Ok(Which::Times(integer::parse(times, &|_| None)?));
            }
            let (or_outside, text) = match text.strip_prefix("oob_or") {
                Some(rest) => (true, rest.trim()),
                None => (false, text),
            };
            Which::At {
                position: text.parse().map_err(|_| wrong())?,
                or_outside,
            }
        }
    })
}

/// `WORD[,[!]WORD…]`: flags that are set, or are not; `None` when it is none.
fn bits(value: Span<'_>, flags: &[(&str, u64)]) -> Option<IntegerTest> {
    let (mut mask, mut set) = (0, 0);
    for part in value.split(',').map(Span::trim) {
        let (negated, word) = match part.text.strip_prefix('!') {
            Some(word) => (true, word.trim()),
            None => (false, part.text),
        };
        let mut flags = flags.iter();
        let (_, bit) = flags.find(|(name, _)| name.eq_ignore_ascii_case(word))?;
        mask |= bit;
        set |= if negated { 0 } else { *bit };
    }
    Some(IntegerTest::Bits {
        mask,
        wanted: Some(set),
        negated: false,
    })
}

impl Wanted {
    /// Just a number.
    #[must_use]
    pub const fn number(number: IntegerTest) -> Self {
        Self {
            number,
            under: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Field = Field::LdapResponsesOperation;

    fn test(text: &str) -> Result<NumberTest, Fault> {
        parse(OF, Span { text, at: 0 })
    }

    fn passes(text: &str, values: &[u64]) -> bool {
        let numbers: Vec<_> = values
            .iter()
            .map(|value| (Direction::ToClient, OF, *value))
            .collect();
        test(text).unwrap().matches(&numbers, |_| true)
    }

    #[test]
    fn an_index_says_which_numbers_must_pass() {
        let values = [4, 4, 5];
        for text in [
            "4",
            "5,any",
            "search_result_done,-1",
            "4,0",
            "<6,all",
            "4,nb2",
            "4,nb >1",
            "count 3",
            "count >2",
            "9,oob_or 3",
            "4,oob_or 0",
            "4,all,0:2",
            "5,0,2:3",
            "5,all,-1:3",
            "!7,all",
            "!5,0",
        ] {
            assert!(passes(text, &values), "{text}");
        }
        for text in [
            "6",
            "5,0",
            "4,-1",
            "4,3",
            "4,-4",
            "4,all",
            "4,nb3",
            "count 2",
            "9,oob_or 2",
            "9,or_absent",
            "4,all_or_absent",
            "5,any,0:2",
            "4,any,1:9",
            "4,any,2:1",
        ] {
            assert!(!passes(text, &values), "{text}");
        }
        for text in [
            "5,or_absent",
            "5,all_or_absent",
            "count 0",
            "5,nb0",
            "5,oob_or 0",
        ] {
            assert!(passes(text, &[]), "{text}");
        }
        for text in ["5", "5,all", "5,0", "!5"] {
            assert!(!passes(text, &[]), "{text}");
        }
    }

    #[test]
    fn one_that_is_not_there_keeps_its_place() {
        assert!(passes("5,1", &[Field::NONE, 5]));
        assert!(!passes(">4,0", &[Field::NONE, 5]));
        assert!(!passes("5,all", &[Field::NONE, 5]));
    }

    #[test]
    fn what_waits_for_the_end_is_known() {
        for (text, waits) in [
            ("5", false),
            ("5,1", false),
            ("5,-1", true),
            ("5,all", true),
        ] {
            assert_eq!(test(text).unwrap().needs_all(), waits, "{text}");
        }
    }

    #[test]
    fn wrong_indices_are_refused() {
        for text in [
            "5,first",
            "5,",
            "5,1,2",
            "5,any,0:1,3",
            "count 3,1",
            "5,nb",
            "count",
        ] {
            assert!(test(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_versions_and_words_are_read() {
        let read = |field, text| parse(field, Span { text, at: 0 }).unwrap();
        let flags = read(Field::WebsocketFlags, "fin,!comp");
        let value = |field, value| [(Direction::ToServer, field, value)];
        assert!(flags.matches(&value(Field::WebsocketFlags, 0x80), |_| true));
        assert!(!flags.matches(&value(Field::WebsocketFlags, 0xc0), |_| true));
        let versions = read(Field::TlsVersion, "sslv3,tls1.0");
        assert!(versions.matches(&value(Field::TlsVersion, 0x0301), |_| true));
        assert!(!versions.matches(&value(Field::TlsVersion, 0x0303), |_| true));
        let call = |procedure, version| {
            [
                (Direction::ToServer, Field::NfsProcedure, procedure),
                (Direction::ToServer, Field::NfsVersion, version),
            ]
        };
        let write = read(Field::NfsProcedure, "WRITE");
        assert!(write.matches(&call(7, 3), |_| true));
        assert!(write.matches(&call(38, 4), |_| true));
        assert!(!write.matches(&call(7, 4), |_| true));
        let range = read(Field::NfsProcedure, "7<>8");
        assert!(range.matches(&call(8, 3), |_| true));
    }
}
