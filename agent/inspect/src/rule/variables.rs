//! `$HOME_NET` and the like.

use std::collections::BTreeMap;

/// Rule variables by name, without the `$`.
///
/// By default `HOME_NET` and `EXTERNAL_NET` are both `any`: between two containers both ends have
/// private addresses, so the usual `EXTERNAL_NET = !HOME_NET` could never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

/// Names of Suricata's stock configuration.
const NAMES: [&str; 23] = [
    "HOME_NET",
    "EXTERNAL_NET",
    "HTTP_SERVERS",
    "SMTP_SERVERS",
    "SQL_SERVERS",
    "DNS_SERVERS",
    "TELNET_SERVERS",
    "AIM_SERVERS",
    "DC_SERVERS",
    "DNP3_SERVER",
    "DNP3_CLIENT",
    "MODBUS_CLIENT",
    "MODBUS_SERVER",
    "ENIP_CLIENT",
    "ENIP_SERVER",
    "HTTP_PORTS",
    "SHELLCODE_PORTS",
    "ORACLE_PORTS",
    "SSH_PORTS",
    "DNP3_PORTS",
    "MODBUS_PORTS",
    "FILE_DATA_PORTS",
    "FTP_PORTS",
];

impl Default for Variables {
    fn default() -> Self {
        Self {
            values: NAMES.map(|name| (name.to_owned(), "any".to_owned())).into(),
        }
    }
}

impl Variables {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values
            .insert(name.trim_start_matches('$').to_owned(), value.to_owned());
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}
