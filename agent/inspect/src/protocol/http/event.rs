//! Names of what may be wrong with a message (Suricata: `app-layer-event:http.…`).

use crate::flow::Direction;

macro_rules! events {
    ($($name:ident: $text:literal),+ $(,)?) => {
        $(pub(super) const $name: &str = $text;)+

        /// The two ends agreed on another protocol and then did not speak it. Who probes what
        /// follows [`Status::Change`](crate::protocol::Status::Change) raises it.
        pub const FAILED_PROTOCOL_CHANGE: &str = "http.failed_protocol_change";

        /// All events of HTTP/1.x.
        pub const EVENTS: &[&str] = &[FAILED_PROTOCOL_CHANGE, $($text),+];
    };
}

events! {
    DECOMPRESSION_FAILED: "http.gzip_decompression_failed",
    COMPRESSION_BOMB: "http.compression_bomb",
    TOO_MANY_LAYERS: "http.too_many_encoding_layers",
    ABNORMAL_CONTENT_ENCODING: "http.abnormal_ce_header",
    REQUEST_MISSING_COLON: "http.request_field_missing_colon",
    RESPONSE_MISSING_COLON: "http.response_field_missing_colon",
    REQUEST_CHUNK_LENGTH: "http.invalid_request_chunk_len",
    RESPONSE_CHUNK_LENGTH: "http.invalid_response_chunk_len",
    REQUEST_CHUNK_EXTENSION: "http.request_chunk_extension",
    RESPONSE_CHUNK_EXTENSION: "http.response_chunk_extension",
    REQUEST_TRANSFER_ENCODING: "http.invalid_transfer_encoding_value_in_request",
    RESPONSE_TRANSFER_ENCODING: "http.invalid_transfer_encoding_value_in_response",
    ABNORMAL_TRANSFER_ENCODING: "http.response_abnormal_transfer_encoding",
    CHUNKED_OLD_PROTOCOL: "http.response_chunked_old_proto",
    REQUEST_CONTENT_LENGTH: "http.invalid_content_length_field_in_request",
    RESPONSE_CONTENT_LENGTH: "http.invalid_content_length_field_in_response",
    REQUEST_DUPLICATE_LENGTH: "http.duplicate_content_length_field_in_request",
    RESPONSE_DUPLICATE_LENGTH: "http.duplicate_content_length_field_in_response",
    REQUEST_REPETITION: "http.request_header_repetition",
    RESPONSE_REPETITION: "http.response_header_repetition",
    REQUEST_HEADER_INVALID: "http.request_header_invalid",
    RESPONSE_HEADER_INVALID: "http.response_header_invalid",
    REQUEST_FOLDING: "http.invalid_request_field_folding",
    RESPONSE_FOLDING: "http.invalid_response_field_folding",
    REQUEST_TOO_LONG: "http.request_field_too_long",
    RESPONSE_TOO_LONG: "http.response_field_too_long",
    REQUEST_TOO_MANY: "http.request_too_many_headers",
    RESPONSE_TOO_MANY: "http.response_too_many_headers",
    REQUEST_LINE_INVALID: "http.request_line_invalid",
    REQUEST_LINE_INCOMPLETE: "http.request_line_incomplete",
    MISSING_PROTOCOL: "http.request_line_missing_protocol",
    LEADING_WHITESPACE: "http.request_line_leading_whitespace",
    METHOD_DELIMITER: "http.method_delim_non_compliant",
    URI_DELIMITER: "http.uri_delim_non_compliant",
    BODY_UNEXPECTED: "http.request_body_unexpected",
    MISSING_HOST: "http.missing_host_header",
    HOST_AMBIGUOUS: "http.host_header_ambiguous",
    HOST_INVALID: "http.request_header_host_invalid",
    URI_HOST_INVALID: "http.uri_host_invalid",
    AUTH_UNRECOGNIZED: "http.request_auth_unrecognized",
    UNMATCHED_RESPONSE: "http.unable_to_match_response_to_request",
    CONTINUE_ALREADY_SEEN: "http.100_continue_already_seen",
    RESPONSE_PROTOCOL: "http.response_invalid_protocol",
    RESPONSE_STATUS: "http.response_invalid_status",
    BYTERANGES: "http.response_multipart_byteranges",
    RANGE_INVALID: "http.range_invalid",
    DOUBLE_ENCODED: "http.double_encoded_uri",
}

/// The name for the direction.
pub(super) const fn either(
    direction: Direction,
    request: &'static str,
    response: &'static str,
) -> &'static str {
    match direction {
        Direction::ToServer => request,
        Direction::ToClient => response,
    }
}
