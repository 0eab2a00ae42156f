//! Which content of a rule is searched for first.

use super::Rule;
use crate::{
    protocol::Buffer,
    rule::{Content, Group, PacketTest, Target, Test, Value},
};

/// What every HTTP message has. As a fast pattern it would make a rule half found, and tried again
/// with each segment, on all of them.
const ORDINARY: [&[u8]; 12] = [
    b"get /",
    b"post /",
    b"put /",
    b" http/1.1\r\n\r\n",
    b"\r\nhost: ",
    b"\r\nuser-agent: ",
    b"\r\naccept: */*",
    b"\r\ncontent-type: ",
    b"\r\ncontent-length: ",
    b"\r\naccept-encoding: ",
    b"\r\nconnection: keep-alive",
    b"mozilla/5.0 (",
];

/// What is searched for first.
#[derive(Clone, Copy, Debug)]
pub(super) struct FastPattern<'a> {
    /// The tests that it is of.
    pub(super) group: &'a Group,
    pub(super) bytes: &'a [u8],
    /// Where it must end at the latest, in bytes from the start.
    pub(super) bound: usize,
}

/// The pattern to search for first. A rule on transactions may have it in the payload.
pub(super) fn first_pattern(rule: &Rule) -> Option<FastPattern<'_>> {
    let on_transactions = rule.on_transactions();
    if rule.transactional {
        return None;
    }
    fast_pattern(rule, |group| match group.target {
        Target::Transaction(_) => on_transactions,
        Target::Payload => true,
        _ => false,
    })
}

/// The pattern to search for first among the groups that `eligible` takes: the author's choice, else
/// the longest that must be there and is not ordinary.
fn fast_pattern(rule: &Rule, eligible: impl Fn(&Group) -> bool) -> Option<FastPattern<'_>> {
    let absent = |group: &Group| {
        group
            .tests
            .iter()
            .any(|test| matches!(test, Test::Absent { .. }))
    };
    let wanted = || {
        rule.groups
            .iter()
            .filter(|group| eligible(group) && !absent(group))
            .flat_map(|group| {
                let contents = group.tests.iter().filter_map(Test::content);
                contents
                    .filter(|content| !content.negated)
                    .map(move |content| (group, content))
            })
    };
    wanted()
        .find(|(_, content)| content.fast_pattern)
        .or_else(|| {
            wanted().max_by_key(|(group, content)| {
                let pattern = &content.pattern;
                (!ordinary(pattern), !common(group.target), pattern.len())
            })
        })
        .map(|(group, content)| FastPattern {
            group,
            bytes: searched(content),
            bound: match group.target {
                Target::Payload => bound(content).min(longest(rule)),
                _ => bound(content),
            },
        })
}

/// Where a content ends at the latest: nowhere is `usize::MAX`.
fn bound(content: &Content) -> usize {
    let end = || {
        let offset = content.offset.map_or(Some(0), Value::literal)?;
        let depth = content.depth.and_then(Value::literal)?;
        usize::try_from(offset.checked_add(depth)?).ok()
    };
    let end = (!content.is_relative()).then(end).flatten();
    end.unwrap_or(usize::MAX)
}

/// The longest payload that the rule matches (`dsize`).
fn longest(rule: &Rule) -> usize {
    let sizes = rule.packet.iter().filter_map(|test| match test {
        PacketTest::PayloadSize(test) => test.most(),
        _ => None,
    });
    let most = sizes.min().and_then(|most| usize::try_from(most).ok());
    most.unwrap_or(usize::MAX)
}

/// Buffers that hold one of few values: they say little.
const fn common(target: Target) -> bool {
    matches!(
        target,
        Target::Transaction(
            Buffer::HttpMethod
                | Buffer::HttpStatCode
                | Buffer::HttpProtocol
                | Buffer::HttpStatMsg
                | Buffer::HttpConnection
                | Buffer::HttpAcceptEncoding
                | Buffer::HttpContentLength
        )
    )
}

/// The part of a content that is searched first.
fn searched(content: &Content) -> &[u8] {
    let chopped = content.chop.and_then(|(offset, length)| {
        let from = usize::from(offset);
        content.pattern.get(from..from + usize::from(length))
    });
    chopped.unwrap_or(&content.pattern)
}

fn ordinary(pattern: &[u8]) -> bool {
    ORDINARY.iter().any(|text| {
        text.windows(pattern.len().max(1))
            .any(|part| part.eq_ignore_ascii_case(pattern))
    })
}
