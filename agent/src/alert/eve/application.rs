//! What a transaction was about, in the objects that Suricata's EVE has for its protocol. All of it
//! was chosen by the two ends: every string is bounded and escaped as other hostile strings are.

use std::{borrow::Cow, collections::BTreeMap};

use hydrophone_inspect::{
    ApplicationRecord,
    protocol::{AppProtocol, Buffer, Field},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::names;
use crate::alert::escape::Hostile;

const TO_SERVER: bool = true;
const TO_CLIENT: bool = false;

/// A JSON value that borrows from the record.
#[derive(Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    List(Vec<Self>),
    Object(Object<'a>),
}

/// A JSON object, in the order in which members were added.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(&'static str, Value<'a>)>);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => Hostile(text).serialize(serializer),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::Text(String::from_utf8_lossy(bytes))
}

fn name(name: impl Into<Cow<'static, str>>) -> Option<Value<'static>> {
    Some(Value::Text(name.into()))
}

impl<'a> Object<'a> {
    /// Adds a member, if there is a value.
    fn with(mut self, key: &'static str, value: Option<Value<'a>>) -> Self {
        self.0.extend(value.map(|value| (key, value)));
        self
    }

    /// The object as a value, if it has members.
    fn value(self) -> Option<Value<'a>> {
        (!self.0.is_empty()).then_some(Value::Object(self))
    }
}

/// The record, as the parts of an event ask for it.
struct Record<'a>(&'a ApplicationRecord);

impl<'a> Record<'a> {
    fn all(&self, buffer: Buffer, side: Option<bool>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0
            .fields
            .iter()
            .filter(move |(to_server, of, _)| {
                *of == buffer && side.is_none_or(|side| side == *to_server)
            })
            .map(|(_, _, bytes)| &**bytes)
    }

    /// The first of a buffer, of either direction.
    fn first(&self, buffer: Buffer) -> Option<Value<'a>> {
        self.all(buffer, None).next().map(text)
    }

    fn first_of(&self, buffer: Buffer, side: bool) -> Option<Value<'a>> {
        self.all(buffer, Some(side)).next().map(text)
    }

    /// All of a buffer; none when there is none.
    fn list(&self, buffer: Buffer, side: Option<bool>) -> Option<Value<'a>> {
        let values: Vec<_> = self.all(buffer, side).map(text).collect();
        (!values.is_empty()).then_some(Value::List(values))
    }

    fn numbers(&self, field: Field, side: Option<bool>) -> impl Iterator<Item = u64> + use<'a> {
        self.0
            .numbers
            .iter()
            .filter(move |(to_server, of, _)| {
                *of == field && side.is_none_or(|side| side == *to_server)
            })
            .map(|(_, _, number)| *number)
    }

    fn number(&self, field: Field) -> Option<Value<'a>> {
        self.numbers(field, None).next().map(Value::Number)
    }

    /// A decimal number that the ends wrote as text.
    fn decimal(&self, buffer: Buffer, side: bool) -> Option<Value<'a>> {
        let bytes = self.all(buffer, Some(side)).next()?;
        let text = str::from_utf8(bytes).ok()?;
        text.trim().parse().ok().map(Value::Number)
    }
}

/// The objects of a transaction, by the names that EVE has for them.
pub(super) fn objects(record: &ApplicationRecord) -> Object<'_> {
    let of = Record(record);
    exchange(&of).with("files", files(&of))
}

/// The objects for each file that one side sent in a transaction.
pub(super) fn file_objects(record: &ApplicationRecord, to_server: bool) -> Vec<Object<'_>> {
    let of = Record(record);
    let sent = files_of(&of, to_server);
    // The size is known from when the file is over.
    let whole = of.numbers(Field::FileSize, Some(to_server)).count() >= sent.len();
    let state = if whole { "CLOSED" } else { "TRUNCATED" };
    sent.into_iter()
        .map(|file| exchange(&of).with("fileinfo", file.with("state", name(state)).value()))
        .collect()
}

/// What the two ends said, without the files.
fn exchange<'a>(of: &Record<'a>) -> Object<'a> {
    let (key, object) = match of.0.protocol {
        AppProtocol::Http | AppProtocol::Http2 => ("http", http(of)),
        AppProtocol::Dns | AppProtocol::Doh2 => ("dns", dns(of)),
        AppProtocol::Tls => ("tls", tls(of)),
        AppProtocol::Quic => ("quic", quic(of)),
        AppProtocol::Ssh => ("ssh", ssh(of)),
        AppProtocol::Smtp => ("smtp", smtp(of)),
        AppProtocol::Ftp => ("ftp", ftp(of)),
        AppProtocol::FtpData => ("ftp_data", ftp_data(of)),
        AppProtocol::Smb => ("smb", smb(of)),
        AppProtocol::Sip => ("sip", sip(of)),
        AppProtocol::Dcerpc => ("dcerpc", dcerpc(of)),
        _ => ("app", other(of)),
    };
    Object::default()
        .with(key, object.value())
        .with("email", email(of).value())
}

fn http<'a>(of: &Record<'a>) -> Object<'a> {
    let url = of.first(Buffer::HttpRawUri);
    Object::default()
        .with("hostname", of.first(Buffer::HttpHost))
        .with("url", url.or_else(|| of.first(Buffer::HttpUri)))
        .with("http_user_agent", of.first(Buffer::HttpUserAgent))
        .with(
            "http_content_type",
            of.first_of(Buffer::HttpContentType, TO_CLIENT),
        )
        .with("http_refer", of.first(Buffer::HttpReferer))
        .with("http_method", of.first(Buffer::HttpMethod))
        .with("protocol", of.first(Buffer::HttpProtocol))
        .with("status", of.decimal(Buffer::HttpStatCode, TO_CLIENT))
        .with("redirect", of.first(Buffer::HttpLocation))
        .with("length", of.decimal(Buffer::HttpContentLength, TO_CLIENT))
}

/// As version 3 of Suricata's DNS records, without what the engine does not keep.
fn dns<'a>(of: &Record<'a>) -> Object<'a> {
    let is_response = of
        .numbers(Field::DnsOpcode, Some(TO_CLIENT))
        .next()
        .is_some();
    let side = if is_response { TO_CLIENT } else { TO_SERVER };
    let rcode = of.numbers(Field::DnsRcode, Some(side)).next();
    Object::default()
        .with("version", Some(Value::Number(3)))
        .with(
            "type",
            name(if is_response { "response" } else { "request" }),
        )
        .with("tx_id", Some(Value::Number(of.0.transaction)))
        .with(
            "opcode",
            of.numbers(Field::DnsOpcode, Some(side))
                .next()
                .map(Value::Number),
        )
        .with(
            "rcode",
            rcode
                .filter(|_| is_response)
                .and_then(|rcode| name(names::dns_rcode(rcode))),
        )
        .with("queries", queries(of, side))
        .with("answers", answers(of))
}

/// A name with its type, when the engine has a type for each.
fn records<'a>(named: Vec<&'a [u8]>, types: &[u64]) -> Option<Value<'a>> {
    let typed = types.len() == named.len();
    let records: Vec<_> = named
        .into_iter()
        .enumerate()
        .filter_map(|(at, rrname)| {
            let rrtype = types.get(at).filter(|_| typed);
            Object::default()
                .with("rrname", Some(text(rrname)))
                .with("rrtype", rrtype.and_then(|of| name(names::dns_rrtype(*of))))
                .value()
        })
        .collect();
    (!records.is_empty()).then_some(Value::List(records))
}

fn queries<'a>(of: &Record<'a>, side: bool) -> Option<Value<'a>> {
    let named = of.all(Buffer::DnsQueriesRrname, Some(side)).collect();
    // Of what a response repeats, the engine keeps no types.
    let types: Vec<_> = of
        .numbers(Field::DnsRrtype, Some(TO_SERVER))
        .filter(|_| side == TO_SERVER)
        .collect();
    records(named, &types)
}

fn answers<'a>(of: &Record<'a>) -> Option<Value<'a>> {
    let named = of.all(Buffer::DnsAnswersRrname, Some(TO_CLIENT)).collect();
    let types: Vec<_> = of.numbers(Field::DnsRrtype, Some(TO_CLIENT)).collect();
    records(named, &types)
}

/// A fingerprint with the text that it is the hash of.
fn hashed<'a>(of: &Record<'a>, hash: Buffer, string: Buffer) -> Option<Value<'a>> {
    Object::default()
        .with("hash", of.first(hash))
        .with("string", of.first(string))
        .value()
}

fn tls<'a>(of: &Record<'a>) -> Object<'a> {
    // What the server chose, else what the client asked for.
    let version = of
        .numbers(Field::TlsVersion, Some(TO_CLIENT))
        .next()
        .or_else(|| of.numbers(Field::TlsVersion, Some(TO_SERVER)).next());
    Object::default()
        .with("subject", of.first(Buffer::TlsCertSubject))
        .with("issuerdn", of.first(Buffer::TlsCertIssuer))
        .with("subjectaltname", of.list(Buffer::TlsSubjectAltName, None))
        .with("serial", of.first(Buffer::TlsCertSerial))
        .with("fingerprint", of.first(Buffer::TlsCertFingerprint))
        .with("sni", of.first(Buffer::TlsSni))
        .with(
            "version",
            version.and_then(|version| name(names::tls_version(version))),
        )
        .with("ja3", hashed(of, Buffer::Ja3Hash, Buffer::Ja3String))
        .with("ja3s", hashed(of, Buffer::Ja3sHash, Buffer::Ja3sString))
        .with("ja4", of.first(Buffer::Ja4Hash))
        .with("client_alpns", of.list(Buffer::TlsAlpn, Some(TO_SERVER)))
        .with("server_alpns", of.list(Buffer::TlsAlpn, Some(TO_CLIENT)))
}

fn quic<'a>(of: &Record<'a>) -> Object<'a> {
    let sni = of.first(Buffer::QuicSni);
    Object::default()
        .with("version", of.number(Field::QuicVersion))
        .with("sni", sni.or_else(|| of.first(Buffer::TlsSni)))
        .with("ua", of.first(Buffer::QuicUserAgent))
        .with("ja3", hashed(of, Buffer::Ja3Hash, Buffer::Ja3String))
        .with("ja4", of.first(Buffer::Ja4Hash))
}

fn ssh<'a>(of: &Record<'a>) -> Object<'a> {
    let end = |side, hash, string| {
        Object::default()
            .with("proto_version", of.first_of(Buffer::SshProto, side))
            .with("software_version", of.first_of(Buffer::SshSoftware, side))
            .with("hassh", hashed(of, hash, string))
            .value()
    };
    let client = end(TO_SERVER, Buffer::SshHassh, Buffer::SshHasshString);
    let server = end(
        TO_CLIENT,
        Buffer::SshHasshServer,
        Buffer::SshHasshServerString,
    );
    Object::default()
        .with("client", client)
        .with("server", server)
}

fn smtp<'a>(of: &Record<'a>) -> Object<'a> {
    Object::default()
        .with("helo", of.first(Buffer::SmtpHelo))
        .with("mail_from", of.first(Buffer::SmtpMailFrom))
        .with("rcpt_to", of.list(Buffer::SmtpRcptTo, None))
}

fn email<'a>(of: &Record<'a>) -> Object<'a> {
    Object::default()
        .with("from", of.first(Buffer::EmailFrom))
        .with("to", of.list(Buffer::EmailTo, None))
        .with("cc", of.list(Buffer::EmailCc, None))
        .with("subject", of.first(Buffer::EmailSubject))
        .with("date", of.first(Buffer::EmailDate))
        .with("message_id", of.first(Buffer::EmailMessageId))
        .with("x_mailer", of.first(Buffer::EmailXMailer))
        .with("url", of.list(Buffer::EmailUrl, None))
}

fn ftp<'a>(of: &Record<'a>) -> Object<'a> {
    Object::default()
        .with("command", of.first(Buffer::FtpCommand))
        .with("command_data", of.first(Buffer::FtpCommandData))
        .with("completion_code", of.list(Buffer::FtpCompletionCode, None))
        .with("reply", of.list(Buffer::FtpReply, None))
        .with("dynamic_port", of.number(Field::FtpDynamicPort))
}

fn ftp_data<'a>(of: &Record<'a>) -> Object<'a> {
    Object::default()
        .with("command", of.first(Buffer::FtpDataCommand))
        .with("filename", of.first(Buffer::FileName))
}

fn smb<'a>(of: &Record<'a>) -> Object<'a> {
    let ntlmssp = Object::default()
        .with("domain", of.first(Buffer::SmbNtlmsspDomain))
        .with("user", of.first(Buffer::SmbNtlmsspUser));
    Object::default()
        .with("version", of.number(Field::SmbVersion))
        .with("share", of.first(Buffer::SmbShare))
        .with("named_pipe", of.first(Buffer::SmbNamedPipe))
        .with("ntlmssp", ntlmssp.value())
        .with("dcerpc", dcerpc(of).value())
}

fn dcerpc<'a>(of: &Record<'a>) -> Object<'a> {
    let interfaces: Vec<_> = of
        .all(Buffer::DcerpcInterface, None)
        .filter_map(|uuid| {
            Object::default()
                .with("uuid", Some(text(uuid.trim_ascii_start())))
                .value()
        })
        .collect();
    let request = Object::default().with("opnum", of.number(Field::DcerpcOpnum));
    Object::default().with("req", request.value()).with(
        "interfaces",
        (!interfaces.is_empty()).then_some(Value::List(interfaces)),
    )
}

fn sip<'a>(of: &Record<'a>) -> Object<'a> {
    Object::default()
        .with("method", of.first(Buffer::SipMethod))
        .with("uri", of.first(Buffer::SipUri))
        .with("version", of.first(Buffer::SipProtocol))
        .with("request_line", of.first(Buffer::SipRequestLine))
        .with("code", of.first(Buffer::SipStatCode))
        .with("reason", of.first(Buffer::SipStatMsg))
        .with("response_line", of.first(Buffer::SipResponseLine))
}

/// Whatever there is, by the names that rules have for it.
fn other<'a>(of: &Record<'a>) -> Object<'a> {
    let mut members: BTreeMap<&'static str, Vec<Value<'a>>> = BTreeMap::new();
    for (_, buffer, bytes) in of.0.fields.iter().filter(|(_, of, _)| !of.is_file()) {
        members.entry(buffer.name()).or_default().push(text(bytes));
    }
    for (_, field, number) in &of.0.numbers {
        let values = members.entry(field.name()).or_default();
        values.push(Value::Number(*number));
    }
    let value = |mut values: Vec<Value<'a>>| match (values.pop(), values.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            values.extend(last);
            Value::List(values)
        }
    };
    Object(
        members
            .into_iter()
            .map(|(key, values)| (key, value(values)))
            .collect(),
    )
}

const FILE: [(&str, Buffer); 5] = [
    ("filename", Buffer::FileName),
    ("magic", Buffer::FileMagic),
    ("md5", Buffer::FileMd5),
    ("sha1", Buffer::FileSha1),
    ("sha256", Buffer::FileSha256),
];

/// The files that each direction carried.
fn files<'a>(of: &Record<'a>) -> Option<Value<'a>> {
    let files: Vec<_> = [TO_SERVER, TO_CLIENT]
        .into_iter()
        .flat_map(|side| files_of(of, side))
        .filter_map(Object::value)
        .collect();
    (!files.is_empty()).then_some(Value::List(files))
}

/// The files of one direction. What is not there for each of several is left out: it cannot be told
/// whose it is.
fn files_of<'a>(of: &Record<'a>, side: bool) -> Vec<Object<'a>> {
    let parts = FILE.map(|(key, buffer)| (key, of.all(buffer, Some(side)).collect::<Vec<_>>()));
    let sizes: Vec<_> = of.numbers(Field::FileSize, Some(side)).collect();
    let described = parts.iter().map(|(_, all)| all.len()).max().unwrap_or(0);
    let count = if described > 0 {
        described
    } else {
        sizes.len()
    };
    (0..count)
        .map(|at| {
            let mut file = Object::default();
            for (key, all) in parts.iter().filter(|(_, all)| all.len() == count) {
                file = file.with(key, all.get(at).map(|bytes| text(bytes)));
            }
            let size = sizes.get(at).filter(|_| sizes.len() == count);
            file.with("size", size.map(|size| Value::Number(*size)))
                .with("tx_id", Some(Value::Number(of.0.transaction)))
        })
        .collect()
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
