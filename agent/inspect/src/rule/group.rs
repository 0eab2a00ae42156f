//! Lists with ranges, nesting and negation: the same for addresses and ports.

use core::{cmp::Ordering, fmt};

use super::{diagnostic::Fault, source::Span};

/// Deepest nesting of lists and variables.
const MAX_DEPTH: usize = 16;
/// Most members of one list, nested ones included.
const MAX_MEMBERS: usize = 10_000;

/// A set of values. Empty `include` means any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group<T> {
    include: Vec<Member<T>>,
    exclude: Vec<Member<T>>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Member<T> {
    /// Both ends included.
    Range(T, T),
    List(Group<T>),
}

impl<T: Ord + Copy> Group<T> {
    /// Whether `value` is in the set.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        let any = |members: &[Member<T>]| contains(members, value);
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether every value is in the set.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

impl<T: Ord + Copy> Group<T> {
    /// Ranges, both ends included, one of which has every value of the set; not all that they have is
    /// in it. `None` when the set says only what is not in it.
    pub(crate) fn cover(&self) -> Option<Vec<(T, T)>> {
        let mut ranges = Vec::new();
        for member in &self.include {
            match member {
                Member::Range(low, high) => ranges.push((*low, *high)),
                Member::List(list) => ranges.append(&mut list.cover()?),
            }
        }
        (!ranges.is_empty()).then_some(ranges)
    }

    /// Sorts the ranges to the front, so that long lists need not be walked.
    fn sort(&mut self) {
        for member in self.include.iter_mut().chain(&mut self.exclude) {
            if let Member::List(group) = member {
                group.sort();
            }
        }
        // Beside "any", also that of a variable, the others say nothing.
        let any = |member: &Member<T>| matches!(member, Member::List(list) if list.is_any());
        if self.include.iter().any(any) {
            self.include.clear();
        }
        for members in [&mut self.include, &mut self.exclude] {
            members.sort_by(|a, b| match (a, b) {
                (Member::Range(low, high), Member::Range(other, end)) => {
                    (low, high).cmp(&(other, end))
                }
                (Member::Range(..), Member::List(_)) => Ordering::Less,
                (Member::List(_), Member::Range(..)) => Ordering::Greater,
                (Member::List(_), Member::List(_)) => Ordering::Equal,
            });
            members.dedup_by(|later, earlier| match (later, earlier) {
                (Member::Range(low, high), Member::Range(_, end)) if *low <= *end => {
                    *end = (*high).max(*end);
                    true
                }
                _ => false,
            });
        }
    }
}

/// Whether `value` is in one of the members: sorted ranges that do not overlap, then lists.
fn contains<T: Ord + Copy>(members: &[Member<T>], value: T) -> bool {
    let ranges = members.partition_point(|member| match member {
        Member::Range(low, _) => *low <= value,
        Member::List(_) => false,
    });
    let last = ranges.checked_sub(1).and_then(|at| members.get(at));
    let lists = members
        .iter()
        .rev()
        .take_while(|member| matches!(member, Member::List(_)));
    last.is_some_and(|member| member.contains(value))
        || lists.into_iter().any(|list| list.contains(value))
}

impl<T: Ord + Copy> Member<T> {
    fn contains(&self, value: T) -> bool {
        match self {
            Self::Range(low, high) => (*low..=*high).contains(&value),
            Self::List(group) => group.contains(value),
        }
    }
}

/// In words: `any`, `10.0.0.0-10.255.255.255 but not 10.0.0.1`.
impl<T: fmt::Display + PartialEq> fmt::Display for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, members: &[Member<T>]| {
            for (at, member) in members.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { ", " })?;
                member.fmt(f)?;
            }
            Ok(())
        };
        if let ([Member::List(only)], []) = (&*self.include, &*self.exclude) {
            return only.fmt(f);
        }
        if self.include.is_empty() {
            f.write_str("any")?;
        }
        list(f, &self.include)?;
        if !self.exclude.is_empty() {
            f.write_str(" but not ")?;
        }
        list(f, &self.exclude)
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(low, high) if low == high => low.fmt(f),
            Self::Range(low, high) => write!(f, "{low}-{high}"),
            Self::List(group) if group.exclude.is_empty() => group.fmt(f),
            Self::List(group) => write!(f, "({group})"),
        }
    }
}

/// What differs between addresses and ports.
pub(super) struct Grammar<'a, T> {
    /// One value or range.
    pub(super) atom: fn(Span<'_>) -> Result<(T, T), Fault>,
    /// The text of a variable.
    pub(super) variable: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl<T: Ord + Copy> Grammar<'_, T> {
    /// Parses a group.
    pub(super) fn parse(&self, span: Span<'_>) -> Result<Group<T>, Fault> {
        let mut group = Group::default();
        let mut members = 0;
        if span.text.contains(',') && !span.text.contains('[') {
            // A list whose brackets were forgotten.
            let text = format!("[{}]", span.text);
            self.member(
                Span::new(&text, span.at),
                span.at,
                &mut group,
                0,
                &mut members,
            )?;
            group.sort();
            return Ok(group);
        }
        self.member(span.trim(), span.at, &mut group, 0, &mut members)?;
        group.sort();
        Ok(group)
    }

    /// Adds what `span` says to `group`. `at` is the place to complain about: inside a variable, where
    /// the variable is used.
    fn member(
        &self,
        span: Span<'_>,
        at: usize,
        group: &mut Group<T>,
        depth: usize,
        members: &mut usize,
    ) -> Result<(), Fault> {
        *members += 1;
        if depth > MAX_DEPTH || *members > MAX_MEMBERS {
            return Err(Fault::new(at, "list too deep or too long").hint(format!(
                "at most {MAX_DEPTH} levels and {MAX_MEMBERS} members"
            )));
        }
        let (negated, span) = match span.text.strip_prefix('!') {
            Some(_) => (true, span.slice(1, span.text.len()).trim()),
            None => (false, span),
        };
        if span.text.is_empty() {
            return Err(Fault::new(at, "empty list member"));
        }
        if span.text.starts_with('!') {
            return Err(Fault::new(at, "doubly negated list member"));
        }
        if span.text.eq_ignore_ascii_case("any") {
            if negated {
                return Err(Fault::new(at, "`!any` matches nothing"));
            }
            group.include.push(Member::List(Group::default()));
            return Ok(());
        }
        let mut member = if span.text.starts_with('[') {
            Member::List(self.list(span, at, depth, members)?)
        } else if let Some(name) = span.text.strip_prefix('$') {
            let value = (self.variable)(name).ok_or_else(|| {
                Fault::new(at, format!("unknown variable `${name}`"))
                    .hint("define it in the configuration under rules.variables")
            })?;
            let mut inner = Group::default();
            self.member(
                Span::new(value, at).trim(),
                at,
                &mut inner,
                depth + 1,
                members,
            )?;
            Member::List(inner)
        } else {
            let (low, high) = (self.atom)(span).map_err(|fault| Fault { at, ..fault })?;
            Member::Range(low, high)
        };
        if let (false, Member::List(inner)) = (negated, &mut member)
            && inner.include.is_empty()
        {
            // `$NOT_WEB` in a list takes away from the list, it does not add everything else.
            group.exclude.append(&mut inner.exclude);
        } else if negated {
            group.exclude.push(member);
        } else {
            group.include.push(member);
        }
        Ok(())
    }

    fn list(
        &self,
        span: Span<'_>,
        at: usize,
        depth: usize,
        members: &mut usize,
    ) -> Result<Group<T>, Fault> {
        let inside = span
            .text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .ok_or_else(|| Fault::new(at, "list without closing `]`"))?;
        // Inside a variable all places are the variable's.
        let literal = span.at != at || depth == 0;
        let mut group = Group::default();
        let mut start = 0;
        let mut level = 0_usize;
        for (position, byte) in inside.bytes().chain([b',']).enumerate() {
            match byte {
                b'[' => level += 1,
                b']' => {
                    level = level
                        .checked_sub(1)
                        .ok_or_else(|| Fault::new(at, "`]` without `[` in a list"))?;
                }
                b',' if level == 0 => {
                    let text = inside.get(start..position).unwrap_or_default();
                    let member = Span::new(text, span.at + 1 + start).trim();
                    let place = if literal { member.at } else { at };
                    self.member(member, place, &mut group, depth + 1, members)?;
                    start = position + 1;
                }
                _ => {}
            }
        }
        if level != 0 {
            return Err(Fault::new(at, "`[` without `]` in a list"));
        }
        Ok(group)
    }
}
