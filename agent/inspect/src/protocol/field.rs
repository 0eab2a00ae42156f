//! Names of the numbers that protocol parsers find, as rules name them.

use super::buffer::named;

named! {
    /// Numbers of a transaction that rules compare.
    Field {
        DnsOpcode: "dns.opcode",
        DnsRcode: "dns.rcode",
        DnsRrtype: "dns.rrtype",
        TlsVersion: "tls.version" "ssl_version",
        TlsCertChainLength: "tls.cert_chain_len",
        TlsCertNotBefore: "tls_cert_notbefore",
        TlsCertNotAfter: "tls_cert_notafter",
        TlsCertExpired: "tls_cert_expired",
        TlsState: "ssl_state",
        FileSize: "filesize",
        DcerpcOpnum: "dcerpc.opnum" "dce_opnum",
        SmbVersion: "smb.version",
        Krb5MessageType: "krb5_msg_type",
        Krb5ErrorCode: "krb5_err_code",
        Krb5TicketEncryption: "krb5.ticket_encryption",
        SnmpVersion: "snmp.version",
        SnmpPduType: "snmp.pdu_type",
        NfsProcedure: "nfs_procedure",
        NfsVersion: "nfs_version" "nfs.version",
        FtpReplyReceived: "ftp.reply_received",
        FtpDynamicPort: "ftp.dynamic_port",
        FtpMode: "ftp.mode",
        QuicVersion: "quic.version",
        WebsocketOpcode: "websocket.opcode",
        WebsocketFlags: "websocket.flags",
        WebsocketMask: "websocket.mask",
        LdapRequestOperation: "ldap.request.operation",
        LdapResponsesOperation: "ldap.responses.operation",
        LdapResponsesCount: "ldap.responses.count",
        LdapResponsesResultCode: "ldap.responses.result_code",
        RfbSecurityResult: "rfb.secresult",
        RfbSecurityType: "rfb.sectype",
        EnipCommand: "enip_command" "enip.command",
        EnipStatus: "enip.status",
        EnipProtocolVersion: "enip.protocol_version",
        EnipVendor: "enip.vendor_id",
        EnipDeviceType: "enip.device_type",
        EnipProductCode: "enip.product_code",
        EnipRevision: "enip.revision",
        EnipIdentityStatus: "enip.identity_status",
        EnipSerial: "enip.serial",
        EnipState: "enip.state",
        EnipCapabilities: "enip.capabilities",
        EnipCipService: "cip_service" "cip.service",
        EnipCipClass: "enip.cip_class",
        EnipCipInstance: "enip.cip_instance",
        EnipCipAttribute: "enip.cip_attribute",
        EnipCipStatus: "enip.cip_status",
        EnipCipExtendedStatus: "enip.cip_extendedstatus",
        Http2ErrorCode: "http2.errorcode",
        Http2FrameType: "http2.frametype",
        Http2Priority: "http2.priority",
        Http2Window: "http2.window",
        Http2SizeUpdate: "http2.size_update",
        Http2Setting: "http2.settings",
    }
}

impl Field {
    /// Whether it belongs to the exchange as a whole, so that rules see it in both directions.
    #[must_use]
    pub const fn of_exchange(self) -> bool {
        matches!(
            self,
            Self::FtpMode
                | Self::FtpDynamicPort
                | Self::SmbVersion
                | Self::DcerpcOpnum
                | Self::NfsProcedure
                | Self::NfsVersion
        )
    }

    /// Whether events show it: not what is a detail of how the protocol frames its messages.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(
            self,
            Self::Http2FrameType
                | Self::Http2Priority
                | Self::Http2Window
                | Self::Http2SizeUpdate
                | Self::Http2Setting
                | Self::TlsState
        )
    }

    /// The one direction in which it is seen, if there is only one: whether to the server.
    #[must_use]
    pub const fn only_to_server(self) -> Option<bool> {
        match self {
            Self::LdapRequestOperation => Some(true),
            Self::LdapResponsesOperation
            | Self::LdapResponsesCount
            | Self::LdapResponsesResultCode => Some(false),
            _ => None,
        }
    }

    /// In place of a number that one of several records does not have, so that those of the others
    /// keep their position. It passes no test.
    pub const NONE: u64 = u64::MAX;
}
