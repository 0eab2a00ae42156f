//! `dataset`, `datarep` and lists of file hashes: sets of values that stand in files.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    IntegerTest,
    diagnostic::Fault,
    integer,
    reputation::Reputations,
    source::Span,
    transform::{Base64Mode, decode_base64},
};

/// Values that a set takes at most when rules add to it.
const MAX_VALUES: usize = 1 << 20;

/// What reading a rule may use of files: those that were read before, and those beside the rules.
pub(super) struct Files<'a> {
    pub(super) datasets: &'a mut Datasets,
    pub(super) reputations: &'a Reputations,
    pub(super) load: &'a Loader<'a>,
}

/// A set of values, shared by all rules that name it.
#[derive(Debug, Default)]
pub struct Dataset {
    /// Each value with its reputation. Rules may add while others ask: a lock that is rarely taken.
    values: Mutex<HashMap<Box<[u8]>, u32>>,
}

/// What a rule asks of a set, or does to it.
#[derive(Clone, Debug)]
pub struct DatasetTest {
    /// The set.
    pub set: Arc<Dataset>,
    /// What.
    pub command: DatasetCommand,
    /// The values are hex digests of this many bytes; the buffer may hold text or bytes.
    pub digest: bool,
}

/// The command of `dataset`, or the comparison of `datarep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetCommand {
    /// It is there.
    IsSet,
    /// It is not.
    IsNotSet,
    /// Put it there.
    Set,
    /// Take it away.
    Unset,
    /// It is there with such a reputation.
    Reputation(IntegerTest),
}

impl DatasetTest {
    /// Whether `value` passes; a command that changes always does.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        let mut values = self
            .set
            .values
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let digest;
        let key: &[u8] =
            if self.digest && !value.is_empty() && value.iter().all(u8::is_ascii_hexdigit) {
                digest = unhex(value).unwrap_or_default();
                &digest
            } else {
                value
            };
        match self.command {
            DatasetCommand::IsSet => values.contains_key(key),
            DatasetCommand::IsNotSet => !values.contains_key(key),
            DatasetCommand::Set => {
                if values.len() < MAX_VALUES {
                    values.insert(key.into(), 0);
                }
                true
            }
            DatasetCommand::Unset => {
                values.remove(key);
                true
            }
            DatasetCommand::Reputation(test) => values
                .get(key)
                .is_some_and(|value| test.matches(u64::from(*value))),
        }
    }
}

/// Hands out the text of a file that a rule names, as the rule writes it.
pub(super) type Loader<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// The sets by name while rules are read.
#[derive(Debug, Default)]
pub(super) struct Datasets {
    by_name: HashMap<String, Arc<Dataset>>,
}

impl Datasets {
    fn named(&mut self, name: &str) -> (Arc<Dataset>, bool) {
        let known = self.by_name.contains_key(name);
        (
            Arc::clone(self.by_name.entry(name.to_owned()).or_default()),
            !known,
        )
    }

    /// `dataset:COMMAND,NAME,type TYPE,load FILE…`.
    pub(super) fn dataset(
        &mut self,
        value: Span<'_>,
        load: &Loader<'_>,
    ) -> Result<DatasetTest, Fault> {
        let parts: Vec<Span<'_>> = value.split(',').map(Span::trim).collect();
        let [command, name, settings @ ..] = parts.as_slice() else {
            return Err(Fault::new(
                value.at,
                "dataset:COMMAND,NAME[,type TYPE][,load FILE]",
            ));
        };
        let command = match command.text {
            "isset" => DatasetCommand::IsSet,
            "isnotset" => DatasetCommand::IsNotSet,
            "set" => DatasetCommand::Set,
            "unset" => DatasetCommand::Unset,
            other => {
                return Err(Fault::new(command.at, format!("unknown command `{other}`"))
                    .hint("isset, isnotset, set or unset"));
            }
        };
        self.read(*name, settings, command, load)
    }

    /// `datarep:NAME,OPERATOR,VALUE,load FILE,type TYPE`.
    pub(super) fn reputation(
        &mut self,
        value: Span<'_>,
        load: &Loader<'_>,
    ) -> Result<DatasetTest, Fault> {
        let parts: Vec<Span<'_>> = value.split(',').map(Span::trim).collect();
        let [name, operator, threshold, settings @ ..] = parts.as_slice() else {
            return Err(Fault::new(
                value.at,
                "datarep:NAME,OPERATOR,VALUE,load FILE,type TYPE",
            ));
        };
        let text = format!("{}{}", operator.text.replace("==", ""), threshold.text);
        let test = integer::parse(Span::new(&text, operator.at), &|_| None)?;
        self.read(*name, settings, DatasetCommand::Reputation(test), load)
    }

    /// A file with one digest a line (`filemd5` and its like).
    pub(super) fn digests(
        &mut self,
        value: Span<'_>,
        load: &Loader<'_>,
    ) -> Result<DatasetTest, Fault> {
        let (negated, file) = match value.text.strip_prefix('!') {
            Some(_) => (true, value.slice(1, value.text.len()).trim()),
            None => (false, value),
        };
        let (set, new) = self.named(&format!("file {}", file.text));
        if new {
            let text = load(file.text).ok_or_else(|| missing(file))?;
            fill(&set, &text, Kind::Digest, None);
        }
        let command = if negated {
            DatasetCommand::IsNotSet
        } else {
            DatasetCommand::IsSet
        };
        Ok(DatasetTest {
            set,
            command,
            digest: true,
        })
    }

    fn read(
        &mut self,
        name: Span<'_>,
        settings: &[Span<'_>],
        command: DatasetCommand,
        load: &Loader<'_>,
    ) -> Result<DatasetTest, Fault> {
        let mut kind = Kind::Text;
        let mut file = None;
        let (mut json, mut key) = (false, None);
        for part in settings {
            let (word, argument) = part
                .text
                .split_once(char::is_whitespace)
                .unwrap_or((part.text, ""));
            let argument = argument.trim();
            match word {
                "type" => {
                    kind = match argument {
                        "string" => Kind::Text,
                        "md5" | "sha1" | "sha256" => Kind::Digest,
                        "ip" | "ipv4" | "ipv6" => Kind::Address,
                        other => {
                            return Err(Fault::new(part.at, format!("unknown type `{other}`"))
                                .hint("string, md5, sha1, sha256, ipv4, ipv6 or ip"));
                        }
                    };
                }
                "load" | "state" => file = Some(argument),
                "format" => json = matches!(argument, "json" | "ndjson" | "jsonline"),
                "value_key" => key = Some(argument),
                "save" | "memcap" | "hashsize" | "context_key" | "enrichment_key" | "array_key"
                | "remove_key" => {}
                other => return Err(Fault::new(part.at, format!("unknown setting `{other}`"))),
            }
        }
        let (set, new) = self.named(name.text);
        if new && let Some(file) = file {
            let text = load(file).ok_or_else(|| missing(name))?;
            fill(&set, &text, kind, json.then_some(key.unwrap_or_default()));
        }
        Ok(DatasetTest {
            set,
            command,
            digest: kind == Kind::Digest,
        })
    }
}

fn missing(span: Span<'_>) -> Fault {
    Fault::new(
        span.at,
        format!("the file of `{}` cannot be read", span.text),
    )
    .hint("it is looked for beside the rule file")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Digest,
    Address,
}

/// One value a line, perhaps with a reputation behind a comma; or the values of a key in JSON.
fn fill(set: &Dataset, text: &[u8], kind: Kind, json_key: Option<&str>) {
    let mut values = set.values.lock().unwrap_or_else(PoisonError::into_inner);
    let mut add = |value: &[u8], reputation: u32| {
        let key = match kind {
            Kind::Text => Some(value.to_vec()),
            Kind::Digest => unhex(value),
            Kind::Address => address(value),
        };
        if let Some(key) = key
            && values.len() < MAX_VALUES
        {
            values.insert(key.into(), reputation);
        }
    };
    if let Some(key) = json_key {
        let text = String::from_utf8_lossy(text);
        for value in json_values(&text, key) {
            add(value.as_bytes(), 0);
        }
        return;
    }
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let mut parts = line.splitn(2, |byte| *byte == b',');
        let first = parts.next().unwrap_or_default();
        if first.is_empty() || first.starts_with(b"#") {
            continue;
        }
        let reputation = parts
            .next()
            .and_then(|text| core::str::from_utf8(text).ok()?.trim().parse().ok())
            .unwrap_or(0);
        match kind {
            // Strings are written in base64.
            Kind::Text => add(
                &decode_base64(first, Base64Mode::Rfc4648).unwrap_or_default(),
                reputation,
            ),
            _ => add(first, reputation),
        }
    }
}

/// Strings that stand for `key` (the last part of a dotted path) anywhere in JSON: enough for lists
/// of indicators, without a parser for documents.
fn json_values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let name = format!("\"{}\"", key.rsplit('.').next().unwrap_or(key));
    let mut values = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&name) {
        rest = rest.get(at + name.len()..).unwrap_or_default();
        let Some(value) = rest.trim_start().strip_prefix(':') else {
            continue;
        };
        if let Some(value) = value.trim_start().strip_prefix('"')
            && let Some(end) = value.find('"')
        {
            values.extend(value.get(..end));
        }
    }
    values
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut pairs = text.chunks_exact(2);
    let bytes = pairs
        .by_ref()
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()?;
    pairs.remainder().is_empty().then_some(bytes)
}

/// Addresses are compared as 16 bytes, IPv4 mapped.
fn address(text: &[u8]) -> Option<Vec<u8>> {
    let address: core::net::IpAddr = core::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(address_key(address).to_vec())
}

/// The bytes by which sets know an address.
pub(crate) fn address_key(address: core::net::IpAddr) -> [u8; 16] {
    match address {
        core::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        core::net::IpAddr::V6(address) => address.octets(),
    }
}
