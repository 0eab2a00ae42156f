//! `$HOME_NET` and the like.

use std::collections::BTreeMap;

/// Rule variables by name, without the `$`.
///
/// By default `HOME_NET` and `EXTERNAL_NET` are both `any`: between two containers both ends have
/// private addresses, so the usual `EXTERNAL_NET = !HOME_NET` could never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, String>,
    /// `EXTERNAL_NET` is whoever is not of the same service, whatever its address.
    by_identity: bool,
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
            by_identity: true,
        }
    }
}

impl Variables {
    /// The reference engine's stock values: `HOME_NET` is what RFC 1918 calls private,
    /// `EXTERNAL_NET` the rest.
    #[must_use]
    pub fn classic() -> Self {
        let mut variables = Self::default();
        variables.set("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]");
        variables.set("EXTERNAL_NET", "!$HOME_NET");
        for name in NAMES {
            let servers = name.ends_with("_SERVERS")
                || name.ends_with("_SERVER")
                || name.ends_with("_CLIENT");
            let ports = match name {
                "HTTP_PORTS" => "80",
                "SHELLCODE_PORTS" => "!80",
                "ORACLE_PORTS" => "1521",
                "SSH_PORTS" => "22",
                "DNP3_PORTS" => "20000",
                "MODBUS_PORTS" => "502",
                "FILE_DATA_PORTS" => "[$HTTP_PORTS,110,143]",
                "FTP_PORTS" => "21",
                _ if servers => "$HOME_NET",
                _ => continue,
            };
            variables.set(name, ports);
        }
        variables
    }

    /// Whether `EXTERNAL_NET` is decided by who the two ends are.
    #[must_use]
    pub const fn by_identity(&self) -> bool {
        self.by_identity
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) {
        // Who says which addresses are external wants just those.
        self.by_identity &= name.trim_start_matches('$') != "EXTERNAL_NET";
        self.values
            .insert(name.trim_start_matches('$').to_owned(), value.to_owned());
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}
