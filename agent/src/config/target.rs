//! Where syslog goes, as a URL.

use core::{fmt, str::FromStr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SyslogTarget {
    /// Unix datagram socket: `unix:///dev/log`.
    Unix(PathBuf),
    /// UDP (RFC 5426): `udp://host:514`.
    Udp(String),
    /// TCP with octet counting (RFC 6587 section 3.4.1): `tcp://host:601`.
    Tcp(String),
}

impl FromStr for SyslogTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{text}` is no syslog target: write unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wanted)?;
        let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "udp" if has_port => Ok(Self::Udp(rest.to_owned())),
            "tcp" if has_port => Ok(Self::Tcp(rest.to_owned())),
            _ => Err(wanted()),
        }
    }
}

impl TryFrom<String> for SyslogTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl From<SyslogTarget> for String {
    fn from(target: SyslogTarget) -> Self {
        target.to_string()
    }
}

/// Syslog facility (RFC 5424 section 6.2.1) for security events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of RFC 5424")]
pub enum SyslogFacility {
    User,
    Daemon,
    Auth,
    Authpriv,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}
