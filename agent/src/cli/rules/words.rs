//! The tests of a rule in words.

use std::fmt::Write as _;

use hydrophone_inspect::rule::{
    Base64Mode, ByteJump, ByteMath, ByteTest, Comparison, Content, DatasetCommand, IntegerTest,
    NumberFormat, NumberTest, Operator, ReputationSide, ReputationTest, Target, Test, Transform,
    Value, Which,
};

/// Bytes as a rule writes them: printable ASCII, the rest in hex between bars.
pub(super) fn bytes(pattern: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut in_hex = false;
    for byte in pattern {
        let plain = (byte.is_ascii_graphic() || *byte == b' ')
            && !matches!(byte, b'"' | b'|' | b'\\' | b';');
        if plain == in_hex {
            out.push('|');
            in_hex = !in_hex;
        } else if in_hex {
            out.push(' ');
        }
        if plain {
            out.push(char::from(*byte));
        } else {
            let _infallible = write!(out, "{byte:02x}");
        }
    }
    out.push_str(if in_hex { "|\"" } else { "\"" });
    out
}

/// Where a group of tests looks.
pub(super) fn target(target: Target) -> String {
    match target {
        Target::Payload => "the payload or stream".to_owned(),
        Target::Transaction(buffer) => buffer.name().to_owned(),
        Target::Header(header) => format!("the header {}", header.name()),
        Target::Identity(text) => text.name().to_owned(),
        Target::Base64 => "what base64_decode gave".to_owned(),
    }
}

pub(super) fn value(value: Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Variable(index) => format!("variable {index}"),
    }
}

pub(super) fn integer(test: IntegerTest) -> String {
    match test {
        IntegerTest::Range { low, high, negated } => {
            let not = if negated { "not " } else { "" };
            match (low, high) {
                (low, high) if low == high => format!("{not}{low}"),
                (0, high) => format!("{not}at most {high}"),
                (low, u64::MAX) => format!("{not}at least {low}"),
                (low, high) => format!("{not}from {low} to {high}"),
            }
        }
        IntegerTest::Bits {
            mask,
            wanted,
            negated,
        } => {
            let not = if negated { "not " } else { "" };
            match wanted {
                None => format!("{not}with any bit of {mask:#x}"),
                Some(wanted) => format!("{not}with the bits {mask:#x} equal to {wanted:#x}"),
            }
        }
    }
}

/// What is asked of a number of the transaction.
pub(super) fn number(test: &NumberTest) -> String {
    let wanted: Vec<String> = test
        .wanted
        .iter()
        .map(|wanted| {
            let number = integer(wanted.number);
            match wanted.under {
                None => number,
                Some((field, under)) => {
                    format!("{number} where {} is {}", field.name(), integer(under))
                }
            }
        })
        .collect();
    let not = if test.negated { "not " } else { "" };
    let mut text = format!("{} is {not}{}", test.field.name(), wanted.join(" or "));
    match test.which {
        Which::Any { or_absent: false } => {}
        Which::Any { or_absent: true } => text.push_str(", or there is none"),
        Which::All { or_absent: false } => text.push_str(", each of them"),
        Which::All { or_absent: true } => text.push_str(", each of them, or there is none"),
        Which::At {
            position,
            or_outside,
        } => {
            let outside = if or_outside {
                ", or there are fewer"
            } else {
                ""
            };
            let _ = write!(text, ", at position {position}{outside}");
        }
        Which::Times(times) => {
            let _ = write!(text, ", so often: {}", integer(times));
        }
    }
    if let Some((from, to)) = test.part {
        let _ = write!(text, ", of those from {from} to before {to}");
    }
    text
}

pub(super) fn transform(transform: &Transform) -> String {
    match transform {
        Transform::DotPrefix => "a dot put before it".to_owned(),
        Transform::ToLowercase => "in lower case".to_owned(),
        Transform::ToUppercase => "in upper case".to_owned(),
        Transform::UrlDecode => "URL-decoded".to_owned(),
        Transform::StripWhitespace => "without white space".to_owned(),
        Transform::CompressWhitespace => "with each run of white space as one".to_owned(),
        Transform::HeaderLowercase => "with header names in lower case".to_owned(),
        Transform::StripPseudoHeaders => "without pseudo headers".to_owned(),
        Transform::ToMd5 => "its MD5".to_owned(),
        Transform::ToSha1 => "its SHA-1".to_owned(),
        Transform::ToSha256 => "its SHA-256".to_owned(),
        Transform::Xor(key) => format!("XORed with {}", bytes(key)),
        Transform::FromBase64 {
            bytes,
            offset,
            mode,
        } => base64(*bytes, *offset, *mode),
        Transform::Subslice { offset, length, .. } => match length {
            None => format!("its bytes from {offset} on"),
            Some(length) => format!("its bytes from {offset} on, length {length}"),
        },
        Transform::PcreCapture(pattern) => {
            format!("the first capture of /{}/", pattern.0.pattern)
        }
        Transform::Gunzip(most) => format!("gunzipped, to {most} bytes at most"),
        Transform::Zlib(most) => format!("inflated (zlib), to {most} bytes at most"),
    }
}

fn base64(bytes: Option<usize>, offset: usize, mode: Base64Mode) -> String {
    let mode = match mode {
        Base64Mode::Rfc2045 => "RFC 2045",
        Base64Mode::Rfc4648 => "RFC 4648",
        Base64Mode::Strict => "strict",
    };
    let part = bytes.map_or(String::new(), |bytes| format!("{bytes} bytes "));
    format!("base64-decoded ({mode}), {part}from {offset} on")
}

/// One test, as the end of a sentence about its buffer.
pub(super) fn test(test: &Test) -> String {
    match test {
        Test::Content(pattern) => content(pattern),
        Test::Pcre(pcre) => {
            let verb = if pcre.negated {
                "does not match"
            } else {
                "matches"
            };
            let place = if pcre.relative {
                ", from the end of the previous match on"
            } else {
                ""
            };
            format!("{verb} /{}/{place}", pcre.pattern)
        }
        Test::ByteTest(test) => byte_test(test),
        Test::ByteJump(jump) => byte_jump(jump),
        Test::ByteExtract(extract) => format!(
            "take variable {} from {} at {}",
            extract.variable,
            format(extract.format),
            extract.offset
        ),
        Test::ByteMath(math) => byte_math(math),
        Test::IsDataAt {
            negated,
            position,
            relative,
        } => format!(
            "has {} byte at {}{}",
            if *negated { "no" } else { "a" },
            value(*position),
            if *relative {
                " from the previous match"
            } else {
                ""
            }
        ),
        Test::Size(size) => format!("has a length of {}", integer(*size)),
        Test::Entropy(_) => "has an entropy as asked for".to_owned(),
        Test::Base64Decode { bytes, offset, .. } => format!(
            "decode base64 from {offset} on{}",
            bytes.map_or(String::new(), |bytes| format!(", {bytes} bytes at most"))
        ),
        Test::Dataset(dataset) => dataset_command(dataset.command),
        Test::DecimalRest(number) => {
            format!("goes on with a decimal number that is {}", integer(*number))
        }
        Test::Absent { or_else: false } => "is absent".to_owned(),
        Test::Absent { or_else: true } => "is absent, or else:".to_owned(),
    }
}

fn content(content: &Content) -> String {
    let mut out = format!(
        "{} {}",
        if content.negated {
            "does not contain"
        } else {
            "contains"
        },
        bytes(&content.pattern)
    );
    if content.nocase {
        out.push_str(" in any case");
    }
    if content.startswith {
        out.push_str(", at the start");
    } else {
        place(&mut out, "not before byte ", content.offset, "");
        place(&mut out, "within ", content.depth, " bytes of there");
    }
    let behind = " bytes or more behind the previous match";
    place(&mut out, "", content.distance, behind);
    place(&mut out, "within ", content.within, " bytes of there");
    if content.endswith {
        out.push_str(", at the end");
    }
    out
}

fn place(out: &mut String, before: &str, place: Option<Value>, after: &str) {
    if let Some(place) = place {
        let _infallible = write!(out, ", {before}{}{after}", value(place));
    }
}

fn byte_jump(jump: &ByteJump) -> String {
    let from = match (jump.from_beginning, jump.from_end) {
        (true, _) => ", from the beginning",
        (false, true) => ", from the end",
        (false, false) => "",
    };
    format!(
        "skip as many bytes as the number in {} at {} says, times {}{from}",
        format(jump.format),
        value(jump.offset),
        jump.multiplier
    )
}

fn byte_math(math: &ByteMath) -> String {
    format!(
        "variable {} = the number in {} at {} {} {}",
        math.variable,
        format(math.format),
        math.offset,
        operator(math.operator),
        value(math.operand)
    )
}

fn byte_test(test: &ByteTest) -> String {
    let comparison = match test.comparison {
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "at most",
        Comparison::Greater => "more than",
        Comparison::GreaterOrEqual => "at least",
        Comparison::Equal => "equal to",
        Comparison::And => "sharing a bit with",
        Comparison::Or => "differing from",
    };
    format!(
        "the number in {} at {} is {}{comparison} {}",
        format(test.format),
        value(test.offset),
        if test.negated { "not " } else { "" },
        value(test.value)
    )
}

fn format(format: NumberFormat) -> String {
    let order = match (format.text_base, format.dce, format.little_endian) {
        (Some(base), ..) => format!(" of text to base {base}"),
        (None, true, _) => " in DCE/RPC's order".to_owned(),
        (None, false, true) => ", little-endian,".to_owned(),
        (None, false, false) => String::new(),
    };
    let relative = if format.relative {
        " after the previous match"
    } else {
        ""
    };
    format!("{} bytes{order}{relative}", value(format.bytes))
}

const fn operator(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::ShiftLeft => "<<",
        Operator::ShiftRight => ">>",
    }
}

fn dataset_command(command: DatasetCommand) -> String {
    match command {
        DatasetCommand::IsSet => "is in a list".to_owned(),
        DatasetCommand::IsNotSet => "is not in a list".to_owned(),
        DatasetCommand::Set => "is put into a list".to_owned(),
        DatasetCommand::Unset => "is taken out of a list".to_owned(),
        DatasetCommand::Reputation(test) => {
            format!("is in a list with a reputation that is {}", integer(test))
        }
    }
}

/// `iprep`.
pub(super) fn reputation(test: &ReputationTest) -> String {
    let side = match test.side {
        ReputationSide::Any => "one end",
        ReputationSide::Source => "the source",
        ReputationSide::Destination => "the destination",
        ReputationSide::Both => "each end",
    };
    let score = match test.score {
        None => "no score".to_owned(),
        Some(score) => format!("a score that is {}", integer(score)),
    };
    format!("{side} has {score} in the category {}", test.name)
}
