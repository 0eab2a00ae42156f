//! One readable line an alert, for terminals.

use std::io::{self, Write};

use hydrophone_inspect::{Endpoint, finding::Evidence};

use super::{
    Alert,
    escape::Hostile,
    eve::protocol_name,
    local::{Local, Subject},
    time::ShortTime,
};
use crate::{census::Identity, process::Report};

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";

/// Appends the line without a line end. `color`: with ANSI colours.
///
/// # Errors
/// Only if `out` fails, which memory does not.
pub fn write_alert(alert: &Alert, color: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let paint = |code: &'static str| if color { code } else { "" };
    let (reset, dim, bold) = (paint(RESET), paint(DIM), paint(BOLD));
    let context = &alert.finding.context;
    let signature = &alert.finding.signature;
    let (severity, severity_color) = severity(signature.severity);

    write!(
        out,
        "{dim}{}{reset} {}{severity:<6}{reset} {bold}{}{reset} {dim}[{}:{}:{}]{reset}  ",
        ShortTime(context.timestamp),
        paint(severity_color),
        Hostile(&signature.msg),
        signature.gid,
        signature.sid,
        signature.rev,
    )?;
    write_end(
        out,
        &alert.source,
        &context.source,
        paint(severity_color),
        reset,
    )?;
    write!(out, " → ")?;
    write_end(
        out,
        &alert.destination,
        &context.destination,
        paint(severity_color),
        reset,
    )?;
    write!(out, " {}", protocol_name(context.protocol))?;
    if let Some((kind, code)) = context.icmp {
        write!(out, " type {kind} code {code}")?;
    }
    for technique in &signature.attack {
        write!(out, "  {}", Hostile(technique))?;
    }
    if let Some(Evidence { summary, .. }) = &alert.finding.evidence {
        write!(out, "  {}", Hostile(summary))?;
    }
    let [source, destination] = &alert.processes;
    write_process(out, "by", source.as_ref())?;
    write_process(out, "to", destination.as_ref())?;
    if alert.suppressed > 0 {
        write!(out, "  {dim}(+{} like it){reset}", alert.suppressed)?;
    }
    Ok(())
}

/// The same for what has no packet: a finding must have a signature, or nothing is written.
///
/// # Errors
/// As [`write_alert`].
pub fn write_local(local: &Local, color: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(signature) = &local.signature else {
        return Ok(());
    };
    let paint = |code: &'static str| if color { code } else { "" };
    let (reset, dim, bold) = (paint(RESET), paint(DIM), paint(BOLD));
    let (severity, severity_color) = severity(signature.severity);
    let severity_color = paint(severity_color);
    write!(
        out,
        "{dim}{}{reset} {severity_color}{severity:<6}{reset} {bold}{}{reset} \
         {dim}[{}:{}:{}]{reset}  {severity_color}",
        ShortTime(local.timestamp),
        Hostile(&signature.msg),
        signature.gid,
        signature.sid,
        signature.rev,
    )?;
    write_identity(out, &local.source.identity)?;
    write!(out, "{reset}")?;
    if let Some(destination) = &local.destination {
        write!(out, " → {severity_color}")?;
        write_identity(out, &destination.identity)?;
        write!(out, "{reset}")?;
    }
    match &local.subject {
        Subject::Unix(socket) => write!(out, " {}", Hostile(&socket.path))?,
        Subject::Raw(socket) => write!(out, " {} protocol {}", socket.family, socket.protocol)?,
    }
    for technique in &signature.attack {
        write!(out, "  {}", Hostile(technique))?;
    }
    write_process(out, "by", local.source.process.as_ref())?;
    let destination = local.destination.as_ref();
    write_process(out, "to", destination.and_then(|it| it.process.as_ref()))?;
    if local.suppressed > 0 {
        write!(out, "  {dim}(+{} like it){reset}", local.suppressed)?;
    }
    Ok(())
}

/// Name and colour of Suricata's 1 (worst) to 4.
const fn severity(severity: u8) -> (&'static str, &'static str) {
    match severity {
        0 | 1 => ("HIGH", "\x1b[1;31m"),
        2 => ("MEDIUM", "\x1b[1;33m"),
        3 => ("LOW", "\x1b[1;36m"),
        _ => ("INFO", "\x1b[1;34m"),
    }
}

fn write_identity(out: &mut Vec<u8>, identity: &Identity) -> io::Result<()> {
    match identity {
        Identity::Container { container, or, .. } => {
            // The names that an orchestrator's runtime gives containers are the pod's and more, or
            // nothing that a reader knows.
            if let Some(pod) = &container.owner.kubernetes {
                let [namespace, name] = [&pod.namespace, &pod.pod].map(|text| Hostile(text));
                write!(out, "{namespace}/{name}")?;
                if !pod.container.is_empty() {
                    write!(out, "/{}", Hostile(&pod.container))?;
                }
            } else if container.name.is_empty() {
                let id = container.id.get(..12).unwrap_or(&container.id);
                write!(out, "{}", Hostile(id))?;
            } else {
                write!(out, "{}", Hostile(&container.name))?;
            }
            if !or.is_empty() {
                write!(out, "|{} others", or.len())?;
            }
        }
        Identity::Host(_) => write!(out, "host")?,
        Identity::Unknown(_) => write!(out, "?")?,
    }
    Ok(())
}

fn write_end(
    out: &mut Vec<u8>,
    identity: &Identity,
    end: &Endpoint,
    color: &str,
    reset: &str,
) -> io::Result<()> {
    write!(out, "{color}")?;
    write_identity(out, identity)?;
    write!(out, "{reset} ({})", Socket(end))
}

/// `1.2.3.4`, `1.2.3.4:80` or `[::1]:80`.
struct Socket<'a>(&'a Endpoint);

impl core::fmt::Display for Socket<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let socket = self.0.socket;
        if socket.port == 0 {
            write!(f, "{}", socket.address)
        } else {
            write!(
                f,
                "{}",
                std::net::SocketAddr::new(socket.address, socket.port)
            )
        }
    }
}

/// A question mark says that it is not sure.
fn write_process(out: &mut Vec<u8>, role: &str, report: Option<&Report>) -> io::Result<()> {
    let Some(report) = report else {
        return Ok(());
    };
    write!(out, "  {role} {}[{}]", Hostile(&report.comm), report.pid)?;
    if report.doubt.is_some() {
        write!(out, "?")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hydrophone_inspect::Process;
    use proptest::prelude::*;

    use super::*;
    use crate::alert::fixtures;

    fn line(alert: &Alert, color: bool) -> String {
        let mut out = Vec::new();
        write_alert(alert, color, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_rule_between_two_containers() {
        let mut alert = fixtures::alert();
        alert.suppressed = 5;
        assert_eq!(
            line(&alert, false),
            "2026-11-23 20:23:10.123 HIGH   Shellshock in an HTTP header [1:9000001:2]  \
             web (172.17.0.2:43210) → db (172.17.0.3:80) TCP  T1190  by curl[4300]  (+5 like it)"
        );
    }

    #[test]
    fn a_behaviour_from_the_host_to_the_unknown() {
        let mut alert = fixtures::alert();
        alert.source = fixtures::host();
        alert.destination = fixtures::UNKNOWN;
        alert.finding.evidence = Some(fixtures::evidence());
        alert.finding.context.protocol = Some(1);
        alert.finding.context.icmp = Some((8, 0));
        alert.processes = [None, None];
        alert.finding.context.source.socket.port = 0;
        alert.finding.context.destination.socket.port = 0;
        assert_eq!(
            line(&alert, false),
            "2026-11-23 20:23:10.123 HIGH   Shellshock in an HTTP header [1:9000001:2]  \
             host (172.17.0.2) → ? (172.17.0.3) ICMP type 8 code 0  T1190  \
             214 ports of one host in 1.2 s"
        );
    }

    #[test]
    fn colours_are_ours_alone() {
        let colored = line(&fixtures::alert(), true);
        assert!(colored.contains("\x1b[1;31mHIGH  \x1b[0m"), "{colored}");
        let mut without = colored;
        for code in [RESET, DIM, BOLD, "\x1b[1;31m"] {
            without = without.replace(code, "");
        }
        assert_eq!(without, line(&fixtures::alert(), false));
    }

    #[test]
    fn a_container_cannot_write_to_the_terminal() {
        let mut alert = fixtures::alert();
        alert.source =
            fixtures::identity(fixtures::container("a\x1b[2J\u{9b}31m\r\n\u{202e}b\\", 1));
        let process = fixtures::process(b"x\x07\x9b0m");
        alert.processes = [Some(Report::bare(&process)), None];
        let line = line(&alert, false);
        assert!(
            line.contains("a\\u{1b}[2J\\u{9b}31m\\u{d}\\u{a}\\u{202e}b\\\\ (172"),
            "{line}"
        );
        assert!(line.contains("by x\\u{7}\u{fffd}0m[4300]"), "{line}");
    }

    proptest! {
        #[test]
        fn any_name_and_comm_stay_on_one_line(
            name in prop::collection::vec(any::<char>(), 0..700).prop_map(String::from_iter),
            comm in any::<[u8; 16]>(),
        ) {
            let mut alert = fixtures::alert();
            alert.source = fixtures::identity(fixtures::container(&name, 1));
            let process = Process { pid: 1, uid: 1, comm };
            alert.processes = [Some(Report::bare(&process)), None];
            let line = line(&alert, false);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(line.len() < 10_000);
        }
    }
}
