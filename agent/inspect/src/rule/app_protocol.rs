//! `app-layer-protocol`: what the two ends speak, or each of them.

use super::{diagnostic::Fault, draft::Options, packet::PacketTest, source::Span, value::set};
use crate::protocol::AppProtocol;

/// What may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// This protocol.
    Is(AppProtocol),
    /// None that is known, for good.
    Failed,
    /// That is not known yet.
    Unknown,
}

/// Whose protocol is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtocolOf {
    /// Of who sent the packet.
    #[default]
    Direction,
    /// Of the client.
    ToServer,
    /// Of the server.
    ToClient,
    /// Of one of them.
    Either,
    /// The one that the flow is parsed as.
    Final,
    /// The one before the two ends changed it.
    Original,
}

/// `app-layer-protocol:[!]NAME[|NAME…][,MODE][,exact]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolTest {
    /// None of them may be spoken; something must be known all the same.
    pub negated: bool,
    /// One of them.
    pub any_of: Vec<Spoken>,
    /// Whose.
    pub of: ProtocolOf,
    /// Only the protocol itself, not what is one as well: `dns` without that over HTTP/2.
    pub exact: bool,
}

const MODES: &[(&str, ProtocolOf)] = &[
    ("direction", ProtocolOf::Direction),
    ("to_server", ProtocolOf::ToServer),
    ("toserver", ProtocolOf::ToServer),
    ("to_client", ProtocolOf::ToClient),
    ("toclient", ProtocolOf::ToClient),
    ("either", ProtocolOf::Either),
    ("final", ProtocolOf::Final),
    ("original", ProtocolOf::Original),
];

pub(super) fn parse(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let mut parts = value.split(',').map(Span::trim);
    let names = parts.next().unwrap_or(value);
    let (negated, names) = match names.text.strip_prefix('!') {
        Some(_) => (true, names.slice(1, names.text.len()).trim()),
        None => (false, names),
    };
    let any_of = names.split('|').map(|name| spoken(name.trim()));
    let any_of = any_of.collect::<Result<Vec<_>, _>>()?;
    if negated && any_of.contains(&Spoken::Unknown) {
        return Err(Fault::new(names.at, "`unknown` cannot be negated")
            .hint("something is known as soon as one of the others matches"));
    }
    let mut of = None;
    let mut exact = false;
    for part in parts {
        if part.text == "exact" {
            exact = true;
            continue;
        }
        let mode = MODES.iter().find(|(name, _)| *name == part.text);
        let (_, mode) = mode.ok_or_else(|| {
            Fault::new(part.at, format!("no mode `{}`", part.text))
                .hint("direction, to_server, to_client, either, final, original, exact")
        })?;
        set(&mut of, *mode, part)?;
    }
    options.packet.push(PacketTest::Protocol(ProtocolTest {
        negated,
        any_of,
        of: of.unwrap_or_default(),
        exact,
    }));
    Ok(())
}

fn spoken(name: Span<'_>) -> Result<Spoken, Fault> {
    match name.text {
        "failed" => Ok(Spoken::Failed),
        "unknown" => Ok(Spoken::Unknown),
        text => AppProtocol::of_name(text)
            .map(Spoken::Is)
            .ok_or_else(|| Fault::new(name.at, format!("unknown application protocol `{text}`"))),
    }
}

impl ProtocolTest {
    /// Whether it passes: `spoken` is what each mode's protocol is, `failed` that none will be known.
    pub(crate) fn passes(&self, spoken: &[Option<AppProtocol>], failed: bool) -> bool {
        let is = |spoken: &Option<AppProtocol>| {
            self.any_of.iter().any(|wanted| match (wanted, spoken) {
                (Spoken::Is(wanted), Some(spoken)) if self.exact => wanted.is_exactly(*spoken),
                (Spoken::Is(wanted), Some(spoken)) => wanted.includes(*spoken),
                (Spoken::Failed, None) => failed,
                (Spoken::Unknown, None) => !failed,
                _ => false,
            })
        };
        let known = failed || spoken.iter().any(Option::is_some);
        if self.negated {
            known && !spoken.iter().any(is)
        } else {
            spoken.iter().any(is)
        }
    }
}

/// In words: `http or tls (client)`.
impl core::fmt::Display for ProtocolTest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, spoken) in self.any_of.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " or " })?;
            f.write_str(match spoken {
                Spoken::Is(protocol) => protocol.name(),
                Spoken::Failed => "none that is known",
                Spoken::Unknown => "not known yet",
            })?;
        }
        if self.exact {
            f.write_str(" exactly")?;
        }
        f.write_str(match self.of {
            ProtocolOf::Direction => "",
            ProtocolOf::ToServer => " (the client)",
            ProtocolOf::ToClient => " (the server)",
            ProtocolOf::Either => " (either end)",
            ProtocolOf::Final => " (in the end)",
            ProtocolOf::Original => " (at first)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<ProtocolTest, String> {
        let mut options = Options::default();
        parse(&mut options, Span::new(value, 0)).map_err(|fault| fault.message)?;
        match options.packet.pop() {
            Some(PacketTest::Protocol(test)) => Ok(test),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_modes_and_exact_are_read() {
        let test = read("!tls|http, either,exact").unwrap();
        assert_eq!((test.negated, test.exact), (true, true));
        assert_eq!(test.of, ProtocolOf::Either);
        assert_eq!(test.any_of.len(), 2);
        assert_eq!(read("ssh").unwrap().of, ProtocolOf::Direction);
        assert!(read("tls,sideways").unwrap_err().contains("sideways"));
        assert!(read("tls,final,original").is_err());
        assert!(read("!unknown").is_err());
        assert!(read("nothing").is_err());
    }

    #[test]
    fn what_is_not_known_is_nothing_else_either() {
        let not_tls = read("!tls").unwrap();
        assert!(!not_tls.passes(&[None], false));
        assert!(not_tls.passes(&[None], true));
        assert!(not_tls.passes(&[Some(AppProtocol::Ssh)], false));
        assert!(!not_tls.passes(&[Some(AppProtocol::Tls)], false));
        assert!(read("unknown|tls").unwrap().passes(&[None], false));
        assert!(!read("unknown").unwrap().passes(&[None], true));
        assert!(read("failed").unwrap().passes(&[None], true));
    }

    #[test]
    fn exact_leaves_out_what_is_one_as_well() {
        let doh = [Some(AppProtocol::Doh2)];
        assert!(read("dns").unwrap().passes(&doh, false));
        assert!(!read("dns,exact").unwrap().passes(&doh, false));
        assert!(
            read("http1,exact")
                .unwrap()
                .passes(&[Some(AppProtocol::Http)], false)
        );
    }
}
