//! What a rule remembers for another one: bits and numbers of flows, hosts and pairs of hosts.

use super::{diagnostic::Fault, source::Span};

/// To whom a bit belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The flow.
    Flow,
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// Both addresses, in either order.
    Pair,
}

/// What has to be so before a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateTest {
    /// One of the bits is set (or, negated, none).
    Bit {
        /// Whose.
        scope: Scope,
        /// Any of them.
        names: Vec<String>,
        /// `isnotset`.
        negated: bool,
    },
    /// `flowint:NAME,OPERATOR,VALUE`.
    Integer {
        /// Its name.
        name: String,
        /// Compared how.
        comparison: IntegerComparison,
        /// With what.
        value: IntegerValue,
    },
    /// `flowint:NAME,isset` or `notset`.
    IntegerIsSet {
        /// Its name.
        name: String,
        /// `notset`.
        negated: bool,
    },
}

/// How `flowint` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerComparison {
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

/// A number, or the name of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntegerValue {
    /// As written.
    Number(u32),
    /// By name.
    Name(String),
}

/// What a match changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// A bit.
    Bit {
        /// Whose.
        scope: Scope,
        /// Its name.
        name: String,
        /// To what; `None` turns it round.
        set: Option<bool>,
        /// Seconds until it is forgotten; for the flow's, with the flow.
        expire: u32,
    },
    /// A number of the flow.
    Integer {
        /// Its name.
        name: String,
        /// Added, subtracted or (`None`) assigned.
        add: Option<bool>,
        /// What.
        value: IntegerValue,
    },
}

/// What one keyword asks for.
pub(super) enum State {
    Test(StateTest),
    Change(StateChange),
    NoAlert,
}

/// How long a host's bit lasts when the rule does not say, in seconds.
const DEFAULT_EXPIRE: u32 = 30;

pub(super) fn flowbits(value: Span<'_>) -> Result<State, Fault> {
    let (command, rest) = command(value);
    if command == "noalert" {
        return Ok(State::NoAlert);
    }
    bit(value, command, Scope::Flow, rest.text, 0)
}

pub(super) fn hostbits(value: Span<'_>) -> Result<State, Fault> {
    let (command, rest) = command(value);
    if command == "noalert" {
        return Ok(State::NoAlert);
    }
    let mut parts = rest.text.split(',').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let mut scope = Scope::Source;
    let mut expire = 300;
    for part in parts {
        match part {
            "src" => scope = Scope::Source,
            "dst" => scope = Scope::Destination,
            "both" => scope = Scope::Pair,
            number => {
                expire = number
                    .parse()
                    .map_err(|_| Fault::new(rest.at, "hostbits:COMMAND,NAME[,src|dst|both]"))?;
            }
        }
    }
    bit(value, command, scope, name, expire)
}

pub(super) fn xbits(value: Span<'_>) -> Result<State, Fault> {
    let (command, rest) = command(value);
    if command == "noalert" {
        return Ok(State::NoAlert);
    }
    let usage = || {
        Fault::new(
            value.at,
            "xbits:COMMAND,NAME,track ip_src|ip_dst|ip_pair[,expire SECONDS]",
        )
    };
    let mut parts = rest.text.split(',').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let mut scope = None;
    let mut expire = DEFAULT_EXPIRE;
    for part in parts {
        let (word, argument) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match (word, argument.trim()) {
            ("track", "ip_src") => scope = Some(Scope::Source),
            ("track", "ip_dst") => scope = Some(Scope::Destination),
            ("track", "ip_pair") => scope = Some(Scope::Pair),
            ("track", "tx") => scope = Some(Scope::Flow),
            ("expire", seconds) => expire = seconds.parse().map_err(|_| usage())?,
            _ => return Err(usage()),
        }
    }
    bit(value, command, scope.ok_or_else(usage)?, name, expire)
}

fn command(value: Span<'_>) -> (&str, Span<'_>) {
    match value.split_once(',') {
        Some((command, rest)) => (command.trim().text, rest.trim()),
        None => (
            value.text.trim(),
            value.slice(value.text.len(), value.text.len()),
        ),
    }
}

fn bit(
    value: Span<'_>,
    command: &str,
    scope: Scope,
    name: &str,
    expire: u32,
) -> Result<State, Fault> {
    if name.is_empty() {
        return Err(Fault::new(value.at, "the bit's name is missing"));
    }
    let test = |negated| {
        State::Test(StateTest::Bit {
            scope,
            names: name.split('|').map(|name| name.trim().to_owned()).collect(),
            negated,
        })
    };
    let change = |set| {
        State::Change(StateChange::Bit {
            scope,
            name: name.to_owned(),
            set,
            expire,
        })
    };
    match command {
        "isset" => Ok(test(false)),
        "isnotset" => Ok(test(true)),
        "set" => Ok(change(Some(true))),
        "unset" => Ok(change(Some(false))),
        "toggle" => Ok(change(None)),
        other => Err(Fault::new(value.at, format!("unknown command `{other}`"))
            .hint("set, unset, toggle, isset, isnotset or noalert")),
    }
}

pub(super) fn flowint(value: Span<'_>) -> Result<State, Fault> {
    let usage = || {
        Fault::new(
            value.at,
            "flowint:NAME,OPERATOR,VALUE, or NAME,isset|notset",
        )
    };
    let parts: Vec<&str> = value.text.split(',').map(str::trim).collect();
    match parts.as_slice() {
        [name, word @ ("isset" | "isnotset" | "notset")] => {
            Ok(State::Test(StateTest::IntegerIsSet {
                name: (*name).to_owned(),
                negated: *word != "isset",
            }))
        }
        [name, operator, operand] => {
            let name = (*name).to_owned();
            let value = match operand.parse() {
                Ok(number) => IntegerValue::Number(number),
                Err(_) => IntegerValue::Name((*operand).to_owned()),
            };
            let comparison = match *operator {
                "<" => IntegerComparison::Less,
                "<=" => IntegerComparison::LessOrEqual,
                "==" => IntegerComparison::Equal,
                "!=" => IntegerComparison::NotEqual,
                ">" => IntegerComparison::Greater,
                ">=" => IntegerComparison::GreaterOrEqual,
                "+" | "-" | "=" => {
                    let add = match *operator {
                        "+" => Some(true),
                        "-" => Some(false),
                        _ => None,
                    };
                    return Ok(State::Change(StateChange::Integer { name, add, value }));
                }
                _ => return Err(usage()),
            };
            Ok(State::Test(StateTest::Integer {
                name,
                comparison,
                value,
            }))
        }
        _ => Err(usage()),
    }
}
