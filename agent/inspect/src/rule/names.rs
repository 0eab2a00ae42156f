//! Words that rules write for numbers of a protocol.

use crate::protocol::Field;

/// Words in the order of their numbers, from the first number on.
const IN_ORDER: &[(Field, u64, &[&str])] = &[
    (
        Field::SnmpPduType,
        0,
        &[
            "get_request",
            "get_next_request",
            "get_response",
            "set_request",
            "trap_v1",
            "get_bulk_request",
            "inform_request",
            "trap_v2",
            "report",
        ],
    ),
    (
        Field::Krb5MessageType,
        10,
        &["as_req", "as_rep", "tgs_req", "tgs_rep", "ap_req", "ap_rep"],
    ),
    (
        Field::NfsProcedure,
        0,
        &[
            "null",
            "getattr",
            "setattr",
            "lookup",
            "access",
            "readlink",
            "read",
            "write",
            "create",
            "mkdir",
            "symlink",
            "mknod",
            "remove",
            "rmdir",
            "rename",
            "link",
            "readdir",
            "readdirplus",
        ],
    ),
    (Field::RfbSecurityResult, 0, &["ok", "fail", "toomany"]),
    (
        Field::WebsocketOpcode,
        0,
        &["continuation", "text", "binary"],
    ),
    (
        Field::WebsocketOpcode,
        8,
        &["connection_close", "ping", "pong"],
    ),
    (Field::LdapRequestOperation, 0, LDAP),
    (
        Field::LdapRequestOperation,
        23,
        &[
            "extended_request",
            "extended_response",
            "intermediate_response",
        ],
    ),
    (Field::LdapResponsesOperation, 0, LDAP),
    (
        Field::LdapResponsesOperation,
        23,
        &[
            "extended_request",
            "extended_response",
            "intermediate_response",
        ],
    ),
    (
        Field::DnsRcode,
        0,
        &[
            "noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain",
            "yxrrset", "nxrrset", "notauth", "notzone",
        ],
    ),
    (
        Field::Http2ErrorCode,
        0,
        &[
            "no_error",
            "protocol_error",
            "internal_error",
            "flow_control_error",
            "settings_timeout",
            "stream_closed",
            "frame_size_error",
            "refused_stream",
            "cancel",
            "compression_error",
            "connect_error",
            "enhance_your_calm",
            "inadequate_security",
            "http_1_1_required",
        ],
    ),
];

/// Protocol operations of LDAP (RFC 4511), by their tag.
const LDAP: &[&str] = &[
    "bind_request",
    "bind_response",
    "unbind_request",
    "search_request",
    "search_result_entry",
    "search_result_done",
    "modify_request",
    "modify_response",
    "add_request",
    "add_response",
    "del_request",
    "del_response",
    "mod_dn_request",
    "mod_dn_response",
    "compare_request",
    "compare_response",
    "abandon_request",
    "",
    "",
    "search_result_reference",
];

/// Words for single numbers.
const SINGLE: &[(Field, &str, u64)] = &[
    (Field::TlsVersion, "1.0", 0x0301),
    (Field::TlsVersion, "tls1.0", 0x0301),
    (Field::TlsVersion, "1.1", 0x0302),
    (Field::TlsVersion, "tls1.1", 0x0302),
    (Field::TlsVersion, "1.2", 0x0303),
    (Field::TlsVersion, "tls1.2", 0x0303),
    (Field::TlsVersion, "1.3", 0x0304),
    (Field::TlsVersion, "tls1.3", 0x0304),
    (Field::TlsVersion, "sslv2", 0x0002),
    (Field::TlsVersion, "sslv3", 0x0300),
    (Field::FtpReplyReceived, "yes", 1),
    (Field::FtpReplyReceived, "on", 1),
    (Field::FtpReplyReceived, "true", 1),
    (Field::FtpReplyReceived, "no", 0),
    (Field::FtpReplyReceived, "off", 0),
    (Field::FtpReplyReceived, "false", 0),
    (Field::FtpMode, "active", 1),
    (Field::FtpMode, "passive", 0),
    (Field::RfbSecurityResult, "unknown", 0xffff_ffff),
    (Field::Http2ErrorCode, "http11_required", 13),
    (Field::DnsRrtype, "a", 1),
    (Field::DnsRrtype, "ns", 2),
    (Field::DnsRrtype, "cname", 5),
    (Field::DnsRrtype, "soa", 6),
    (Field::DnsRrtype, "null", 10),
    (Field::DnsRrtype, "ptr", 12),
    (Field::DnsRrtype, "mx", 15),
    (Field::DnsRrtype, "txt", 16),
    (Field::DnsRrtype, "aaaa", 28),
    (Field::DnsRrtype, "srv", 33),
    (Field::DnsRrtype, "axfr", 252),
    (Field::DnsRrtype, "any", 255),
];

/// The number of a word.
pub(super) fn number(field: Field, text: &str) -> Option<u64> {
    let text = text.trim_matches('"');
    let in_order = IN_ORDER.iter().filter(|(of, ..)| *of == field);
    let position = in_order
        .filter(|_| !text.is_empty())
        .find_map(|(_, first, words)| {
            let at = words
                .iter()
                .position(|word| word.eq_ignore_ascii_case(text))?;
            Some(first + at as u64)
        });
    position.or_else(|| {
        let mut single = SINGLE.iter();
        let found = single.find(|(of, word, _)| *of == field && word.eq_ignore_ascii_case(text));
        found.map(|(.., number)| *number)
    })
}
