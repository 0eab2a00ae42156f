//! Names of what may be wrong with a connection (Suricata: `app-layer-event:http2.…`).

macro_rules! events {
    ($($name:ident: $text:literal),+ $(,)?) => {
        $(pub(in crate::protocol) const $name: &str = $text;)+

        /// All events of HTTP/2.
        pub const EVENTS: &[&str] = &[$($text),+];
    };
}

events! {
    FRAME_HEADER: "http2.invalid_frame_header",
    CLIENT_MAGIC: "http2.invalid_client_magic",
    FRAME_DATA: "http2.invalid_frame_data",
    HEADER: "http2.invalid_header",
    FRAME_LENGTH: "http2.invalid_frame_length",
    EXTRA_HEADER_DATA: "http2.extra_header_data",
    LONG_FRAME_DATA: "http2.long_frame_data",
    STREAM_ID_REUSE: "http2.stream_id_reuse",
    HTTP1_SETTINGS: "http2.invalid_http1_settings",
    FAILED_DECOMPRESSION: "http2.failed_decompression",
    RANGE: "http2.invalid_range",
    INTEGER_OVERFLOW: "http2.header_integer_overflow",
    TOO_MANY_STREAMS: "http2.too_many_streams",
    AUTHORITY_HOST_MISMATCH: "http2.authority_host_mismatch",
    USERINFO_IN_URI: "http2.userinfo_in_uri",
    REASSEMBLY_LIMIT: "http2.reassembly_limit_reached",
    DNS_REQUEST_TOO_LONG: "http2.dns_request_too_long",
    DNS_RESPONSE_TOO_LONG: "http2.dns_response_too_long",
}
