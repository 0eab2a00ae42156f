//! Answers as text and JSON. Whatever a container chose is escaped.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    alert::escape::{Formatter, Hostile},
    cli::containers::write_rows,
    ledger::{
        Facts, Head, Wall,
        question::{Answer, Answers, Certainty, Question},
        record::GoneReason,
        verify::Verdict,
    },
};

/// One value on a line of its own.
pub(super) fn json(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut *out, Formatter,
    ))?;
    out.push(b'\n');
    Ok(())
}

/// An answer on each line.
pub(super) fn lines(out: &mut Vec<u8>, answers: &[Answer]) -> io::Result<()> {
    answers.iter().try_for_each(|answer| json(out, answer))
}

#[derive(Serialize)]
struct Object<'a> {
    what: &'a str,
    from: Wall,
    to: Wall,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    answers: &'a [Answer],
    more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: &'a Option<String>,
    notes: &'a [String],
    chain: Chain,
}

#[derive(Serialize)]
struct Chain {
    sound: bool,
    head: Head,
}

/// Question and answers as one object.
pub(super) fn object(
    out: &mut Vec<u8>,
    what: &str,
    question: &Question,
    answers: &Answers,
) -> io::Result<()> {
    let object = Object {
        what,
        from: question.from,
        to: question.to,
        port: question.port,
        answers: &answers.answers,
        more: answers.more,
        unknown: &answers.unknown,
        notes: &answers.notes,
        chain: Chain {
            sound: answers.verdict.is_sound(),
            head: answers.verdict.head,
        },
    };
    json(out, &object)
}

/// Question and answers for people.
pub(super) fn text(
    out: &mut impl Write,
    what: &str,
    question: &Question,
    answers: &Answers,
) -> io::Result<()> {
    let what = Hostile(what);
    if question.from == question.to {
        writeln!(out, "{what} at {}:", question.to)?;
    } else {
        writeln!(out, "{what} from {} to {}:", question.from, question.to)?;
    }
    if let Some(unknown) = &answers.unknown {
        writeln!(out, "  unknown: {unknown}")?;
    }
    for answer in &answers.answers {
        one(out, answer)?;
    }
    for note in &answers.notes {
        writeln!(out, "  note: {}", Hostile(note))?;
    }
    Ok(())
}

const fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely",
        Certainty::Possible => "possible",
    }
}

fn one(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let facts = &answer.facts;
    let short = facts.id.get(..12).unwrap_or(&facts.id);
    let name = if facts.name.is_empty() {
        short
    } else {
        &facts.name
    };
    writeln!(
        out,
        "  {}  ({}: {})",
        Hostile(name),
        certainty(answer.certainty),
        Hostile(&answer.reason)
    )?;
    let until = answer.held_to.map_or("now".to_owned(), |to| to.to_string());
    writeln!(out, "    held       {} to {until}", answer.held_from)?;
    writeln!(out, "    lived      {}", life(answer))?;
    let mut field = |name: &str, value: String| {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "    {name:<10} {value}")
        }
    };
    field("id", Hostile(&facts.id).to_string())?;
    field("image", Hostile(&facts.image).to_string())?;
    field("digest", Hostile(&facts.image_digest).to_string())?;
    field("owner", owner(facts))?;
    field("cgroup", cgroup(facts))?;
    field("network", network(facts))?;
    field("addresses", joined(&facts.addresses))?;
    let macs: Vec<_> = facts.macs.iter().map(|mac| Hostile(mac)).collect();
    field("macs", joined(&macs))?;
    field("listening", listening(facts))?;
    let why = facts.unknown.and_then(|why| serde_json::to_value(why).ok());
    field(
        "unknown",
        why.map_or(String::new(), |why| format!("name and image: {why}")),
    )
}

fn life(answer: &Answer) -> String {
    let from = answer.first_seen;
    match (answer.gone, answer.gone_by, answer.last_seen) {
        (None, ..) => format!("{from} to now"),
        (Some(gone), Some(GoneReason::Seen) | None, _) => format!("{from} to {gone}"),
        (Some(gone), Some(why), last) => {
            let why = match why {
                GoneReason::HostRestarted => ", the host has restarted",
                _ => "",
            };
            let last = last.map_or("an unknown time".to_owned(), |last| last.to_string());
            format!("{from}, not seen since {last}, gone when the agent came back at {gone}{why}")
        }
    }
}

fn owner(facts: &Facts) -> String {
    let pairs = facts
        .owner
        .iter()
        .map(|(key, value)| format!("{}={}", Hostile(key), Hostile(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn cgroup(facts: &Facts) -> String {
    match facts.cgroup_id {
        0 => Hostile(&facts.cgroup_path).to_string(),
        id => format!("{id} {}", Hostile(&facts.cgroup_path)),
    }
}

fn network(facts: &Facts) -> String {
    if facts.host_network {
        return "(host network)".to_owned();
    }
    let links = facts
        .links
        .iter()
        .map(|link| format!("{} ({})", Hostile(&link.name), link.ifindex));
    let mut words: Vec<_> = links.collect();
    if facts.netns != 0 {
        words.push(format!("namespace {}", facts.netns));
    }
    words.join(", ")
}

fn listening(facts: &Facts) -> String {
    let one = |socket: &crate::ledger::facts::PortFact| {
        let address = std::net::SocketAddr::new(socket.address, socket.port);
        format!("{}/{address}", Hostile(&socket.protocol))
    };
    facts
        .listening
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}

fn joined(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Containers at one time.
pub(super) fn table(out: &mut impl Write, answers: &[Answer]) -> io::Result<()> {
    if answers.is_empty() {
        return writeln!(out, "no container is known to have run then");
    }
    let headings = [
        "NAME",
        "ID",
        "IMAGE",
        "SINCE",
        "UNTIL",
        "CERTAINTY",
        "LINKS",
        "ADDRESSES",
    ];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(answers.iter().map(|answer| {
        let facts = &answer.facts;
        let links: Vec<_> = facts.links.iter().map(|link| Hostile(&link.name)).collect();
        [
            Hostile(&facts.name).to_string(),
            Hostile(facts.id.get(..12).unwrap_or(&facts.id)).to_string(),
            Hostile(&facts.image).to_string(),
            answer.first_seen.to_string(),
            answer.gone.map_or(String::new(), |gone| gone.to_string()),
            certainty(answer.certainty).to_owned(),
            if facts.host_network {
                "(host network)".to_owned()
            } else {
                joined(&links)
            },
            joined(&facts.addresses),
        ]
    }));
    write_rows(out, &rows, 0)
}

/// How the chain stands.
pub(super) fn verdict(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    let Verdict {
        lines,
        segments,
        first_seq,
        head,
        ..
    } = verdict;
    writeln!(
        out,
        "{lines} lines in {segments} files, numbers {first_seq} to {}, hash {}",
        head.seq, head.hash
    )?;
    if verdict.unchecked > 0 {
        writeln!(
            out,
            "{} lines are sealed with a key: give --key-file to check them",
            verdict.unchecked
        )?;
    }
    if verdict.cuts > 0 {
        writeln!(
            out,
            "an agent has cut off a torn end {} times (`cut`)",
            verdict.cuts
        )?;
    }
    if verdict.torn {
        writeln!(
            out,
            "the last line is not whole: it is being written, or the agent was killed; the next start cuts it off"
        )?;
    }
    if verdict.anchor_dropped {
        writeln!(
            out,
            "the line of the anchor has been dropped since: it proves nothing"
        )?;
    }
    for broken in &verdict.breaks {
        let file = broken.file.display().to_string();
        writeln!(
            out,
            "{}:{}: {}",
            Hostile(&file),
            broken.line,
            Hostile(&broken.what)
        )?;
    }
    if verdict.is_sound() {
        writeln!(out, "sound")
    } else {
        writeln!(out, "NOT SOUND: {} places", verdict.break_count)
    }
}
