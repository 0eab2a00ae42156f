//! The keywords that are neither buffers nor numbers nor transforms, with what they do.

mod apply;
mod protocol;

use std::sync::Arc;

use apply::{
    absolute, base64_decode, checksum, fast_pattern, following, interface, is_data_at, modifier,
    packet, related, remember,
};

use super::{
    IntegerTest, app_protocol, bytes, content,
    diagnostic::Fault,
    draft::Options,
    entropy, frame, integer, options,
    packet::{self, PacketTest},
    pcre, requires,
    source::Span,
    state,
    test::{Target, Test, Value},
    value::{alone, long_enough, number, quoted, set},
};
use crate::protocol::{Buffer, Field, registry};

type Apply = fn(&mut Options, Span<'_>) -> Result<(), Fault>;

/// Every such keyword.
pub(super) const KEYWORDS: &[(&str, Apply)] = &[
    ("msg", |o, v| set(&mut o.msg, quoted(v)?, v)),
    ("sid", |o, v| set(&mut o.sid, number(v)?, v)),
    ("rev", |o, v| set(&mut o.rev, number(v)?, v)),
    ("gid", |o, v| set(&mut o.gid, number(v)?, v)),
    ("priority", |o, v| match number(v)? {
        0 => Err(Fault::new(v.at, "a priority is 1 (worst) to 255")),
        priority => set(&mut o.priority, priority, v),
    }),
    ("classtype", |o, v| {
        set(&mut o.classtype, (v.text.to_owned(), v.at), v)
    }),
    ("reference", |o, v| {
        let (kind, target) = v
            .split_once(',')
            .ok_or_else(|| Fault::new(v.at, "a reference is TYPE,VALUE"))?;
        o.references
            .push((kind.trim().text.to_owned(), target.trim().text.to_owned()));
        Ok(())
    }),
    ("metadata", |o, v| {
        for pair in v
            .split(',')
            .map(Span::trim)
            .filter(|pair| !pair.text.is_empty())
        {
            let (key, value) = pair
                .text
                .split_once(char::is_whitespace)
                .unwrap_or((pair.text, ""));
            o.metadata.push((key.to_owned(), value.trim().to_owned()));
        }
        Ok(())
    }),
    ("content", |o, v| {
        let content = content::parse(v)?;
        o.test(Test::Content(content), false, v)
    }),
    ("uricontent", |o, v| {
        let content = content::parse(v)?;
        let at = o.group(Target::Transaction(Buffer::HttpUri));
        o.add(at, Test::Content(content), v)
    }),
    ("nocase", |o, v| {
        alone(v)?;
        let content = o.content(v)?;
        content.nocase = true;
        content.pattern.make_ascii_lowercase();
        Ok(())
    }),
    ("offset", |o, v| {
        let offset = bytes::value(v, &o.variables)?;
        set(&mut absolute(o, v)?.offset, offset, v)
    }),
    ("depth", |o, v| {
        let depth = bytes::value(v, &o.variables)?;
        let content = absolute(o, v)?;
        long_enough(content, depth, v)?;
        set(&mut content.depth, depth, v)
    }),
    ("distance", |o, v| {
        let distance = bytes::value(v, &o.variables)?;
        set(&mut following(o, v)?.distance, distance, v)
    }),
    ("within", |o, v| {
        let within = bytes::value(v, &o.variables)?;
        let content = following(o, v)?;
        long_enough(content, within, v)?;
        set(&mut content.within, within, v)
    }),
    ("startswith", |o, v| {
        alone(v)?;
        let content = absolute(o, v)?;
        let length = i64::try_from(content.pattern.len()).unwrap_or(i64::MAX);
        content.startswith = true;
        set(&mut content.offset, Value::Number(0), v)?;
        set(&mut content.depth, Value::Number(length), v)
    }),
    ("endswith", |o, v| {
        alone(v)?;
        o.content(v)?.endswith = true;
        Ok(())
    }),
    ("fast_pattern", fast_pattern),
    ("rawbytes", |_, _| Ok(())),
    ("pcre", |o, v| {
        let (pcre, target) = pcre::parse(v)?;
        let relative = pcre.relative;
        let test = Test::Pcre(Arc::new(pcre));
        match target {
            Some(target) if o.current.is_none() => {
                let at = o.group(target);
                o.add(at, test, v)
            }
            _ => o.test(test, relative, v),
        }
    }),
    ("isdataat", is_data_at),
    ("bsize", |o, v| {
        let test = integer::parse(v, &|_| None)?;
        o.test(Test::Size(test), true, v)
    }),
    ("entropy", |o, v| {
        let test = entropy::parse(v)?;
        o.test(Test::Entropy(test), false, v)
    }),
    ("urilen", |o, v| {
        let (length, raw) = match v.split_once(',') {
            Some((length, kind)) => (length.trim(), kind.trim().text == "raw"),
            None => (v, false),
        };
        let test = integer::parse(length, &|_| None)?;
        let buffer = if raw {
            Buffer::HttpRawUri
        } else {
            Buffer::HttpUri
        };
        let at = o.group(Target::Transaction(buffer));
        o.add(at, Test::Size(test), v)
    }),
    ("byte_test", |o, v| {
        let test = bytes::byte_test(v, &o.variables)?;
        o.test(Test::ByteTest(test), test.format.relative, v)
    }),
    ("byte_jump", |o, v| {
        let jump = bytes::byte_jump(v, &o.variables)?;
        o.test(Test::ByteJump(jump), jump.format.relative, v)
    }),
    ("byte_extract", |o, v| {
        let extract = bytes::byte_extract(v, &mut o.variables)?;
        o.test(Test::ByteExtract(extract), extract.format.relative, v)
    }),
    ("byte_math", |o, v| {
        let math = bytes::byte_math(v, &mut o.variables)?;
        o.test(Test::ByteMath(math), math.format.relative, v)
    }),
    ("base64_decode", base64_decode),
    ("base64_data", |o, v| {
        alone(v)?;
        o.stick(Target::Base64);
        Ok(())
    }),
    ("pkt_data", |o, v| {
        alone(v)?;
        o.stick(Target::Payload);
        Ok(())
    }),
    ("absent", |o, v| {
        let or_else = match v.text {
            "" => false,
            "or_else" => true,
            _ => return Err(Fault::new(v.at, "takes nothing or `or_else`")),
        };
        match o.current {
            Some(at) => o.add(at, Test::Absent { or_else }, v),
            None => Err(Fault::new(v.at, "needs a sticky buffer before it")),
        }
    }),
    // The older spelling of buffers, behind the content.
    ("http_uri", |o, v| modifier(o, Buffer::HttpUri, v)),
    ("http_raw_uri", |o, v| modifier(o, Buffer::HttpRawUri, v)),
    ("http_method", |o, v| modifier(o, Buffer::HttpMethod, v)),
    ("http_header", |o, v| modifier(o, Buffer::HttpHeader, v)),
    ("http_raw_header", |o, v| {
        modifier(o, Buffer::HttpRawHeader, v)
    }),
    ("http_cookie", |o, v| modifier(o, Buffer::HttpCookie, v)),
    ("http_client_body", |o, v| {
        modifier(o, Buffer::HttpRequestBody, v)
    }),
    ("http_server_body", |o, v| modifier(o, Buffer::FileData, v)),
    ("http_host", |o, v| modifier(o, Buffer::HttpHost, v)),
    ("http_raw_host", |o, v| modifier(o, Buffer::HttpRawHost, v)),
    ("http_user_agent", |o, v| {
        modifier(o, Buffer::HttpUserAgent, v)
    }),
    ("http_stat_code", |o, v| {
        modifier(o, Buffer::HttpStatCode, v)
    }),
    ("http_stat_msg", |o, v| modifier(o, Buffer::HttpStatMsg, v)),
    ("flow", |o, v| set(&mut o.flow, options::flow(v)?, v)),
    ("flags", |o, v| {
        packet(o, options::flags(v).map(PacketTest::Flags))
    }),
    ("tcp.flags", |o, v| {
        packet(o, options::flags(v).map(PacketTest::Flags))
    }),
    ("dsize", |o, v| {
        packet(o, integer::parse(v, &|_| None).map(PacketTest::PayloadSize))
    }),
    ("sameip", |o, v| {
        alone(v)?;
        packet(o, Ok(PacketTest::SameIp))
    }),
    ("ipopts", |o, v| packet(o, packet::ip_option(v))),
    ("fragbits", |o, v| packet(o, packet::fragment_bits(v))),
    ("stream_size", |o, v| packet(o, packet::stream_size(v))),
    ("vlan.id", |o, v| packet(o, packet::vlan_id(v))),
    ("decode-event", |o, v| packet(o, packet::decode_event(v))),
    ("engine-event", |o, v| packet(o, packet::decode_event(v))),
    ("stream-event", |o, v| packet(o, packet::stream(v))),
    ("igmp-csum", |o, v| packet(o, checksum("igmp", v))),
    ("ipv4-csum", |o, v| packet(o, checksum("ipv4", v))),
    ("tcpv4-csum", |o, v| packet(o, checksum("tcp", v))),
    ("tcpv6-csum", |o, v| packet(o, checksum("tcp", v))),
    ("udpv4-csum", |o, v| packet(o, checksum("udp", v))),
    ("udpv6-csum", |o, v| packet(o, checksum("udp", v))),
    ("icmpv4-csum", |o, v| packet(o, checksum("icmp", v))),
    ("icmpv6-csum", |o, v| packet(o, checksum("icmp", v))),
    ("frame", frame::parse),
    ("app-layer-protocol", app_protocol::parse),
    ("app-layer-event", |o, v| {
        // What stands behind a comma is when the event is looked for: here, as soon as it is raised.
        let name = v.text.split(',').next().unwrap_or_default().trim();
        let event = registry::event(name)
            .ok_or_else(|| Fault::new(v.at, format!("no parser raises the event `{name}`")))?;
        o.events.push(event);
        Ok(())
    }),
    ("flowbits", |o, v| remember(o, state::flowbits(v))),
    ("flowint", |o, v| remember(o, state::flowint(v))),
    ("xbits", |o, v| remember(o, state::xbits(v))),
    ("hostbits", |o, v| remember(o, state::hostbits(v))),
    ("noalert", |o, v| {
        alone(v)?;
        o.noalert = true;
        Ok(())
    }),
    // Of several the last one holds, as in other engines.
    ("threshold", |o, v| {
        o.threshold = Some(options::threshold(v)?);
        Ok(())
    }),
    ("detection_filter", |o, v| {
        o.threshold = Some(options::detection_filter(v)?);
        Ok(())
    }),
    ("ssl_state", protocol::tls_state),
    ("tls_cert_expired", |o, v| {
        protocol::certificate_is_expired(o, true, v)
    }),
    ("tls_cert_valid", |o, v| {
        protocol::certificate_is_expired(o, false, v)
    }),
    ("tls_cert_notbefore", |o, v| {
        protocol::certificate_date(o, Field::TlsCertNotBefore, v)
    }),
    ("tls_cert_notafter", |o, v| {
        protocol::certificate_date(o, Field::TlsCertNotAfter, v)
    }),
    ("ssh.protoversion", protocol::ssh_version),
    ("ssh_protoversion", protocol::ssh_version),
    ("krb5.ticket_encryption", protocol::ticket_encryption),
    ("http2.settings", protocol::http2_settings),
    ("cip_service", protocol::cip_service),
    ("cip.service", protocol::cip_service),
    ("dcerpc.iface", interface),
    ("dce_iface", interface),
    ("requires", requires::parse),
    ("same_pod", |o, v| related(o, "same_pod", v)),
    ("same_service", |o, v| related(o, "same_service", v)),
    ("same_container", |o, v| related(o, "same_container", v)),
    ("src.is_container", |o, v| related(o, "src.is_container", v)),
    ("dst.is_container", |o, v| related(o, "dst.is_container", v)),
    ("src.is_host", |o, v| related(o, "src.is_host", v)),
    ("dst.is_host", |o, v| related(o, "dst.is_host", v)),
    // What asks for an action after the alert, or is a hint: Hydrophone does neither.
    ("target", |_, _| Ok(())),
    ("prefilter", |_, _| Ok(())),
    ("tls.store", |_, _| Ok(())),
    ("tls_store", |_, _| Ok(())),
    ("tag", |_, _| Ok(())),
    ("filestore", |o, v| {
        // Whatever its size: what is asked for is that there is a file.
        let at = o.group(Target::Transaction(Buffer::FileData));
        o.add(at, Test::Size(IntegerTest::ANY), v)
    }),
    // That of the file's name, whatever its case.
    ("fileext", |o, v| {
        let mut content = content::parse(v)?;
        content.pattern.insert(0, b'.');
        content.pattern.make_ascii_lowercase();
        content.nocase = true;
        content.endswith = true;
        let at = o.group(Target::Transaction(Buffer::FileName));
        o.add(at, Test::Content(content), v)
    }),
    ("bypass", |_, _| Ok(())),
    ("config", |o, _| {
        o.noalert = true;
        Ok(())
    }),
    ("replace", |_, _| Ok(())),
];
