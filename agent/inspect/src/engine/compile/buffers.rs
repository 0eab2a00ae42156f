//! Rules on transactions, by the buffer that their pattern is searched in.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::super::{
    Rule,
    matcher::{Matcher, Noted, Pattern},
    pattern::{FastPattern, first_pattern},
};
use crate::{
    flow::Direction,
    protocol::{AppProtocol, Buffer, Instance, Transaction},
    rule::{Target, Transform},
};

/// The rules that look at transactions.
#[derive(Debug)]
pub(super) struct Buffers {
    lists: Vec<List>,
    /// Positions in `lists` for each buffer.
    by_buffer: Vec<Vec<usize>>,
    /// Rules without a pattern, on transactions or on frames.
    others: HashMap<Unsearched, Vec<u32>>,
}

/// What rules without a pattern are tried on: the protocol (none: any), whether to the server, and
/// whether on frames instead of transactions.
type Unsearched = (Option<AppProtocol>, bool, bool);

/// A buffer that mostly holds the same bytes as another: what is looked for in the first is looked for in
/// the second too, and the first is searched only where it differs.
const TWIN: (Buffer, Buffer) = (Buffer::HttpResponseBody, Buffer::FileData);
/// Bytes before what is new in which twins must be alike: no pattern is longer.
const LONGEST: usize = 4_096;

/// Rules that search one buffer after the same transforms.
#[derive(Debug)]
struct List {
    buffer: Buffer,
    transforms: Vec<Transform>,
    /// By direction: to the client, to the server.
    matchers: [Matcher; 2],
}

/// The patterns of a list, before they are compiled.
struct Draft<'a> {
    buffer: Buffer,
    transforms: &'a [Transform],
    /// By direction: to the client, to the server.
    patterns: [Vec<Pattern>; 2],
}

impl Buffers {
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        let mut others = HashMap::<_, Vec<u32>>::new();
        for (index, rule) in (0_u32..).zip(rules) {
            if !rule.on_transactions() {
                continue;
            }
            let directions = [false, true].into_iter().filter(|to_server| {
                let wanted = rule.flow.to_server;
                wanted.is_none_or(|wanted| wanted == *to_server)
            });
            let fast = first_pattern(rule);
            if fast.is_some_and(|fast| fast.group.target == Target::Payload) {
                continue;
            }
            for to_server in directions {
                match &fast {
                    Some(fast) => add(&mut drafts, fast, index, to_server),
                    None => others
                        .entry((rule.application, to_server, rule.on_frames()))
                        .or_default()
                        .push(index),
                }
            }
        }
        let mut by_buffer = vec![Vec::new(); Buffer::ALL.len()];
        for (at, draft) in drafts.iter().enumerate() {
            if let Some(positions) = by_buffer.get_mut(draft.buffer.index()) {
                positions.push(at);
            }
        }
        let lists = drafts.into_iter().map(|draft| List {
            buffer: draft.buffer,
            transforms: draft.transforms.to_vec(),
            matchers: draft.patterns.map(Matcher::new),
        });
        Self {
            lists: lists.collect(),
            by_buffer,
            others,
        }
    }

    /// Adds the rules whose pattern is in what `transaction` has got in this direction since the
    /// last call to its candidates.
    pub(super) fn candidates(
        &self,
        transaction: &mut Transaction,
        protocol: Option<AppProtocol>,
        direction: Direction,
        noted: &mut Noted,
    ) {
        let to_server = direction == Direction::ToServer;
        let mut found = core::mem::take(&mut transaction.matching.candidates);
        let side = usize::from(to_server);
        let frame = transaction.is_frame();
        let begun = transaction.matching.begun.get_mut(side);
        if begun.is_some_and(|begun| !core::mem::replace(begun, true)) {
            let of = |protocol| self.others.get(&(protocol, to_server, frame));
            let special = protocol.and_then(|_| of(protocol));
            let general = of(None);
            for rule in [special, general].into_iter().flatten().flatten() {
                push(&mut found, *rule);
            }
            // Rules about what the protocol is one of.
            for wider in [
                AppProtocol::Http,
                AppProtocol::Http1,
                AppProtocol::Http2,
                AppProtocol::Dns,
                AppProtocol::Dcerpc,
            ] {
                if protocol.is_some_and(|it| it != wider && wider.includes(it)) {
                    for rule in of(Some(wider)).into_iter().flatten() {
                        push(&mut found, *rule);
                    }
                }
            }
        }
        for at in 0..transaction.instances().len() {
            let Some(instance) = transaction.instances().get(at) else {
                break;
            };
            if instance.direction != direction || instance.is_scanned() {
                continue;
            }
            let lists = self.by_buffer.get(instance.buffer.index());
            for list in lists
                .into_iter()
                .flatten()
                .filter_map(|at| self.lists.get(*at))
            {
                debug_assert_eq!(list.buffer, instance.buffer);
                let bytes = transaction.bytes(instance);
                let Some(matcher) = list.matchers.get(side) else {
                    continue;
                };
                if list.transforms.is_empty() && has_twin(transaction, instance) {
                    continue;
                }
                if list.transforms.is_empty() {
                    matcher.find(bytes, 0, instance.scanned(), noted, |rule| {
                        push(&mut found, rule);
                    });
                } else if instance.is_closed() {
                    let mut data = Cow::Borrowed(bytes);
                    for transform in &list.transforms {
                        data = Cow::Owned(transform.apply(&data).into_owned());
                    }
                    matcher.find(&data, 0, 0, noted, |rule| push(&mut found, rule));
                }
            }
            transaction.mark_scanned(at);
        }
        transaction.matching.candidates = found;
    }
}

/// Adds the pattern of a rule to the lists of its buffer.
fn add<'a>(drafts: &mut Vec<Draft<'a>>, fast: &FastPattern<'a>, rule: u32, to_server: bool) {
    let Target::Transaction(buffer) = fast.group.target else {
        return;
    };
    let transforms = case_aside(&fast.group.transforms);
    let twin = (buffer == TWIN.0 && transforms.is_empty()).then_some(TWIN.1);
    for buffer in [Some(buffer), twin].into_iter().flatten() {
        if let Some(draft) = draft(drafts, buffer, transforms)
            && let Some(list) = draft.patterns.get_mut(usize::from(to_server))
        {
            list.push(Pattern {
                bytes: fast.bytes.to_vec(),
                bound: fast.bound,
                rule,
            });
        }
    }
}

/// The list of a buffer after these transforms. Few lists: walking them costs less than a map of keys
/// that hold patterns.
fn draft<'a, 'b>(
    drafts: &'a mut Vec<Draft<'b>>,
    buffer: Buffer,
    transforms: &'b [Transform],
) -> Option<&'a mut Draft<'b>> {
    let known = drafts
        .iter()
        .position(|draft| draft.buffer == buffer && draft.transforms == transforms);
    let at = known.unwrap_or(drafts.len());
    if known.is_none() {
        drafts.push(Draft {
            buffer,
            transforms,
            patterns: Default::default(),
        });
    }
    drafts.get_mut(at)
}

/// Without those at the end that change nothing but case, of which the search takes no notice.
fn case_aside(mut transforms: &[Transform]) -> &[Transform] {
    while let Some((
        Transform::ToLowercase | Transform::ToUppercase | Transform::HeaderLowercase,
        before,
    )) = transforms.split_last()
    {
        transforms = before;
    }
    transforms
}

/// Whether another buffer has the same bytes, and is searched for the same patterns.
fn has_twin(transaction: &Transaction, instance: &Instance) -> bool {
    let scanned = instance.scanned();
    let fresh = |instance| {
        let bytes = transaction.bytes(instance);
        (bytes.len(), bytes.get(scanned.saturating_sub(LONGEST)..))
    };
    instance.buffer == TWIN.0
        && transaction.instances().iter().any(|other| {
            other.buffer == TWIN.1
                && other.direction == instance.direction
                && other.scanned() == scanned
                && fresh(other) == fresh(instance)
        })
}

/// Adds a rule once, in order.
fn push(rules: &mut Vec<u32>, rule: u32) {
    if let Err(at) = rules.binary_search(&rule) {
        rules.insert(at, rule);
    }
}
