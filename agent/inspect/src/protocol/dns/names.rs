//! What rules call the parts of messages: DNS and mDNS differ in nothing else.

use crate::protocol::Buffer;

/// Buffers and events of one of them.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) frame: Buffer,
    /// The older buffer of what a request asks for; there is none where requests and answers are
    /// not told apart by their direction.
    pub(super) query: Option<Buffer>,
    pub(super) queries: Buffer,
    pub(super) answers: Buffer,
    pub(super) authorities: Buffer,
    pub(super) additionals: Buffer,
    /// All names of a response.
    pub(super) response: Buffer,
    pub(super) malformed: &'static str,
    pub(super) not_a_request: &'static str,
    pub(super) not_a_response: &'static str,
    pub(super) zero_flag: &'static str,
    pub(super) opcode: &'static str,
    pub(super) too_long: &'static str,
    pub(super) infinite_loop: &'static str,
    pub(super) too_many_labels: &'static str,
    pub(super) authorities_invalid: &'static str,
    pub(super) additionals_invalid: &'static str,
}

impl Names {
    /// All events.
    pub(super) const fn events(&self) -> [&'static str; 10] {
        [
            self.malformed,
            self.not_a_request,
            self.not_a_response,
            self.zero_flag,
            self.opcode,
            self.too_long,
            self.infinite_loop,
            self.too_many_labels,
            self.authorities_invalid,
            self.additionals_invalid,
        ]
    }
}

/// Of DNS.
pub(super) const DNS: Names = Names {
    frame: Buffer::FrameDnsPdu,
    query: Some(Buffer::DnsQuery),
    queries: Buffer::DnsQueriesRrname,
    answers: Buffer::DnsAnswersRrname,
    authorities: Buffer::DnsAuthoritiesRrname,
    additionals: Buffer::DnsAdditionalsRrname,
    response: Buffer::DnsResponse,
    malformed: "dns.malformed_data",
    not_a_request: "dns.not_a_request",
    not_a_response: "dns.not_a_response",
    zero_flag: "dns.z_flag_set",
    opcode: "dns.invalid_opcode",
    too_long: "dns.name_too_long",
    infinite_loop: "dns.infinite_loop",
    too_many_labels: "dns.too_many_labels",
    authorities_invalid: "dns.invalid_authorities",
    additionals_invalid: "dns.invalid_additionals",
};

/// Of mDNS.
pub(super) const MDNS: Names = Names {
    frame: Buffer::FrameMdnsPdu,
    query: None,
    queries: Buffer::MdnsQueriesRrname,
    answers: Buffer::MdnsAnswersRrname,
    authorities: Buffer::MdnsAuthoritiesRrname,
    additionals: Buffer::MdnsAdditionalsRrname,
    response: Buffer::MdnsResponse,
    malformed: "mdns.malformed_data",
    not_a_request: "mdns.not_a_request",
    not_a_response: "mdns.not_a_response",
    zero_flag: "mdns.z_flag_set",
    opcode: "mdns.invalid_opcode",
    too_long: "mdns.name_too_long",
    infinite_loop: "mdns.infinite_loop",
    too_many_labels: "mdns.too_many_labels",
    authorities_invalid: "mdns.invalid_authorities",
    additionals_invalid: "mdns.invalid_additionals",
};
