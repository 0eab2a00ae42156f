//! Suricata's standard classes: name, description, priority.

use super::{diagnostic::Fault, source::Span};

/// A class of attacks (Suricata: `classification.config`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// Short name, as `classtype` gives it.
    pub name: &'static str,
    /// What alerts call it.
    pub description: &'static str,
    /// 1 (worst) to 4.
    pub priority: u8,
}

const fn class(name: &'static str, description: &'static str, priority: u8) -> Classification {
    Classification {
        name,
        description,
        priority,
    }
}

const CLASSES: [Classification; 42] = [
    class("not-suspicious", "Not Suspicious Traffic", 3),
    class("unknown", "Unknown Traffic", 3),
    class("bad-unknown", "Potentially Bad Traffic", 2),
    class("attempted-recon", "Attempted Information Leak", 2),
    class("successful-recon-limited", "Information Leak", 2),
    class(
        "successful-recon-largescale",
        "Large Scale Information Leak",
        2,
    ),
    class("attempted-dos", "Attempted Denial of Service", 2),
    class("successful-dos", "Denial of Service", 2),
    class("attempted-user", "Attempted User Privilege Gain", 1),
    class("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    class("successful-user", "Successful User Privilege Gain", 1),
    class(
        "attempted-admin",
        "Attempted Administrator Privilege Gain",
        1,
    ),
    class(
        "successful-admin",
        "Successful Administrator Privilege Gain",
        1,
    ),
    class("rpc-portmap-decode", "Decode of an RPC Query", 2),
    class("shellcode-detect", "Executable code was detected", 1),
    class("string-detect", "A suspicious string was detected", 3),
    class(
        "suspicious-filename-detect",
        "A suspicious filename was detected",
        2,
    ),
    class(
        "suspicious-login",
        "An attempted login using a suspicious username was detected",
        2,
    ),
    class("system-call-detect", "A system call was detected", 2),
    class("tcp-connection", "A TCP connection was detected", 4),
    class("trojan-activity", "A Network Trojan was detected", 1),
    class(
        "unusual-client-port-connection",
        "A client was using an unusual port",
        2,
    ),
    class("network-scan", "Detection of a Network Scan", 3),
    class(
        "denial-of-service",
        "Detection of a Denial of Service Attack",
        2,
    ),
    class(
        "non-standard-protocol",
        "Detection of a non-standard protocol or event",
        2,
    ),
    class(
        "protocol-command-decode",
        "Generic Protocol Command Decode",
        3,
    ),
    class(
        "web-application-activity",
        "access to a potentially vulnerable web application",
        2,
    ),
    class("web-application-attack", "Web Application Attack", 1),
    class("misc-activity", "Misc activity", 3),
    class("misc-attack", "Misc Attack", 2),
    class("icmp-event", "Generic ICMP event", 3),
    class(
        "inappropriate-content",
        "Inappropriate Content was Detected",
        1,
    ),
    class(
        "policy-violation",
        "Potential Corporate Privacy Violation",
        1,
    ),
    class(
        "default-login-attempt",
        "Attempt to login by a default username and password",
        2,
    ),
    class(
        "targeted-activity",
        "Targeted Malicious Activity was Detected",
        1,
    ),
    class("exploit-kit", "Exploit Kit Activity Detected", 1),
    class(
        "external-ip-check",
        "Device Retrieving External IP Address Detected",
        2,
    ),
    class("domain-c2", "Domain Observed Used for C2 Detected", 1),
    class("pup-activity", "Possibly Unwanted Program Detected", 2),
    class(
        "credential-theft",
        "Successful Credential Theft Detected",
        1,
    ),
    class(
        "social-engineering",
        "Possible Social Engineering Attempted",
        2,
    ),
    class("coin-mining", "Crypto Currency Mining Activity Detected", 2),
];

/// Name and priority of a line `config classification: NAME,DESCRIPTION,PRIORITY`.
pub(super) fn line(line: Span<'_>) -> Result<(String, u8), Fault> {
    let fault = |at, message: &str| {
        Fault::new(at, message).hint("config classification: NAME,DESCRIPTION,PRIORITY")
    };
    let rest = line
        .text
        .strip_prefix("config classification:")
        .ok_or_else(|| fault(line.at, "no classification"))?;
    let rest = line
        .slice(line.text.len() - rest.len(), line.text.len())
        .trim();
    let parts: Vec<Span<'_>> = rest.split(',').map(Span::trim).collect();
    // A description may have commas.
    let [name, _, .., priority] = parts.as_slice() else {
        return Err(fault(rest.at, "a classification has three parts"));
    };
    if name.text.is_empty() {
        return Err(fault(name.at, "a class needs a name"));
    }
    match priority.text.parse() {
        Ok(number @ 1..=255) => Ok((name.text.to_owned(), number)),
        _ => Err(fault(priority.at, "a priority is 1 to 255")),
    }
}

/// The class with this name.
#[must_use]
pub fn classification(name: &str) -> Option<&'static Classification> {
    CLASSES.iter().find(|class| class.name == name)
}
