//! Filters of alerts beside the rules (Suricata: `threshold.config`).

use core::net::IpAddr;
use std::collections::HashMap;

use super::{
    AddressGroup, Threshold, Track, Variables,
    diagnostic::Fault,
    header, options,
    source::{Span, outside_brackets},
};

/// Which alerts are held back, by generator and signature; 0 stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilters {
    suppressions: HashMap<Id, Vec<Suppression>>,
    limits: HashMap<Id, Threshold>,
    rates: HashMap<Id, Vec<RateFilter>>,
}

/// gid and sid.
type Id = (u32, u32);

/// `suppress`: no alert, or none about these addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suppression {
    /// The ends that are looked at, source and destination: one of them must be in the set.
    ends: [bool; 2],
    addresses: AddressGroup,
}

/// `rate_filter … new_action pass`: no alerts for a while after too many matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFilter {
    /// `track`.
    pub track: Track,
    /// Matches within [`Self::seconds`] that are let by.
    pub count: u32,
    /// Window of the count.
    pub seconds: u32,
    /// Seconds during which nothing is let by once there were more.
    pub timeout: u32,
}

/// One line of a file.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: Id,
    pub(super) filter: Filter,
    /// It loads, but does not do all that it asks for.
    pub(super) warning: Option<Fault>,
}

/// What a line asks for.
#[derive(Debug)]
pub(super) enum Filter {
    Suppress([bool; 2], AddressGroup),
    Limit(Threshold),
    /// `None` when its new action is what happens anyway.
    Rate(Option<RateFilter>),
}

impl AlertFilters {
    pub(super) fn add(&mut self, id: Id, filter: Filter) {
        match filter {
            Filter::Suppress(ends, addresses) => {
                let suppression = Suppression { ends, addresses };
                self.suppressions.entry(id).or_default().push(suppression);
            }
            // As elsewhere, the last line for a signature counts.
            Filter::Limit(threshold) => {
                self.limits.insert(id, threshold);
            }
            Filter::Rate(Some(rate)) => self.rates.entry(id).or_default().push(rate),
            Filter::Rate(None) => {}
        }
    }

    /// Whether an alert of this signature between these two is not wanted.
    #[must_use]
    pub fn suppresses(&self, gid: u32, sid: u32, source: IpAddr, destination: IpAddr) -> bool {
        let holds = |suppression: &Suppression| {
            let ends = suppression.ends.into_iter().zip([source, destination]);
            ends.into_iter()
                .any(|(asked, end)| asked && suppression.addresses.contains(end))
        };
        !self.suppressions.is_empty()
            && scopes(gid, sid)
                .iter()
                .filter_map(|id| self.suppressions.get(id))
                .flatten()
                .any(holds)
    }

    /// The `event_filter` that names this signature.
    pub(super) fn limit_of(&self, gid: u32, sid: u32) -> Option<Threshold> {
        self.limits.get(&(gid, sid)).copied()
    }

    /// The `event_filter` of this signature, or else the one of all.
    #[must_use]
    pub fn limit(&self, gid: u32, sid: u32) -> Option<Threshold> {
        let mut limits = scopes(gid, sid).into_iter();
        limits.find_map(|(gid, sid)| self.limit_of(gid, sid))
    }

    /// The `rate_filter`s that count matches of this signature.
    pub fn rates(&self, gid: u32, sid: u32) -> impl Iterator<Item = &RateFilter> {
        scopes(gid, sid)
            .into_iter()
            .filter_map(|id| self.rates.get(&id))
            .flatten()
    }
}

/// What applies to a signature, the most particular first.
const fn scopes(gid: u32, sid: u32) -> [Id; 3] {
    [(gid, sid), (gid, 0), (0, 0)]
}

/// Parses `COMMAND gen_id G, sig_id S[, SETTING …]`.
pub(super) fn parse(line: Span<'_>, variables: &Variables) -> Result<Line, Fault> {
    let parts: Vec<Span<'_>> = outside_brackets(line, ',').map(Span::trim).collect();
    let usage = || {
        Fault::new(line.at, "no filter of alerts").hint(
            "suppress, threshold, event_filter or rate_filter, then gen_id G, sig_id S and settings",
        )
    };
    let [first, second, settings @ ..] = parts.as_slice() else {
        return Err(usage());
    };
    let words = header::fields(*first);
    let [command, rest @ ..] = words.as_slice() else {
        return Err(usage());
    };
    if !matches!(
        command.text,
        "suppress" | "threshold" | "event_filter" | "rate_filter"
    ) {
        return Err(usage());
    }
    let gid = identifier("gen_id", rest, *first)?;
    let sid = identifier("sig_id", &header::fields(*second), *second)?;
    if gid == 0 && sid > 0 {
        let fault = Fault::new(first.at, "gen_id 0 stands for every signature");
        return Err(fault
            .keyword(command.text)
            .hint("write gen_id 1, or sig_id 0"));
    }
    let mut warning = None;
    let filter = match command.text {
        "suppress" => suppression(settings, *command, variables),
        "rate_filter" => rate_filter(settings, *command, &mut warning),
        _ => {
            let settings = settings.first().map_or(Span::new("", line.at), |first| {
                line.slice(first.at - line.at, line.text.len())
            });
            options::threshold(settings).map(Filter::Limit)
        }
    };
    let filter = filter.map_err(|fault| fault.keyword(command.text))?;
    Ok(Line {
        id: (gid, sid),
        filter,
        warning,
    })
}

/// The number behind `name`.
fn identifier(name: &str, words: &[Span<'_>], part: Span<'_>) -> Result<u32, Fault> {
    let number = match words {
        [word, number] if word.text == name => number.text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        Fault::new(part.at, format!("`{name} NUMBER` is missing")).hint("0 stands for all")
    })
}

/// Name and value of a setting.
fn setting(part: Span<'_>) -> Result<(&str, Span<'_>), Fault> {
    match header::fields(part).as_slice() {
        [name, value] => Ok((name.text, *value)),
        _ => Err(unknown(part)),
    }
}

fn unknown(part: Span<'_>) -> Fault {
    Fault::new(part.at, format!("unknown setting `{}`", part.text))
}

fn suppression(
    settings: &[Span<'_>],
    command: Span<'_>,
    variables: &Variables,
) -> Result<Filter, Fault> {
    if settings.is_empty() {
        return Ok(Filter::Suppress([true; 2], AddressGroup::default()));
    }
    let usage = "track by_src|by_dst|by_either, ip LIST; or neither of them";
    let (mut ends, mut addresses) = (None, None);
    for part in settings {
        let (name, value) = setting(*part).map_err(|fault| fault.hint(usage))?;
        match (name, value.text) {
            ("track", "by_src") => ends = Some([true, false]),
            ("track", "by_dst") => ends = Some([false, true]),
            ("track", "by_either") => ends = Some([true, true]),
            ("ip", list) => {
                let group = header::addresses(value, variables)?;
                // What was meant to be a few hosts must not become all of them.
                if group.is_any() && list.contains('$') {
                    let message = format!("`{list}` is every address here");
                    return Err(Fault::new(value.at, message)
                        .hint("give the variable a value in rules.variables"));
                }
                addresses = Some(group);
            }
            _ => return Err(unknown(*part).hint(usage)),
        }
    }
    match (ends, addresses) {
        (Some(ends), Some(addresses)) => Ok(Filter::Suppress(ends, addresses)),
        _ => Err(Fault::new(command.at, "needs both track and ip").hint(usage)),
    }
}

fn rate_filter(
    settings: &[Span<'_>],
    command: Span<'_>,
    warning: &mut Option<Fault>,
) -> Result<Filter, Fault> {
    let usage = "track by_src|by_dst|by_rule|by_both|by_flow, count N, seconds N, \
                 new_action alert|pass|drop|reject, timeout N";
    let (mut track, mut pass) = (None, None);
    let (mut count, mut seconds, mut timeout) = (None, None, None);
    for part in settings {
        let (name, value) = setting(*part).map_err(|fault| fault.hint(usage))?;
        let wrong = || unknown(*part).hint(usage);
        let above_zero = || match value.text.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(wrong()),
        };
        match (name, value.text) {
            ("track", by) => track = Some(options::track(by).ok_or_else(wrong)?),
            ("count", _) => count = above_zero()?,
            ("seconds", _) => seconds = above_zero()?,
            ("timeout", _) => timeout = above_zero()?,
            ("new_action", "pass") => pass = Some(true),
            ("new_action", "alert") => pass = Some(false),
            ("new_action", action @ ("drop" | "reject" | "sdrop" | "log")) => {
                pass = Some(false);
                let message = format!("`{action}` is taken as `alert`: Hydrophone only observes");
                *warning = Some(Fault::new(value.at, message).keyword("rate_filter"));
            }
            _ => return Err(wrong()),
        }
    }
    let (Some(track), Some(count), Some(seconds), Some(pass), Some(timeout)) =
        (track, count, seconds, pass, timeout)
    else {
        return Err(Fault::new(command.at, "a setting is missing").hint(usage));
    };
    let rate = RateFilter {
        track,
        count,
        seconds,
        timeout,
    };
    Ok(Filter::Rate(pass.then_some(rate)))
}
