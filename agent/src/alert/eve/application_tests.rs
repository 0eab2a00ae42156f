use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    alert::{Naming, escape::Formatter, eve, fixtures},
    config,
};

const S: bool = TO_SERVER;
const C: bool = TO_CLIENT;

fn record(
    protocol: AppProtocol,
    fields: &[(bool, Buffer, &[u8])],
    numbers: &[(bool, Field, u64)],
) -> ApplicationRecord {
    ApplicationRecord {
        protocol,
        transaction: 2,
        fields: fields
            .iter()
            .map(|(side, buffer, bytes)| (*side, *buffer, Bytes::copy_from_slice(bytes)))
            .collect(),
        numbers: numbers.to_vec(),
    }
}

fn line(record: &ApplicationRecord) -> String {
    let mut out = Vec::new();
    objects(record)
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut out, Formatter,
        ))
        .unwrap();
    String::from_utf8(out).unwrap()
}

fn value(record: &ApplicationRecord) -> serde_json::Value {
    serde_json::from_str(&line(record)).unwrap()
}

#[test]
fn http() {
    let exchange = record(
        AppProtocol::Http,
        &[
            (S, Buffer::HttpMethod, b"GET"),
            (S, Buffer::HttpUri, b"/a b"),
            (S, Buffer::HttpRawUri, b"/a%20b"),
            (S, Buffer::HttpProtocol, b"HTTP/1.1"),
            (S, Buffer::HttpHost, b"shop"),
            (S, Buffer::HttpUserAgent, b"curl/8\x1b[2J"),
            (S, Buffer::HttpContentType, b"text/ignored"),
            (C, Buffer::HttpStatCode, b"302"),
            (C, Buffer::HttpContentType, b"text/html"),
            (C, Buffer::HttpContentLength, b"17"),
            (C, Buffer::HttpLocation, b"/login"),
            (C, Buffer::FileName, b"b"),
            (C, Buffer::FileMd5, b"00ff"),
        ],
        &[(C, Field::FileSize, 17)],
    );
    let expected = concat!(
        r#"{"http":{"hostname":"shop","url":"/a%20b","http_user_agent":"curl/8\u001b[2J","#,
        r#""http_content_type":"text/html","http_method":"GET","protocol":"HTTP/1.1","status":302,"#,
        r#""redirect":"/login","length":17},"#,
        r#""files":[{"filename":"b","md5":"00ff","size":17,"tx_id":2}]}"#,
    );
    assert_eq!(line(&exchange), expected);
}

#[test]
fn dns() {
    let question = record(
        AppProtocol::Dns,
        &[
            (S, Buffer::DnsQueriesRrname, b"db.shop"),
            (S, Buffer::DnsQuery, b"db.shop"),
        ],
        &[
            (S, Field::DnsOpcode, 0),
            (S, Field::DnsRcode, 0),
            (S, Field::DnsRrtype, 28),
        ],
    );
    assert_eq!(
        line(&question),
        r#"{"dns":{"version":3,"type":"request","tx_id":2,"opcode":0,"queries":[{"rrname":"db.shop","rrtype":"AAAA"}]}}"#
    );
    let answer = record(
        AppProtocol::Dns,
        &[
            (C, Buffer::DnsQueriesRrname, b"db.shop"),
            (C, Buffer::DnsAnswersRrname, b"db.shop"),
        ],
        &[
            (C, Field::DnsOpcode, 0),
            (C, Field::DnsRcode, 3),
            (C, Field::DnsRrtype, 65_000),
        ],
    );
    assert_eq!(
        line(&answer),
        r#"{"dns":{"version":3,"type":"response","tx_id":2,"opcode":0,"rcode":"NXDOMAIN","queries":[{"rrname":"db.shop"}],"answers":[{"rrname":"db.shop","rrtype":"65000"}]}}"#
    );
}

#[test]
fn tls() {
    let handshake = record(
        AppProtocol::Tls,
        &[
            (S, Buffer::TlsSni, b"shop.example"),
            (S, Buffer::TlsAlpn, b"h2"),
            (S, Buffer::TlsAlpn, b"http/1.1"),
            (S, Buffer::Ja3String, b"771,4865,0,29,0"),
            (S, Buffer::Ja3Hash, b"aa"),
            (S, Buffer::Ja4Hash, b"t13d"),
            (C, Buffer::Ja3sHash, b"bb"),
            (C, Buffer::TlsCertSubject, b"CN=shop"),
            (C, Buffer::TlsCertIssuer, b"CN=ca"),
            (C, Buffer::TlsCertSerial, b"01:02"),
            (C, Buffer::TlsCertFingerprint, b"de:ad"),
        ],
        &[
            (S, Field::TlsVersion, 0x0304),
            (C, Field::TlsVersion, 0x0303),
        ],
    );
    let expected = concat!(
        r#"{"tls":{"subject":"CN=shop","issuerdn":"CN=ca","serial":"01:02","fingerprint":"de:ad","#,
        r#""sni":"shop.example","version":"TLS 1.2","ja3":{"hash":"aa","string":"771,4865,0,29,0"},"#,
        r#""ja3s":{"hash":"bb"},"ja4":"t13d","client_alpns":["h2","http/1.1"]}}"#,
    );
    assert_eq!(line(&handshake), expected);
}

#[test]
fn each_end_of_ssh_has_its_own() {
    let banners = record(
        AppProtocol::Ssh,
        &[
            (S, Buffer::SshProto, b"2.0"),
            (S, Buffer::SshSoftware, b"libssh"),
            (S, Buffer::SshHassh, b"aa"),
            (C, Buffer::SshSoftware, b"OpenSSH_9"),
        ],
        &[],
    );
    assert_eq!(
        value(&banners),
        json!({"ssh": {
            "client": {"proto_version": "2.0", "software_version": "libssh", "hassh": {"hash": "aa"}},
            "server": {"software_version": "OpenSSH_9"},
        }})
    );
}

#[test]
fn mail_has_envelope_head_and_files() {
    let mail = record(
        AppProtocol::Smtp,
        &[
            (S, Buffer::SmtpHelo, b"web"),
            (S, Buffer::SmtpMailFrom, b"a@shop"),
            (S, Buffer::SmtpRcptTo, b"b@shop"),
            (S, Buffer::SmtpRcptTo, b"c@shop"),
            (S, Buffer::EmailSubject, b"hello"),
            (S, Buffer::FileName, b"one"),
            (S, Buffer::FileName, b"two"),
            (S, Buffer::FileMd5, b"whose"),
        ],
        &[],
    );
    assert_eq!(
        value(&mail),
        json!({
            "smtp": {"helo": "web", "mail_from": "a@shop", "rcpt_to": ["b@shop", "c@shop"]},
            "email": {"subject": "hello"},
            "files": [{"filename": "one", "tx_id": 2}, {"filename": "two", "tx_id": 2}],
        })
    );
}

#[test]
fn what_has_no_object_of_its_own_goes_by_the_names_of_rules() {
    let exchange = record(
        AppProtocol::Krb5,
        &[(S, Buffer::Krb5Cname, b"a"), (S, Buffer::Krb5Cname, b"b")],
        &[(S, Field::Krb5MessageType, 10)],
    );
    assert_eq!(
        value(&exchange),
        json!({"app": {"krb5.cname": ["a", "b"], "krb5_msg_type": 10}})
    );
    assert_eq!(value(&record(AppProtocol::Http, &[], &[])), json!({}));
}

#[test]
fn an_event_names_protocol_and_transaction() {
    let mut alert = fixtures::alert();
    let fields: &[(bool, Buffer, &[u8])] = &[(S, Buffer::FtpCommand, b"USER")];
    let transaction = record(AppProtocol::Ftp, fields, &[]);
    alert.finding.context.application = Some(std::sync::Arc::new(transaction));
    let mut out = Vec::new();
    let form = (&config::Alert::default()).into();
    eve::write_alert(&alert, &Naming::default(), form, &mut out).unwrap();
    let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(event["app_proto"], "ftp");
    assert_eq!(event["tx_id"], 2);
    assert_eq!(event["ftp"], json!({"command": "USER"}));
    assert_eq!(event["flow_id"], 77);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_one_line_of_json_that_a_terminal_survives(
        protocol in prop::sample::select(AppProtocol::ALL),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        text in "\\PC{0,40}\u{202e}\u{9b}\u{7f}",
    ) {
        let everything: Vec<_> = Buffer::ALL
            .iter()
            .flat_map(|buffer| [(S, *buffer, &*bytes), (C, *buffer, text.as_bytes())])
            .collect();
        let line = line(&record(protocol, &everything, &[]));
        prop_assert!(!line.chars().any(char::is_control));
        let deceives = line.contains('\u{202e}');
        prop_assert!(!deceives);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert!(parsed.is_object());
    }
}
