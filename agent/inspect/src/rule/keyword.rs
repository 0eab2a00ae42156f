//! Options: from `keyword:value;` to a typed rule, by one table.

use super::{
    content::{self, Content},
    diagnostic::Fault,
    header::Protocol,
    options::{self, FlagsTest, FlowOption, ItemRange, Threshold},
    source::Span,
};

/// Most contents of one rule.
const MAX_CONTENTS: usize = 64;

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
    pub(super) contents: Vec<Content>,
    pub(super) flow: Option<FlowOption>,
    pub(super) flags: Option<FlagsTest>,
    pub(super) dsize: Option<ItemRange>,
    pub(super) itype: Option<ItemRange>,
    pub(super) icode: Option<ItemRange>,
    pub(super) threshold: Option<Threshold>,
    /// Where each option stands.
    places: Vec<(&'static str, usize)>,
}

impl Options {
    /// Where `keyword` stands in the file, if the rule `rule` has it; else where the rule begins.
    pub(super) fn place(&self, keyword: &str, rule: Span<'_>) -> usize {
        let mut places = self.places.iter();
        places
            .find(|(name, _)| *name == keyword)
            .map_or(rule.at, |(_, at)| *at)
    }
}

type Apply = fn(&mut Options, Span<'_>) -> Result<(), Fault>;

/// Every keyword that is understood.
const KEYWORDS: [(&str, Apply); 26] = [
    ("msg", |o, v| set(&mut o.msg, quoted(v)?, v)),
    ("sid", |o, v| set(&mut o.sid, number(v)?, v)),
    ("rev", |o, v| set(&mut o.rev, number(v)?, v)),
    ("gid", |o, v| set(&mut o.gid, number(v)?, v)),
    ("priority", |o, v| match number(v)? {
        0 => Err(Fault::new(v.at, "a priority is 1 (worst) to 255")),
        priority => set(&mut o.priority, priority, v),
    }),
    ("classtype", |o, v| {
        set(&mut o.classtype, (v.text.to_owned(), v.at), v)
    }),
    ("reference", |o, v| {
        let (kind, target) = v
            .split_once(',')
            .ok_or_else(|| Fault::new(v.at, "a reference is TYPE,VALUE"))?;
        o.references
            .push((kind.trim().text.to_owned(), target.trim().text.to_owned()));
        Ok(())
    }),
    ("metadata", |o, v| {
        for pair in v
            .split(',')
            .map(Span::trim)
            .filter(|pair| !pair.text.is_empty())
        {
            let (key, value) = pair
                .text
                .split_once(char::is_whitespace)
                .unwrap_or((pair.text, ""));
            o.metadata.push((key.to_owned(), value.trim().to_owned()));
        }
        Ok(())
    }),
    ("content", |o, v| {
        if o.contents.len() >= MAX_CONTENTS {
            return Err(Fault::new(
                v.at,
                format!("more than {MAX_CONTENTS} contents"),
            ));
        }
        o.contents.push(content::parse(v)?);
        Ok(())
    }),
    ("nocase", |o, v| {
        alone(v)?;
        let content = last(o, v)?;
        content.nocase = true;
        content.pattern.make_ascii_lowercase();
        Ok(())
    }),
    ("offset", |o, v| {
        let offset = number(v)?;
        set(&mut last(o, v)?.offset, offset, v)
    }),
    ("depth", |o, v| {
        let depth = number(v)?;
        let content = last(o, v)?;
        long_enough(content, depth, v)?;
        set(&mut content.depth, depth, v)
    }),
    ("distance", |o, v| {
        let distance = number(v)?;
        set(&mut relative(o, v)?.distance, distance, v)
    }),
    ("within", |o, v| {
        let within = number(v)?;
        let content = relative(o, v)?;
        long_enough(content, within, v)?;
        set(&mut content.within, within, v)
    }),
    ("startswith", |o, v| {
        alone(v)?;
        let content = last(o, v)?;
        let length = u32::try_from(content.pattern.len()).unwrap_or(u32::MAX);
        set(&mut content.offset, 0, v)?;
        set(&mut content.depth, length, v)
    }),
    ("endswith", |o, v| {
        alone(v)?;
        last(o, v)?.endswith = true;
        Ok(())
    }),
    ("fast_pattern", |o, v| {
        if !v.text.is_empty() && v.text != "only" {
            return Err(Fault::new(
                v.at,
                "only `fast_pattern` and `fast_pattern:only` are supported",
            ));
        }
        if o.contents.iter().any(|content| content.fast_pattern) {
            return Err(Fault::new(v.at, "a rule has one fast_pattern"));
        }
        let content = last(o, v)?;
        if content.negated {
            return Err(Fault::new(
                v.at,
                "a negated content cannot be the fast_pattern",
            ));
        }
        content.fast_pattern = true;
        Ok(())
    }),
    ("flow", |o, v| set(&mut o.flow, options::flow(v)?, v)),
    ("flags", |o, v| set(&mut o.flags, options::flags(v)?, v)),
    ("tcp.flags", |o, v| set(&mut o.flags, options::flags(v)?, v)),
    ("dsize", |o, v| set(&mut o.dsize, options::range(v)?, v)),
    ("itype", |o, v| set(&mut o.itype, options::range(v)?, v)),
    ("icode", |o, v| set(&mut o.icode, options::range(v)?, v)),
    ("threshold", |o, v| {
        set(&mut o.threshold, options::threshold(v)?, v)
    }),
    // Hints for other engines: they change nothing here.
    ("rawbytes", |_, _| Ok(())),
    ("target", |_, _| Ok(())),
];

/// Applies all options of a rule. All faults are reported.
pub(super) fn parse(span: Span<'_>, faults: &mut Vec<Fault>) -> Options {
    let mut options = Options::default();
    for option in split(span) {
        let (name, value) = match option.split_once(':') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => (option, option.slice(option.text.len(), option.text.len())),
        };
        let result = match KEYWORDS.iter().find(|(keyword, _)| *keyword == name.text) {
            Some((keyword, apply)) => {
                options.places.push((keyword, name.at));
                apply(&mut options, value)
            }
            None => Err(unknown(name)),
        };
        if let Err(fault) = result {
            faults.push(fault.keyword(name.text));
        }
    }
    options
}

/// Complains about options that `protocol` has no use for: such a rule could never match.
pub(super) fn fit(options: &Options, protocol: Protocol, rule: Span<'_>, faults: &mut Vec<Fault>) {
    let tcp = matches!(protocol, Protocol::Tcp | Protocol::TcpPacket);
    let icmp = protocol == Protocol::Icmp;
    let stream = protocol == Protocol::TcpStream;
    let checks = [
        (
            "flags",
            options.flags.is_some() && !tcp,
            "needs a rule for tcp",
        ),
        (
            "itype",
            options.itype.is_some() && !icmp,
            "needs a rule for icmp",
        ),
        (
            "icode",
            options.icode.is_some() && !icmp,
            "needs a rule for icmp",
        ),
        (
            "dsize",
            options.dsize.is_some() && stream,
            "looks at packets, the rule only at the stream",
        ),
    ];
    for (keyword, wrong, message) in checks {
        if wrong {
            let at = options.place(keyword, rule);
            faults.push(Fault::new(at, message).keyword(keyword));
        }
    }
}

/// Refuses a value.
fn alone(value: Span<'_>) -> Result<(), Fault> {
    if value.text.is_empty() {
        Ok(())
    } else {
        Err(Fault::new(value.at, "takes no value"))
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
    let nearest = KEYWORDS
        .iter()
        .map(|(keyword, _)| (distance(keyword, name.text), *keyword))
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

fn set<T>(slot: &mut Option<T>, value: T, at: Span<'_>) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::new(at.at, "given twice"));
    }
    *slot = Some(value);
    Ok(())
}

fn last<'a>(options: &'a mut Options, at: Span<'_>) -> Result<&'a mut Content, Fault> {
    options
        .contents
        .last_mut()
        .ok_or_else(|| Fault::new(at.at, "there is no content before it"))
}

fn relative<'a>(options: &'a mut Options, at: Span<'_>) -> Result<&'a mut Content, Fault> {
    let content = last(options, at)?;
    if content.offset.is_some() || content.depth.is_some() {
        return Err(Fault::new(
            at.at,
            "a content counts from the start or from the previous match, not both",
        ));
    }
    Ok(content)
}

fn long_enough(content: &Content, room: u32, at: Span<'_>) -> Result<(), Fault> {
    let length = u32::try_from(content.pattern.len()).unwrap_or(u32::MAX);
    if room < length {
        return Err(Fault::new(
            at.at,
            format!("the content has {length} bytes and cannot lie within {room}"),
        ));
    }
    Ok(())
}

fn number<T: std::str::FromStr>(value: Span<'_>) -> Result<T, Fault> {
    value.text.parse().map_err(|_| {
        Fault::new(
            value.at,
            format!("`{}` is no number that fits here", value.text),
        )
    })
}

fn quoted(value: Span<'_>) -> Result<String, Fault> {
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
