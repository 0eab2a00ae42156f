//! Typed values of the options that are not content.

use super::{diagnostic::Fault, source::Span};

/// `flow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOption {
    /// `to_server`/`from_client` or `to_client`/`from_server`.
    pub to_server: Option<bool>,
    /// `established` or `not_established`.
    pub established: Option<bool>,
    /// `only_stream`: not on packets; `no_stream`: not on the stream.
    pub stream: Option<bool>,
    /// `only_frag`: datagrams put together from fragments; `no_frag`: others.
    pub fragmented: Option<bool>,
}

/// `flags`: TCP flags against a wanted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagsTest {
    /// The set.
    pub wanted: u8,
    /// Flags that are looked at; others may be as they like.
    pub mask: u8,
    /// How they compare.
    pub mode: FlagsMode,
}

/// How `flags` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagsMode {
    /// Exactly these.
    Exact,
    /// `+`: these, and perhaps others.
    All,
    /// `*`: any of these.
    Any,
    /// `!`: none of these.
    None,
}

impl FlagsTest {
    /// Whether a segment with `flags` passes.
    #[must_use]
    pub const fn matches(self, flags: u8) -> bool {
        let seen = flags & self.mask;
        match self.mode {
            FlagsMode::Exact => seen == self.wanted,
            FlagsMode::All => seen & self.wanted == self.wanted,
            FlagsMode::Any => seen & self.wanted != 0,
            FlagsMode::None => seen & self.wanted == 0,
        }
    }
}

/// `threshold`: how often a rule may alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// `type`.
    pub kind: ThresholdKind,
    /// `track`.
    pub track: Track,
    /// `count`.
    pub count: u32,
    /// `seconds`; 0 is as long as the tracked thing lives.
    pub seconds: u32,
    /// `multiplier` of `backoff`.
    pub multiplier: u32,
    /// `unique_on`: only distinct ports of this end are counted (`false` source, `true` destination).
    pub unique: Option<bool>,
}

/// `threshold: type …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// At most `count` alerts in `seconds`.
    Limit,
    /// Every `count`th match within `seconds` alerts.
    Threshold,
    /// One alert in `seconds`, after `count` matches.
    Both,
    /// After `count` matches, then after `multiplier` times as many, and so on.
    Backoff,
    /// `detection_filter`: every match after the first `count` within `seconds`.
    Filter,
}

/// What a threshold counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// Source address.
    BySource,
    /// Destination address.
    ByDestination,
    /// The rule alone.
    ByRule,
    /// Both addresses.
    ByBoth,
    /// The flow.
    ByFlow,
}

pub(super) fn flow(value: Span<'_>) -> Result<FlowOption, Fault> {
    let mut flow = FlowOption::default();
    for word in value.split(',').map(Span::trim) {
        let (field, wanted): (&mut Option<bool>, Option<bool>) = match word.text {
            "to_server" | "from_client" => (&mut flow.to_server, Some(true)),
            "to_client" | "from_server" => (&mut flow.to_server, Some(false)),
            "established" => (&mut flow.established, Some(true)),
            "not_established" => (&mut flow.established, Some(false)),
            "stateless" => (&mut flow.established, None),
            "only_stream" => (&mut flow.stream, Some(true)),
            "no_stream" => (&mut flow.stream, Some(false)),
            "only_frag" => (&mut flow.fragmented, Some(true)),
            "no_frag" => (&mut flow.fragmented, Some(false)),
            other => {
                return Err(Fault::new(word.at, format!("flow option `{other}` is not supported"))
                    .hint("to_server, to_client, established, not_established, stateless, only_stream or no_stream"));
            }
        };
        if field.is_some() && wanted.is_some() && *field != wanted {
            return Err(Fault::new(
                word.at,
                format!("`{}` contradicts what stands before", word.text),
            ));
        }
        *field = wanted.or(*field);
    }
    Ok(flow)
}

pub(super) fn flags(value: Span<'_>) -> Result<FlagsTest, Fault> {
    let (test, ignored) = match value.split_once(',') {
        Some((test, ignored)) => (test.trim(), flag_set(ignored.trim())?),
        None => (value, 0),
    };
    let modifier = |c: char| matches!(c, '+' | '*' | '!');
    let letters = test.text.trim_matches(modifier);
    let mode = match test.text.replace(letters, "").as_str() {
        "" => FlagsMode::Exact,
        "+" => FlagsMode::All,
        "*" => FlagsMode::Any,
        "!" => FlagsMode::None,
        other => {
            return Err(
                Fault::new(test.at, format!("unknown flags modifier `{other}`")).hint("+, * or !"),
            );
        }
    };
    let wanted = if letters == "0" {
        0
    } else {
        flag_set(Span::new(letters, test.at))?
    };
    if wanted & ignored != 0 {
        return Err(Fault::new(value.at, "a flag is both wanted and ignored"));
    }
    Ok(FlagsTest {
        wanted,
        mask: !ignored,
        mode,
    })
}

fn flag_set(span: Span<'_>) -> Result<u8, Fault> {
    if span.text.is_empty() {
        return Err(Fault::new(span.at, "no flags"));
    }
    span.text.chars().try_fold(0, |set, letter| {
        let flag = match letter.to_ascii_uppercase() {
            'F' => 0x01,
            'S' => 0x02,
            'R' => 0x04,
            'P' => 0x08,
            'A' => 0x10,
            'U' => 0x20,
            'E' | '2' => 0x40,
            'C' | '1' => 0x80,
            other => {
                return Err(Fault::new(span.at, format!("unknown TCP flag `{other}`"))
                    .hint("F S R P A U E C or 0"));
            }
        };
        Ok(set | flag)
    })
}

/// `type limit|threshold|both|backoff, track …, count N, seconds N`.
pub(super) fn threshold(value: Span<'_>) -> Result<Threshold, Fault> {
    settings(value, None)
}

/// `track …, count N, seconds N[, unique_on src_port|dst_port]`.
pub(super) fn detection_filter(value: Span<'_>) -> Result<Threshold, Fault> {
    settings(value, Some(ThresholdKind::Filter))
}

/// `by_…`.
pub(super) fn track(name: &str) -> Option<Track> {
    Some(match name {
        "by_src" => Track::BySource,
        "by_dst" => Track::ByDestination,
        "by_rule" => Track::ByRule,
        "by_both" => Track::ByBoth,
        "by_flow" => Track::ByFlow,
        _ => return None,
    })
}

fn settings(value: Span<'_>, mut kind: Option<ThresholdKind>) -> Result<Threshold, Fault> {
    let (mut track, mut count, mut seconds) = (None, None, None);
    let (mut multiplier, mut unique) = (None, None);
    for part in value.split(',').map(Span::trim) {
        let (name, argument) = part
            .text
            .split_once(char::is_whitespace)
            .unwrap_or((part.text, ""));
        let argument = argument.trim();
        let unknown = || {
            Fault::new(
                part.at,
                format!("unknown threshold setting `{}`", part.text),
            )
        };
        match (name, argument) {
            ("type", "limit") => kind = Some(ThresholdKind::Limit),
            ("type", "threshold") => kind = Some(ThresholdKind::Threshold),
            ("type", "both") => kind = Some(ThresholdKind::Both),
            ("type", "backoff") => kind = Some(ThresholdKind::Backoff),
            ("track", by) if self::track(by).is_some() => track = self::track(by),
            ("count", number) => count = Some(number.parse().map_err(|_| unknown())?),
            ("seconds", number) => seconds = Some(number.parse().map_err(|_| unknown())?),
            ("multiplier", number) => multiplier = Some(number.parse().map_err(|_| unknown())?),
            ("unique_on", "src_port") => unique = Some(false),
            ("unique_on", "dst_port") => unique = Some(true),
            _ => {
                return Err(unknown().hint(
                    "type limit|threshold|both|backoff, track by_src|by_dst|by_rule|by_both|by_flow, \
                     count N, seconds N",
                ));
            }
        }
    }
    let backoff = kind == Some(ThresholdKind::Backoff);
    match (kind, track, count, seconds) {
        (Some(kind), Some(track), Some(count), seconds)
            if count > 0 && (seconds.is_some_and(|seconds| seconds > 0) || backoff) =>
        {
            Ok(Threshold {
                kind,
                track,
                count,
                seconds: seconds.unwrap_or(0),
                multiplier: multiplier.unwrap_or(10),
                unique,
            })
        }
        _ => Err(Fault::new(
            value.at,
            "a threshold needs type, track, count and seconds, both above 0",
        )),
    }
}
