//! Events that are written on request, by their names in EVE.

use core::{fmt, str::FromStr};

use hydrophone_inspect::{EventTypes, protocol::AppProtocol};
use serde::{Deserialize, Serialize};

/// A type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventType {
    /// The end of each flow.
    Flow,
    /// Each file.
    FileInfo,
    /// Each connection of a Unix socket from one container to another, or to or from the host.
    Unix,
    /// Each transaction of the protocols that this one stands for.
    Transaction(AppProtocol),
}

impl EventType {
    /// The type that the transactions of a protocol have.
    #[must_use]
    pub const fn of(protocol: AppProtocol) -> Self {
        Self::Transaction(match protocol {
            AppProtocol::Http1 | AppProtocol::Http2 => AppProtocol::Http,
            AppProtocol::Doh2 => AppProtocol::Dns,
            other => other,
        })
    }

    /// `event_type` in EVE.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::FileInfo => "fileinfo",
            Self::Unix => "unix",
            Self::Transaction(AppProtocol::FtpData) => "ftp_data",
            Self::Transaction(protocol) => protocol.name(),
        }
    }

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let protocols = AppProtocol::ALL.iter();
        let transactions = protocols
            .filter(|protocol| Self::of(**protocol) == Self::Transaction(**protocol))
            .map(|protocol| Self::Transaction(*protocol));
        [Self::Flow, Self::FileInfo]
            .into_iter()
            .chain(transactions)
            .chain([Self::Unix])
    }

    /// What the engine is asked for.
    #[must_use]
    pub fn asked(types: &[Self]) -> EventTypes {
        let mut asked = EventTypes::NONE;
        asked.flows = types.contains(&Self::Flow);
        asked.files = types.contains(&Self::FileInfo);
        AppProtocol::ALL
            .iter()
            .filter(|protocol| types.contains(&Self::of(**protocol)))
            .fold(asked, |asked, protocol| asked.with_transactions(*protocol))
    }
}

impl FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|it| it.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!(
                "`{text}` is no type of event: write one of {}",
                names.join(", ")
            )
        })
    }
}

impl TryFrom<String> for EventType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<EventType> for String {
    fn from(of: EventType) -> Self {
        of.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_every_protocol_has_one() {
        for it in EventType::all() {
            assert_eq!(it.name().parse(), Ok(it));
        }
        for protocol in AppProtocol::ALL {
            let types = [EventType::of(*protocol).name().parse().unwrap()];
            let asked = EventType::asked(&types);
            assert!(asked.has_transactions(*protocol), "{protocol:?}");
            assert!(!asked.flows && !asked.files);
        }
        let asked = EventType::asked(&[EventType::Flow, EventType::FileInfo]);
        assert!(asked.flows && asked.files && !asked.has_transactions(AppProtocol::Http));
        assert_eq!(EventType::asked(&[]), EventTypes::NONE);
    }

    #[test]
    fn an_unknown_name_shows_the_known_ones() {
        let error = "htp".parse::<EventType>().unwrap_err();
        assert!(
            error.starts_with("`htp` is no type of event: write one of flow, fileinfo, http, dns,")
        );
    }
}
