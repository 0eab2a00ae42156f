//! Keywords of single protocols whose values have a form of their own.

use std::sync::Arc;

use crate::{
    protocol::{
        Buffer, Field,
        enip::cip::{CLASS_SHIFT, SERVICE_SHIFT},
        http2::details::SETTING_SHIFT,
        krb5,
        tls::time,
    },
    rule::{
        IntegerTest, NumberTest, Target, Test, Wanted, diagnostic::Fault, draft::Options, integer,
        number, pcre, source::Span, value::alone,
    },
};

/// `ssl_state:[!]STATE[|STATE…]`.
pub(super) fn tls_state(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    const STATES: [&str; 5] = [
        "client_hello",
        "server_hello",
        "client_keyx",
        "server_keyx",
        // Known to others; it never comes here.
        "unknown",
    ];
    let (negated, list) = match value.text.strip_prefix('!') {
        Some(_) => (true, value.slice(1, value.text.len())),
        None => (false, value),
    };
    let state = |word: Span<'_>| {
        let mut states = STATES.iter().zip(1..);
        let known = states.find(|(name, _)| word.text.eq_ignore_ascii_case(name));
        known
            .map(|(_, number)| Wanted::number(IntegerTest::exact(number)))
            .ok_or_else(|| Fault::new(word.at, "no state of a connection").hint(STATES.join("|")))
    };
    let separator = if list.text.contains('|') { '|' } else { ',' };
    let wanted = list.split(separator).map(|word| state(word.trim()));
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    options
        .numbers
        .push(NumberTest::any(Field::TlsState, wanted, negated));
    Ok(())
}

/// `tls_cert_expired`, or its opposite.
pub(super) fn certificate_is_expired(
    options: &mut Options,
    expired: bool,
    value: Span<'_>,
) -> Result<(), Fault> {
    alone(value)?;
    let wanted = vec![Wanted::number(IntegerTest::exact(u64::from(expired)))];
    options
        .numbers
        .push(NumberTest::any(Field::TlsCertExpired, wanted, false));
    Ok(())
}

/// `tls_cert_notafter:DATE`, `<DATE`, `>DATE` or `DATE<>DATE`, DATE from `YYYY` to `YYYY-MM-DDThh:mm:ss`.
pub(super) fn certificate_date(
    options: &mut Options,
    field: Field,
    value: Span<'_>,
) -> Result<(), Fault> {
    let test = integer::parse_inclusive(value, &date).map_err(|fault| {
        fault.hint("DATE, <DATE, >DATE or DATE<>DATE, DATE as YYYY[-MM[-DD[Thh[:mm[:ss]]]]]")
    })?;
    options
        .numbers
        .push(NumberTest::any(field, vec![Wanted::number(test)], false));
    Ok(())
}

/// Seconds since 1970.
fn date(text: &str) -> Option<u64> {
    let (date, time) = text
        .split_once(['T', ' '])
        .map_or((text, ""), |(date, time)| (date, time.trim()));
    let parts = |text: &str, separator, missing| {
        let mut numbers = [missing; 3];
        let mut parts = text.split(separator).filter(|part| !part.is_empty());
        for (slot, part) in numbers.iter_mut().zip(&mut parts) {
            *slot = part.parse().ok()?;
        }
        parts.next().is_none().then_some(numbers)
    };
    let digits = date.split('-').next()?;
    if digits.len() != 4 {
        return None;
    }
    time::seconds(parts(date, '-', 1)?, parts(time, ':', 0)?)
}

/// `ssh.protoversion:VERSION`, or `2_compat` for each that a server of version 2 offers.
pub(super) fn ssh_version(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let version = value.text.trim_matches('"');
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let pattern = if version == "2_compat" {
        "\"/^(?:2(?:\\.0)?|1\\.99)$/\"".to_owned()
    } else if !version.is_empty() && version.chars().all(digits) {
        format!("\"/^{}$/\"", version.replace('.', "\\."))
    } else {
        return Err(Fault::new(value.at, "no version").hint("2_compat, or such as 1.99"));
    };
    let at = options.group(Target::Transaction(Buffer::SshProto));
    let (pcre, _) = pcre::parse(Span::new(&pattern, value.at))?;
    options.add(at, Test::Pcre(Arc::new(pcre)), value)
}

/// `krb5.ticket_encryption:[!]weak`, or types by number or name behind commas.
pub(super) fn ticket_encryption(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let (negated, list) = match value.text.strip_prefix('!') {
        Some(_) => (true, value.slice(1, value.text.len()).trim()),
        None => (false, value),
    };
    let (wanted, negated) = if list.text == "weak" {
        let strong = krb5::STRONG.iter().map(|it| IntegerTest::exact(*it));
        (strong.map(Wanted::number).collect(), !negated)
    } else {
        let test = number::parse(Field::Krb5TicketEncryption, list)?;
        (test.wanted, negated)
    };
    options.numbers.push(NumberTest::any(
        Field::Krb5TicketEncryption,
        wanted,
        negated,
    ));
    Ok(())
}

/// `cip_service:SERVICE[,CLASS[,ATTRIBUTE]]`.
pub(super) fn cip_service(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    let usage = || Fault::new(value.at, "cip_service:SERVICE[,CLASS[,ATTRIBUTE]]");
    let parts = value.split(',').map(|part| part.trim().text.parse::<u64>());
    let parts = parts.collect::<Result<Vec<_>, _>>().map_err(|_| usage())?;
    let within = |number: u64, most: u64| {
        if number <= most {
            Ok(number)
        } else {
            Err(usage())
        }
    };
    let most = u64::from(u16::MAX);
    let (base, free) = match *parts.as_slice() {
        [service] => (service, SERVICE_SHIFT),
        [service, class] => (service << CLASS_SHIFT | within(class, most)?, CLASS_SHIFT),
        [service, class, attribute] => {
            let class = within(class, most)?;
            let base = (service << CLASS_SHIFT | class) << CLASS_SHIFT;
            (base | within(attribute, most)?, 0)
        }
        _ => return Err(usage()),
    };
    within(parts.first().copied().unwrap_or_default(), 127)?;
    let low = base << free;
    let high = low | ((1 << free) - 1);
    let wanted = Wanted::number(IntegerTest::Range {
        low,
        high,
        negated: false,
    });
    options
        .numbers
        .push(NumberTest::any(Field::EnipCipService, vec![wanted], false));
    Ok(())
}

/// `http2.settings:NAME[COMPARISON]`.
pub(super) fn http2_settings(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    /// RFC 9113, section 6.5.2, from 1.
    const NAMES: [&str; 6] = [
        "SETTINGS_HEADER_TABLE_SIZE",
        "SETTINGS_ENABLE_PUSH",
        "SETTINGS_MAX_CONCURRENT_STREAMS",
        "SETTINGS_INITIAL_WINDOW_SIZE",
        "SETTINGS_MAX_FRAME_SIZE",
        "SETTINGS_MAX_HEADER_LIST_SIZE",
    ];
    let end = value
        .text
        .find(|c: char| !c.is_ascii_alphabetic() && c != '_')
        .unwrap_or(value.text.len());
    let (name, rest) = (value.slice(0, end), value.slice(end, value.text.len()));
    let position = NAMES
        .iter()
        .position(|known| name.text.eq_ignore_ascii_case(known));
    let position = position
        .ok_or_else(|| Fault::new(name.at, "no setting of HTTP/2").hint(NAMES.join(", ")))?;
    let (low, high, negated) = match rest.text.trim() {
        "" => (0, u64::MAX, false),
        _ => match integer::parse(rest.trim(), &|_| None)? {
            IntegerTest::Range { low, high, negated } => (low, high, negated),
            IntegerTest::Bits { .. } => {
                return Err(Fault::new(rest.at, "a setting is compared with numbers"));
            }
        },
    };
    let base = (position as u64 + 1) << SETTING_SHIFT;
    let most = u64::from(u32::MAX);
    let range = |low: u64, high: u64| {
        (low <= high && low <= most).then(|| {
            Wanted::number(IntegerTest::Range {
                low: base | low,
                high: base | high.min(most),
                negated: false,
            })
        })
    };
    let wanted: Vec<Wanted> = if negated {
        let below = low.checked_sub(1).and_then(|below| range(0, below));
        let above = high.checked_add(1).and_then(|above| range(above, most));
        below.into_iter().chain(above).collect()
    } else {
        range(low, high).into_iter().collect()
    };
    options
        .numbers
        .push(NumberTest::any(Field::Http2Setting, wanted, false));
    Ok(())
}
