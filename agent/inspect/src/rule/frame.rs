//! `frame`: a record of the protocol as the sticky buffer.

use super::{diagnostic::Fault, draft::Options, source::Span, test::Target};
use crate::protocol::{AppProtocol, Buffer};

/// How the names of frames begin among those of buffers.
const PREFIX: &str = "frame:";

/// `frame:sip.pdu`, or without the protocol that the header of the rule says: `frame:pdu`.
pub(super) fn parse(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let application = options.application;
    let of_header = application.and_then(|protocol| {
        Buffer::of_name(&format!("{PREFIX}{}.{}", protocol.name(), value.text))
    });
    let Some(frame) = of_header.or_else(|| Buffer::of_name(&format!("{PREFIX}{}", value.text)))
    else {
        return Err(unknown(value, application));
    };
    if let (Some(application), Some(spoken)) = (application, protocol(frame))
        && !application.includes(spoken)
    {
        let message = format!(
            "the rule is for {}, the frame of {}",
            application.name(),
            spoken.name()
        );
        return Err(Fault::new(value.at, message));
    }
    options.stick(Target::Transaction(frame));
    Ok(())
}

/// The protocol that a frame is of.
pub(super) fn protocol(frame: Buffer) -> Option<AppProtocol> {
    let name = frame.name().strip_prefix(PREFIX)?;
    match AppProtocol::of_name(name.split('.').next()?)? {
        // Flows of version 1 are what rules call so.
        AppProtocol::Http1 => Some(AppProtocol::Http),
        protocol => Some(protocol),
    }
}

/// Complains about rules that look at a frame and at something that no frame has: they could never match.
pub(super) fn fit(options: &Options, rule: Span<'_>, faults: &mut Vec<Fault>) {
    let mut looked_at = options
        .groups
        .iter()
        .filter_map(|group| match group.target {
            Target::Transaction(buffer) if !group.tests.is_empty() => Some(buffer),
            _ => None,
        });
    let first = looked_at.clone().find(|buffer| buffer.is_frame());
    let only = looked_at.all(|buffer| Some(buffer) == first);
    let alone = options.numbers.is_empty() && options.events.is_empty();
    if first.is_some() && !(only && alone) {
        let at = options.place("frame", rule);
        let fault = Fault::new(at, "a rule looks at one frame, or at a transaction")
            .keyword("frame")
            .hint("write two rules that share a flowbit");
        faults.push(fault);
    }
}

fn unknown(value: Span<'_>, application: Option<AppProtocol>) -> Fault {
    let fault = Fault::new(value.at, format!("no frame `{}`", value.text));
    let named = value.text.split('.').next().and_then(AppProtocol::of_name);
    let known: Vec<&str> = Buffer::ALL
        .iter()
        .filter(|buffer| buffer.is_frame())
        .filter(|buffer| protocol(**buffer) == named.or(application))
        .filter_map(|buffer| buffer.name().strip_prefix(PREFIX))
        .collect();
    if known.is_empty() {
        fault.hint("write PROTOCOL.NAME, such as `tls.pdu`; docs/rules.md has the list")
    } else {
        fault.hint(format!("there are {}", known.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use crate::rule::{RuleSetBuilder, Target, Variables};

    /// The frame that a rule looks at, or what is wrong with it.
    fn read(protocol: &str, options: &str) -> Result<&'static str, (String, String)> {
        let mut builder = RuleSetBuilder::new(Variables::default());
        let text = format!("alert {protocol} any any -> any any ({options} sid:1;)");
        builder.add_source("test.rules", &text);
        let (set, mut diagnostics) = builder.build();
        if let Some(first) = diagnostics.pop() {
            return Err((first.message, first.hint.unwrap_or_default()));
        }
        match set.rules[0].groups[0].target {
            Target::Transaction(buffer) => Ok(buffer.name()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_protocol_is_named_or_that_of_the_header() {
        let sip = Ok("frame:sip.request.line");
        assert_eq!(read("sip", "frame:request.line; content:\"a\";"), sip);
        assert_eq!(read("sip", "frame:sip.request.line; content:\"a\";"), sip);
        assert_eq!(read("tcp", "frame:sip.request.line; content:\"a\";"), sip);
        let smb = Ok("frame:smb.smb2.data");
        assert_eq!(read("smb", "frame:smb2.data; content:\"a\";"), smb);
    }

    #[test]
    fn unknown_names_are_refused_with_those_that_there_are() {
        let (message, hint) = read("tls", "frame:pdus; content:\"a\";").unwrap_err();
        assert_eq!(message, "no frame `pdus`");
        assert_eq!(
            hint,
            "there are tls.pdu, tls.hdr, tls.data, tls.alert, tls.heartbeat"
        );
        let (_, hint) = read("tcp", "frame:ssh.x; content:\"a\";").unwrap_err();
        assert!(hint.contains("ssh.record.hdr"), "{hint}");
        let (message, _) = read("tls", "frame:ssh.record.hdr; content:\"a\";").unwrap_err();
        assert_eq!(message, "the rule is for tls, the frame of ssh");
    }

    #[test]
    fn a_frame_stands_alone() {
        for other in [
            "tls.sni; content:\"b\";",
            "frame:tls.hdr; content:\"b\";",
            "tls.version:1.2;",
        ] {
            let (message, _) =
                read("tls", &format!("frame:tls.pdu; content:\"a\"; {other}")).unwrap_err();
            assert_eq!(
                message, "a rule looks at one frame, or at a transaction",
                "{other}"
            );
        }
    }
}
