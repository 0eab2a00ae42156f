//! Names of what protocol parsers take out of a conversation, as rules name it.

use super::transaction::Stage;

/// Declares an enum whose variants have the names that rules give them. The first is the canonical one.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($variant:ident: $($name:literal)+),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $type {
            $(#[doc = concat!("`", $($name, "` `",)+ "`")] $variant),+
        }

        impl $type {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The canonical name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => [$($name),+][0]),+
                }
            }

            /// The one that rules call `name`.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                match name {
                    $($($name)|+ => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Bytes of a transaction that rules look into (Suricata: sticky buffers).
    Buffer {
        HttpMethod: "http.method",
        HttpUri: "http.uri",
        HttpRawUri: "http.uri.raw",
        HttpHost: "http.host",
        HttpRawHost: "http.host.raw",
        HttpHeader: "http.header",
        HttpRawHeader: "http.header.raw",
        HttpHeaderNames: "http.header_names" "http_header_names",
        HttpRequestHeader: "http.request_header",
        HttpResponseHeader: "http.response_header",
        HttpUserAgent: "http.user_agent",
        HttpCookie: "http.cookie",
        HttpContentType: "http.content_type" "http_content_type",
        HttpContentLength: "http.content_len" "http_content_len",
        HttpReferer: "http.referer" "http_referer",
        HttpAccept: "http.accept" "http_accept",
        HttpAcceptEncoding: "http.accept_enc" "http_accept_enc",
        HttpAcceptLanguage: "http.accept_lang" "http_accept_lang",
        HttpConnection: "http.connection" "http_connection",
        HttpServer: "http.server",
        HttpLocation: "http.location",
        HttpProtocol: "http.protocol" "http_protocol",
        HttpStart: "http.start" "http_start",
        HttpRequestLine: "http.request_line" "http_request_line",
        HttpResponseLine: "http.response_line" "http_response_line",
        HttpStatCode: "http.stat_code",
        HttpStatMsg: "http.stat_msg",
        HttpRequestBody: "http.request_body",
        HttpResponseBody: "http.response_body",
        FileData: "file.data" "file_data",
        FileName: "file.name" "filename",
        FileMagic: "file.magic" "filemagic",
        FileMd5: "file.md5",
        FileSha1: "file.sha1",
        FileSha256: "file.sha256",
        DnsQuery: "dns.query" "dns_query",
        DnsQueriesRrname: "dns.queries.rrname" "dns.query.name",
        DnsAnswersRrname: "dns.answers.rrname" "dns.answer.name",
        DnsAuthoritiesRrname: "dns.authorities.rrname",
        DnsAdditionalsRrname: "dns.additionals.rrname",
        DnsResponse: "dns.response.rrname",
        MdnsQueriesRrname: "mdns.queries.rrname",
        MdnsAnswersRrname: "mdns.answers.rrname",
        MdnsAuthoritiesRrname: "mdns.authorities.rrname",
        MdnsAdditionalsRrname: "mdns.additionals.rrname",
        MdnsResponse: "mdns.response.rrname",
        TlsSni: "tls.sni" "tls_sni",
        TlsAlpn: "tls.alpn",
        TlsCerts: "tls.certs",
        TlsCertSubject: "tls.cert_subject" "tls_cert_subject" "tls.subject",
        TlsCertIssuer: "tls.cert_issuer" "tls_cert_issuer" "tls.issuerdn",
        TlsCertSerial: "tls.cert_serial" "tls_cert_serial",
        TlsCertFingerprint: "tls.cert_fingerprint" "tls_cert_fingerprint" "tls.fingerprint",
        TlsSubjectAltName: "tls.subjectaltname",
        TlsRandom: "tls.random",
        TlsRandomTime: "tls.random_time",
        TlsRandomBytes: "tls.random_bytes",
        Ja3Hash: "ja3.hash" "ja3_hash",
        Ja3String: "ja3.string" "ja3_string",
        Ja3sHash: "ja3s.hash",
        Ja3sString: "ja3s.string",
        Ja4Hash: "ja4.hash",
        SshProto: "ssh.proto" "ssh_proto",
        SshSoftware: "ssh.software" "ssh_software" "ssh.softwareversion",
        SshHassh: "ssh.hassh",
        SshHasshString: "ssh.hassh.string",
        SshHasshServer: "ssh.hassh.server",
        SshHasshServerString: "ssh.hassh.server.string",
        FtpCommand: "ftp.command",
        FtpCommandData: "ftp.command_data",
        FtpReply: "ftp.reply",
        FtpCompletionCode: "ftp.completion_code",
        FtpDataCommand: "ftpdata_command",
        SmtpHelo: "smtp.helo",
        SmtpMailFrom: "smtp.mail_from",
        SmtpRcptTo: "smtp.rcpt_to",
        EmailFrom: "email.from",
        EmailTo: "email.to",
        EmailCc: "email.cc",
        EmailSubject: "email.subject",
        EmailDate: "email.date",
        EmailMessageId: "email.message_id",
        EmailXMailer: "email.x_mailer",
        EmailUrl: "email.url",
        EmailReceived: "email.received",
        EmailBodyMd5: "email.body_md5",
        SmbNamedPipe: "smb.named_pipe" "smb_named_pipe",
        SmbShare: "smb.share" "smb_share",
        SmbNtlmsspUser: "smb.ntlmssp_user",
        SmbNtlmsspDomain: "smb.ntlmssp_domain",
        DcerpcStubData: "dcerpc.stub_data" "dce_stub_data",
        DcerpcInterface: "dcerpc.iface.uuid",
        SipMethod: "sip.method",
        SipUri: "sip.uri",
        SipRequestLine: "sip.request_line",
        SipProtocol: "sip.protocol",
        SipStatCode: "sip.stat_code",
        SipStatMsg: "sip.stat_msg",
        SipResponseLine: "sip.response_line",
        SipFrom: "sip.from",
        SipTo: "sip.to",
        SipVia: "sip.via",
        SipUserAgent: "sip.user_agent",
        SipContentType: "sip.content_type",
        SipContentLength: "sip.content_length",
        SdpOrigin: "sdp.origin",
        SdpSessionName: "sdp.session_name",
        SdpSessionInfo: "sdp.session_info",
        SdpUri: "sdp.uri",
        SdpEmail: "sdp.email",
        SdpPhoneNumber: "sdp.phone_number",
        SdpConnectionData: "sdp.connection_data",
        SdpBandwidth: "sdp.bandwidth",
        SdpTime: "sdp.time",
        SdpRepeatTime: "sdp.repeat_time",
        SdpTimezone: "sdp.timezone",
        SdpEncryptionKey: "sdp.encryption_key",
        SdpAttribute: "sdp.attribute",
        SdpMedia: "sdp.media.media",
        SdpMediaInfo: "sdp.media.media_info",
        SdpMediaConnectionData: "sdp.media.connection_data",
        SdpMediaEncryptionKey: "sdp.media.encryption_key",
        Krb5Cname: "krb5.cname" "krb5_cname",
        Krb5Sname: "krb5.sname" "krb5_sname",
        SnmpCommunity: "snmp.community",
        SnmpUsm: "snmp.usm",
        LdapRequestDn: "ldap.request.dn",
        LdapRequestAttributeType: "ldap.request.attribute_type",
        LdapRequestAttributes: "ldap.request.attributes",
        LdapResponsesDn: "ldap.responses.dn",
        LdapResponsesMessage: "ldap.responses.message",
        LdapResponsesAttributeType: "ldap.responses.attribute_type",
        LdapResponsesAttributes: "ldap.responses.attributes",
        QuicVersion: "quic.version",
        QuicSni: "quic.sni",
        QuicUserAgent: "quic.ua",
        QuicCyuHash: "quic.cyu.hash",
        QuicCyuString: "quic.cyu.string",
        WebsocketPayload: "websocket.payload",
        RfbName: "rfb.name",
        EnipProductName: "enip.product_name",
        EnipServiceName: "enip.service_name",
        Http2HeaderName: "http2.header_name",
        // Frames: the records of a protocol. They come last, see `frame_index`.
        FrameDnsPdu: "frame:dns.pdu",
        FrameEnipPdu: "frame:enip.pdu",
        FrameEnipHdr: "frame:enip.hdr",
        FrameEnipData: "frame:enip.data",
        FrameEnipCip: "frame:enip.cip",
        FrameEnipItem: "frame:enip.enip.item",
        FrameFtpCommandLine: "frame:ftp.command_line",
        FrameFtpResponseLine: "frame:ftp.response_line",
        FrameHttp1Request: "frame:http1.request",
        FrameHttp1Response: "frame:http1.response",
        FrameHttp2Pdu: "frame:http2.pdu",
        FrameHttp2Hdr: "frame:http2.hdr",
        FrameHttp2Data: "frame:http2.data",
        FrameKrb5Pdu: "frame:krb5.pdu",
        FrameKrb5Hdr: "frame:krb5.hdr",
        FrameKrb5Data: "frame:krb5.data",
        FrameLdapPdu: "frame:ldap.pdu",
        FrameMdnsPdu: "frame:mdns.pdu",
        FrameRpcPdu: "frame:nfs.rpc.pdu",
        FrameRpcHdr: "frame:nfs.rpc.hdr",
        FrameRpcData: "frame:nfs.rpc.data",
        FrameRpcCreds: "frame:nfs.rpc.creds",
        FrameNfsPdu: "frame:nfs.nfs.pdu",
        FrameNfsStatus: "frame:nfs.nfs.status",
        FrameNfs4Pdu: "frame:nfs.nfs4.pdu",
        FrameNfs4Hdr: "frame:nfs.nfs4.hdr",
        FrameNfs4Ops: "frame:nfs.nfs4.ops",
        FrameNfs4Status: "frame:nfs.nfs4.status",
        FrameRfbPdu: "frame:rfb.pdu",
        FrameSipPdu: "frame:sip.pdu",
        FrameSipRequestLine: "frame:sip.request.line",
        FrameSipRequestHeaders: "frame:sip.request.headers",
        FrameSipRequestBody: "frame:sip.request.body",
        FrameSipResponseLine: "frame:sip.response.line",
        FrameSipResponseHeaders: "frame:sip.response.headers",
        FrameSipResponseBody: "frame:sip.response.body",
        FrameNbssPdu: "frame:smb.nbss.pdu",
        FrameNbssHdr: "frame:smb.nbss.hdr",
        FrameNbssData: "frame:smb.nbss.data",
        FrameSmb1Pdu: "frame:smb.smb1.pdu",
        FrameSmb1Hdr: "frame:smb.smb1.hdr",
        FrameSmb1Data: "frame:smb.smb1.data",
        FrameSmb2Pdu: "frame:smb.smb2.pdu",
        FrameSmb2Hdr: "frame:smb.smb2.hdr",
        FrameSmb2Data: "frame:smb.smb2.data",
        FrameSmb3Pdu: "frame:smb.smb3.pdu",
        FrameSmb3Hdr: "frame:smb.smb3.hdr",
        FrameSmb3Data: "frame:smb.smb3.data",
        FrameSmtpCommandLine: "frame:smtp.command_line",
        FrameSmtpData: "frame:smtp.data",
        FrameSmtpResponseLine: "frame:smtp.response_line",
        FrameSnmpPdu: "frame:snmp.pdu",
        FrameSshRecordPdu: "frame:ssh.record.pdu",
        FrameSshRecordHdr: "frame:ssh.record.hdr",
        FrameSshRecordData: "frame:ssh.record.data",
        FrameTlsPdu: "frame:tls.pdu",
        FrameTlsHdr: "frame:tls.hdr",
        FrameTlsData: "frame:tls.data",
        FrameTlsAlert: "frame:tls.alert",
        FrameTlsHeartbeat: "frame:tls.heartbeat",
        FrameWebsocketPdu: "frame:websocket.pdu",
        FrameWebsocketHeader: "frame:websocket.header",
        FrameWebsocketData: "frame:websocket.data",
    }
}

impl Buffer {
    /// When the last instance of it has been seen in its direction.
    #[must_use]
    pub const fn complete_at(self) -> Stage {
        match self {
            Self::HttpRequestBody
            | Self::HttpResponseBody
            | Self::FileData
            | Self::FileName
            | Self::FileMagic
            | Self::FileMd5
            | Self::FileSha1
            | Self::FileSha256
            | Self::SmtpRcptTo
            | Self::EmailUrl
            | Self::EmailBodyMd5
            | Self::DcerpcStubData
            | Self::LdapResponsesDn
            | Self::LdapResponsesMessage
            | Self::LdapResponsesAttributeType
            | Self::LdapResponsesAttributes => Stage::Complete,
            _ => Stage::Headers,
        }
    }

    /// Whether it describes a file that the transaction carries.
    #[must_use]
    pub const fn is_file(self) -> bool {
        matches!(
            self,
            Self::FileName | Self::FileMagic | Self::FileMd5 | Self::FileSha1 | Self::FileSha256
        )
    }

    /// Whether it grows while its instance is open.
    #[must_use]
    pub const fn is_streamed(self) -> bool {
        matches!(
            self,
            Self::HttpRequestBody | Self::HttpResponseBody | Self::FileData
        )
    }

    /// Whether a transaction can have several, so that naming it twice in a rule is about two of them.
    #[must_use]
    pub const fn has_instances(self) -> bool {
        matches!(
            self,
            Self::HttpRequestHeader
                | Self::HttpResponseHeader
                | Self::FileData
                | Self::FileName
                | Self::DnsQuery
                | Self::DnsQueriesRrname
                | Self::DnsAnswersRrname
                | Self::DnsAuthoritiesRrname
                | Self::DnsAdditionalsRrname
                | Self::DnsResponse
                | Self::MdnsQueriesRrname
                | Self::MdnsAnswersRrname
                | Self::MdnsAuthoritiesRrname
                | Self::MdnsAdditionalsRrname
                | Self::MdnsResponse
                | Self::TlsCerts
                | Self::TlsAlpn
                | Self::TlsSubjectAltName
                | Self::FtpReply
                | Self::SmtpRcptTo
                | Self::EmailUrl
                | Self::EmailReceived
                | Self::Http2HeaderName
                | Self::QuicCyuHash
                | Self::QuicCyuString
                | Self::SipFrom
                | Self::SipTo
                | Self::SipVia
                | Self::LdapRequestAttributeType
                | Self::LdapRequestAttributes
                | Self::LdapResponsesDn
                | Self::LdapResponsesMessage
                | Self::LdapResponsesAttributeType
                | Self::LdapResponsesAttributes
        )
    }

    /// The one direction in which it is seen, if there is only one: whether to the server.
    #[must_use]
    pub const fn only_to_server(self) -> Option<bool> {
        match self {
            Self::HttpMethod
            | Self::HttpUri
            | Self::HttpRawUri
            | Self::HttpHost
            | Self::HttpRawHost
            | Self::HttpRequestHeader
            | Self::HttpUserAgent
            | Self::HttpReferer
            | Self::HttpAccept
            | Self::HttpAcceptEncoding
            | Self::HttpAcceptLanguage
            | Self::HttpRequestLine
            | Self::HttpRequestBody
            | Self::DnsQuery
            | Self::TlsSni
            | Self::Ja3Hash
            | Self::Ja3String
            | Self::Ja4Hash
            | Self::SshHassh
            | Self::SshHasshString
            | Self::FtpCommand
            | Self::FtpCommandData
            | Self::SmtpHelo
            | Self::SmtpMailFrom
            | Self::SmtpRcptTo
            | Self::SipMethod
            | Self::SipUri
            | Self::SipRequestLine
            | Self::LdapRequestDn
            | Self::LdapRequestAttributeType
            | Self::LdapRequestAttributes => Some(true),
            Self::HttpStatCode
            | Self::HttpStatMsg
            | Self::HttpResponseLine
            | Self::HttpResponseHeader
            | Self::HttpResponseBody
            | Self::HttpServer
            | Self::HttpLocation
            | Self::TlsCerts
            | Self::TlsCertSubject
            | Self::TlsCertIssuer
            | Self::TlsCertSerial
            | Self::TlsCertFingerprint
            | Self::TlsSubjectAltName
            | Self::Ja3sHash
            | Self::Ja3sString
            | Self::SshHasshServer
            | Self::SshHasshServerString
            | Self::FtpReply
            | Self::FtpCompletionCode
            | Self::DnsResponse
            | Self::DnsAnswersRrname
            | Self::SipStatCode
            | Self::SipStatMsg
            | Self::SipResponseLine
            | Self::LdapResponsesDn
            | Self::LdapResponsesMessage
            | Self::LdapResponsesAttributeType
            | Self::LdapResponsesAttributes => Some(false),
            _ => None,
        }
    }

    /// The number of a frame among the frames (Suricata: `frame`); `None` for other buffers.
    #[must_use]
    pub const fn frame_index(self) -> Option<usize> {
        self.index().checked_sub(Self::FrameDnsPdu.index())
    }

    /// Whether it is a record of the protocol, and no part of a transaction.
    #[must_use]
    pub const fn is_frame(self) -> bool {
        self.frame_index().is_some()
    }

    /// Position in [`Buffer::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Field;

    #[test]
    fn frames_come_last_and_are_few() {
        for buffer in Buffer::ALL {
            assert_eq!(buffer.is_frame(), buffer.name().starts_with("frame:"));
            assert!(buffer.frame_index().is_none_or(|at| at < 128));
        }
    }

    #[test]
    fn every_name_leads_back_to_its_buffer() {
        for buffer in Buffer::ALL {
            assert_eq!(Buffer::of_name(buffer.name()), Some(*buffer));
        }
        for field in Field::ALL {
            assert_eq!(Field::of_name(field.name()), Some(*field));
        }
        assert_eq!(Buffer::of_name("http.nothing"), None);
    }
}
