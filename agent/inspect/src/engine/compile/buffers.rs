//! Rules on transactions, by the buffer that their pattern is searched in.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::super::{
    Rule,
    matcher::{Matcher, Pattern},
    pattern::fast_pattern,
};
use crate::{
    flow::Direction,
    protocol::{AppProtocol, Buffer, Transaction},
    rule::{Group, Target, Transform},
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
            let fast = fast_pattern(rule, |group| matches!(group.target, Target::Transaction(_)));
            for to_server in directions {
                match &fast {
                    Some(fast) if !rule.transactional => {
                        let pattern = Pattern {
                            bytes: fast.bytes.to_vec(),
                            bound: fast.bound,
                            rule: index,
                        };
                        if let Some(draft) = draft(&mut drafts, fast.group)
                            && let Some(list) = draft.patterns.get_mut(usize::from(to_server))
                        {
                            list.push(pattern);
                        }
                    }
                    _ => others
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
                if list.transforms.is_empty() {
                    matcher.find(bytes, 0, instance.scanned(), |rule| push(&mut found, rule));
                } else if instance.is_closed() {
                    let mut data = Cow::Borrowed(bytes);
                    for transform in &list.transforms {
                        data = Cow::Owned(transform.apply(&data).into_owned());
                    }
                    matcher.find(&data, 0, 0, |rule| push(&mut found, rule));
                }
            }
            transaction.mark_scanned(at);
        }
        transaction.matching.candidates = found;
    }
}

/// The list that a group's pattern belongs to. Few lists: walking them costs less than a map of keys
/// that hold patterns.
fn draft<'a, 'b>(drafts: &'a mut Vec<Draft<'b>>, group: &'b Group) -> Option<&'a mut Draft<'b>> {
    let Target::Transaction(buffer) = group.target else {
        return None;
    };
    let transforms = group.transforms.as_slice();
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

/// Adds a rule once, in order.
fn push(rules: &mut Vec<u32>, rule: u32) {
    if let Err(at) = rules.binary_search(&rule) {
        rules.insert(at, rule);
    }
}
