//! Words that rules write for numbers of a protocol.

use super::{IntegerTest, Wanted};
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
        Field::Http2FrameType,
        0,
        &[
            "data",
            "headers",
            "priority",
            "rststream",
            "settings",
            "pushpromise",
            "ping",
            "goaway",
            "windowupdate",
            "continuation",
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
    (Field::EnipCommand, "nop", 0x00),
    (Field::EnipCommand, "list_services", 0x04),
    (Field::EnipCommand, "list_identity", 0x63),
    (Field::EnipCommand, "list_interfaces", 0x64),
    (Field::EnipCommand, "register_session", 0x65),
    (Field::EnipCommand, "unregister_session", 0x66),
    (Field::EnipCommand, "send_rrdata", 0x6f),
    (Field::EnipCommand, "send_rr_data", 0x6f),
    (Field::EnipCommand, "send_unit_data", 0x70),
    (Field::EnipCommand, "indicate_status", 0x72),
    (Field::EnipCommand, "cancel", 0x73),
    (Field::EnipStatus, "success", 0x00),
    (Field::EnipStatus, "invalid_cmd", 0x01),
    (Field::EnipStatus, "no_resources", 0x02),
    (Field::EnipStatus, "incorrect_data", 0x03),
    (Field::EnipStatus, "invalid_session", 0x64),
    (Field::EnipStatus, "invalid_length", 0x65),
    (Field::EnipStatus, "unsupported_prot_rev", 0x69),
    (Field::EnipStatus, "encap_header_error", 0x6a),
    (Field::Krb5TicketEncryption, "des-cbc-crc", 1),
    (Field::Krb5TicketEncryption, "des-cbc-md4", 2),
    (Field::Krb5TicketEncryption, "des-cbc-md5", 3),
    (Field::Krb5TicketEncryption, "des3-cbc-md5", 5),
    (Field::Krb5TicketEncryption, "des3-cbc-sha1", 7),
    (Field::Krb5TicketEncryption, "des3-cbc-sha1-kd", 16),
    (Field::Krb5TicketEncryption, "aes128-cts-hmac-sha1-96", 17),
    (Field::Krb5TicketEncryption, "aes256-cts-hmac-sha1-96", 18),
    (
        Field::Krb5TicketEncryption,
        "aes128-cts-hmac-sha256-128",
        19,
    ),
    (
        Field::Krb5TicketEncryption,
        "aes256-cts-hmac-sha384-192",
        20,
    ),
    (Field::Krb5TicketEncryption, "rc4-hmac", 23),
    (Field::Krb5TicketEncryption, "rc4-hmac-exp", 24),
    (Field::Krb5TicketEncryption, "camellia128-cts-cmac", 25),
    (Field::Krb5TicketEncryption, "camellia256-cts-cmac", 26),
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
        if field == Field::LdapResponsesResultCode {
            return LDAP_RESULTS.iter().find_map(|(first, words)| {
                let mut words = words.iter();
                let at = words.position(|word| word.eq_ignore_ascii_case(text))?;
                Some(first + at as u64)
            });
        }
        let mut single = SINGLE.iter();
        let found = single.find(|(of, word, _)| *of == field && word.eq_ignore_ascii_case(text));
        found.map(|(.., number)| *number)
    })
}

/// Words for single bits.
pub(super) fn flags(field: Field) -> Option<&'static [(&'static str, u64)]> {
    match field {
        Field::WebsocketFlags => Some(&[("fin", 0x80), ("comp", 0x40)]),
        _ => None,
    }
}

/// Whether numbers behind commas are one or another.
pub(super) const fn are_alternatives(field: Field) -> bool {
    matches!(field, Field::TlsVersion | Field::Krb5TicketEncryption)
}

/// Whether a range has its ends in it, as it has for few.
pub(super) const fn range_is_inclusive(field: Field) -> bool {
    matches!(field, Field::NfsProcedure)
}

/// What a word stands for that means another number in another version of the protocol.
pub(super) fn by_version(field: Field, word: &str) -> Option<Vec<Wanted>> {
    if field != Field::NfsProcedure {
        return None;
    }
    let position = |words: &[&str]| {
        let mut words = words.iter();
        let at = words.position(|known| !word.is_empty() && known.eq_ignore_ascii_case(word))?;
        u64::try_from(at).ok()
    };
    let range = |low, high| IntegerTest::Range {
        low,
        high,
        negated: false,
    };
    let wanted = |number, versions| Wanted {
        number: IntegerTest::exact(number),
        under: Some((Field::NfsVersion, versions)),
    };
    let old = position(NFS_3).map(|number| wanted(number, range(0, 3)));
    let new = position(NFS_4).map(|number| wanted(number + NFS_4_FIRST, range(4, u64::MAX)));
    let all: Vec<Wanted> = old.into_iter().chain(new).collect();
    (!all.is_empty()).then_some(all)
}

/// Procedures of NFS 3 (RFC 1813, section 3), from 0.
const NFS_3: &[&str] = &[
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
    "fsstat",
    "fsinfo",
    "pathconf",
    "commit",
];
const NFS_4_FIRST: u64 = 3;
/// Operations of NFS 4 (RFC 7530, section 16; RFC 8881, section 18; RFC 7862, section 15).
const NFS_4: &[&str] = &[
    "access",
    "close",
    "commit",
    "create",
    "delegpurge",
    "delegreturn",
    "getattr",
    "getfh",
    "link",
    "lock",
    "lockt",
    "locku",
    "lookup",
    "lookupp",
    "nverify",
    "open",
    "openattr",
    "open_confirm",
    "open_downgrade",
    "putfh",
    "putpubfh",
    "putrootfh",
    "read",
    "readdir",
    "readlink",
    "remove",
    "rename",
    "renew",
    "restorefh",
    "savefh",
    "secinfo",
    "setattr",
    "setclientid",
    "setclientid_confirm",
    "verify",
    "write",
    "release_lockowner",
    "backchannel_ctl",
    "bind_conn_to_session",
    "exchange_id",
    "create_session",
    "destroy_session",
    "free_stateid",
    "get_dir_delegation",
    "getdeviceinfo",
    "getdevicelist",
    "layoutcommit",
    "layoutget",
    "layoutreturn",
    "secinfo_no_name",
    "sequence",
    "set_ssv",
    "test_stateid",
    "want_delegation",
    "destroy_clientid",
    "reclaim_complete",
    "allocate",
    "copy",
    "copy_notify",
    "deallocate",
    "io_advise",
    "layouterror",
    "layoutstats",
    "offload_cancel",
    "offload_status",
    "read_plus",
    "seek",
    "write_same",
    "clone",
];

/// Result codes of LDAP (RFC 4511, section 4.1.9, and what clients add), in runs.
const LDAP_RESULTS: &[(u64, &[&str])] = &[
    (
        0,
        &[
            "success",
            "operations_error",
            "protocol_error",
            "time_limit_exceeded",
            "size_limit_exceeded",
            "compare_false",
            "compare_true",
            "auth_method_not_supported",
            "stronger_auth_required",
        ],
    ),
    (
        10,
        &[
            "referral",
            "admin_limit_exceeded",
            "unavailable_critical_extension",
            "confidentiality_required",
            "sasl_bind_in_progress",
        ],
    ),
    (
        16,
        &[
            "no_such_attribute",
            "undefined_attribute_type",
            "inappropriate_matching",
            "constraint_violation",
            "attribute_or_value_exists",
            "invalid_attribute_syntax",
        ],
    ),
    (
        32,
        &[
            "no_such_object",
            "alias_problem",
            "invalid_dns_syntax",
            "is_leaf",
            "alias_dereferencing_problem",
        ],
    ),
    (
        48,
        &[
            "inappropriate_authentication",
            "invalid_credentials",
            "insufficient_access_rights",
            "busy",
            "unavailable",
            "unwilling_to_perform",
            "loop_detect",
        ],
    ),
    (60, &["sort_control_missing", "offset_range_error"]),
    (
        64,
        &[
            "naming_violation",
            "object_class_violation",
            "not_allowed_on_non_leaf",
            "not_allowed_on_rdn",
            "entry_already_exists",
            "object_class_mods_prohibited",
            "results_too_large",
            "affects_multiple_dsas",
        ],
    ),
    (76, &["control_error"]),
    (
        80,
        &[
            "other",
            "server_down",
            "local_error",
            "encoding_error",
            "decoding_error",
            "timeout",
            "auth_unknown",
            "filter_error",
            "user_canceled",
            "param_error",
            "no_memory",
            "connect_error",
            "not_supported",
            "control_not_found",
            "no_results_returned",
            "more_results_to_return",
            "client_loop",
            "referral_limit_exceeded",
        ],
    ),
    (100, &["invalid_response", "ambiguous_response"]),
    (
        112,
        &["tls_not_supported", "intermediate_response", "unknown_type"],
    ),
    (
        118,
        &[
            "canceled",
            "no_such_operation",
            "too_late",
            "cannot_cancel",
            "assertion_failed",
            "authorization_denied",
        ],
    ),
    (4096, &["e_sync_refresh_required"]),
    (16654, &["no_operation"]),
];
