//! Keywords that read numbers out of bytes.

use super::{
    diagnostic::Fault,
    draft::Variables,
    source::Span,
    test::{ByteExtract, ByteJump, ByteMath, ByteTest, Comparison, NumberFormat, Operator, Value},
};

/// Parts between commas or, for the settings of `byte_math` and the like, with a name before them.
fn parts(value: Span<'_>) -> Vec<Span<'_>> {
    value.split(',').map(Span::trim).collect()
}

fn integer(span: Span<'_>) -> Result<i64, Fault> {
    parse_integer(span.text)
        .ok_or_else(|| Fault::new(span.at, format!("`{}` is no number", span.text)))
}

fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<i64>().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// A number, or the name of a variable that was extracted before.
pub(super) fn value(span: Span<'_>, variables: &Variables) -> Result<Value, Fault> {
    if let Some(number) = parse_integer(span.text) {
        return Ok(Value::Number(number));
    }
    variables
        .index(span.text)
        .map(Value::Variable)
        .ok_or_else(|| {
            Fault::new(
                span.at,
                format!("`{}` is neither number nor extracted before", span.text),
            )
            .hint("byte_extract and byte_math define variables")
        })
}

fn mask(text: &str) -> Option<u64> {
    let text = text.trim();
    u64::from_str_radix(
        text.strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text),
        16,
    )
    .ok()
}

/// What the keywords have in common.
struct Settings {
    format: NumberFormat,
    bitmask: Option<u64>,
    multiplier: u32,
    align: u32,
    from_beginning: bool,
    from_end: bool,
    post_offset: Value,
}

impl Settings {
    const fn new(bytes: Value) -> Self {
        Self {
            format: NumberFormat {
                bytes,
                little_endian: false,
                text_base: None,
                relative: false,
                dce: false,
            },
            bitmask: None,
            multiplier: 1,
            align: 1,
            from_beginning: false,
            from_end: false,
            post_offset: Value::Number(0),
        }
    }

    fn apply(&mut self, part: Span<'_>, variables: &Variables) -> Result<(), Fault> {
        let (name, argument) = match part.text.split_once(char::is_whitespace) {
            Some((name, rest)) => {
                let at = part.text.len() - rest.len();
                (name, part.slice(at, part.text.len()).trim())
            }
            None => (part.text, part.slice(part.text.len(), part.text.len())),
        };
        let unsigned = |span: Span<'_>| {
            u32::try_from(integer(span)?).map_err(|_| Fault::new(span.at, "out of range"))
        };
        match name {
            "relative" => self.format.relative = true,
            "big" => self.format.little_endian = false,
            "little" => self.format.little_endian = true,
            "endian" => self.format.little_endian = argument.text == "little",
            "dce" => self.format.dce = true,
            "string" => {
                let base = match argument.text {
                    "hex" => 16,
                    "oct" => 8,
                    _ => 10,
                };
                self.format.text_base.get_or_insert(base);
            }
            "hex" => self.format.text_base = Some(16),
            "oct" => self.format.text_base = Some(8),
            "dec" => self.format.text_base = Some(10),
            "bitmask" => {
                self.bitmask =
                    Some(mask(argument.text).ok_or_else(|| Fault::new(argument.at, "no bitmask"))?);
            }
            "multiplier" => self.multiplier = unsigned(argument)?,
            "align" if argument.text.is_empty() => self.align = 4,
            "align" => self.align = unsigned(argument)?.max(1),
            "from_beginning" => self.from_beginning = true,
            "from_end" => self.from_end = true,
            "post_offset" => self.post_offset = value(argument, variables)?,
            other => return Err(Fault::new(part.at, format!("unknown setting `{other}`"))),
        }
        Ok(())
    }

    fn all(&mut self, parts: &[Span<'_>], variables: &Variables) -> Result<(), Fault> {
        parts
            .iter()
            .filter(|part| !part.text.is_empty())
            .try_for_each(|part| self.apply(*part, variables))
    }

    /// Bytes that the bits of the mask are shifted by, as the reference does: to its lowest bit.
    fn limit(&self, span: Span<'_>) -> Result<(), Fault> {
        let most = if self.format.text_base.is_some() {
            23
        } else {
            8
        };
        match self.format.bytes.literal() {
            Some(bytes) if !(0..=most).contains(&bytes) => Err(Fault::new(
                span.at,
                format!("at most {most} bytes make a number"),
            )),
            _ => Ok(()),
        }
    }
}

pub(super) fn byte_test(span: Span<'_>, variables: &Variables) -> Result<ByteTest, Fault> {
    let parts = parts(span);
    let [bytes, operator, wanted, offset, rest @ ..] = parts.as_slice() else {
        return Err(Fault::new(
            span.at,
            "byte_test:BYTES,OPERATOR,VALUE,OFFSET[,…]",
        ));
    };
    let mut settings = Settings::new(value(*bytes, variables)?);
    settings.all(rest, variables)?;
    settings.limit(*bytes)?;
    let (negated, text) = match operator.text.strip_prefix('!') {
        Some("") => (true, "="),
        Some(rest) => (true, rest.trim()),
        None => (false, operator.text),
    };
    let comparison = match text {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "=" | "==" => Comparison::Equal,
        "&" => Comparison::And,
        "^" => Comparison::Or,
        other => {
            return Err(
                Fault::new(operator.at, format!("unknown operator `{other}`"))
                    .hint("< <= > >= = & ^, perhaps with !"),
            );
        }
    };
    Ok(ByteTest {
        format: settings.format,
        negated,
        comparison,
        value: value(*wanted, variables)?,
        offset: value(*offset, variables)?,
        bitmask: settings.bitmask,
    })
}

pub(super) fn byte_jump(span: Span<'_>, variables: &Variables) -> Result<ByteJump, Fault> {
    let parts = parts(span);
    let [bytes, offset, rest @ ..] = parts.as_slice() else {
        return Err(Fault::new(span.at, "byte_jump:BYTES,OFFSET[,…]"));
    };
    let mut settings = Settings::new(value(*bytes, variables)?);
    settings.all(rest, variables)?;
    settings.limit(*bytes)?;
    Ok(ByteJump {
        format: settings.format,
        offset: value(*offset, variables)?,
        multiplier: settings.multiplier,
        align: settings.align > 1,
        from_beginning: settings.from_beginning,
        from_end: settings.from_end,
        post_offset: settings.post_offset,
        bitmask: settings.bitmask,
    })
}

pub(super) fn byte_extract(
    span: Span<'_>,
    variables: &mut Variables,
) -> Result<ByteExtract, Fault> {
    let parts = parts(span);
    let [bytes, offset, name, rest @ ..] = parts.as_slice() else {
        return Err(Fault::new(span.at, "byte_extract:BYTES,OFFSET,NAME[,…]"));
    };
    let mut settings = Settings::new(value(*bytes, variables)?);
    settings.all(rest, variables)?;
    settings.limit(*bytes)?;
    Ok(ByteExtract {
        format: settings.format,
        offset: integer(*offset)?,
        variable: variables.define(*name)?,
        multiplier: settings.multiplier,
        align: settings.align,
        bitmask: settings.bitmask,
    })
}

pub(super) fn byte_math(span: Span<'_>, variables: &mut Variables) -> Result<ByteMath, Fault> {
    let usage = || {
        Fault::new(
            span.at,
            "byte_math:bytes N, offset N, oper O, rvalue V, result NAME[,…]",
        )
    };
    let (mut bytes, mut offset, mut operator, mut operand, mut result) =
        (None, None, None, None, None);
    let mut others = Vec::new();
    for part in parts(span) {
        let (name, at) = match part.text.find(char::is_whitespace) {
            Some(at) => (part.text.get(..at).unwrap_or_default(), at),
            None => (part.text, part.text.len()),
        };
        let argument = part.slice(at, part.text.len()).trim();
        match name {
            "bytes" => bytes = Some(value(argument, variables)?),
            "offset" => offset = Some(integer(argument)?),
            "oper" => {
                operator = Some(match argument.text {
                    "+" => Operator::Add,
                    "-" => Operator::Subtract,
                    "*" => Operator::Multiply,
                    "/" => Operator::Divide,
                    "<<" => Operator::ShiftLeft,
                    ">>" => Operator::ShiftRight,
                    _ => {
                        return Err(
                            Fault::new(argument.at, "unknown operator").hint("+ - * / << >>")
                        );
                    }
                });
            }
            "rvalue" => operand = Some(value(argument, variables)?),
            "result" => result = Some(argument),
            _ => others.push(part),
        }
    }
    let mut settings = Settings::new(bytes.ok_or_else(usage)?);
    settings.all(&others, variables)?;
    Ok(ByteMath {
        format: settings.format,
        offset: offset.unwrap_or(0),
        operator: operator.ok_or_else(usage)?,
        operand: operand.ok_or_else(usage)?,
        variable: variables.define(result.ok_or_else(usage)?)?,
        bitmask: settings.bitmask,
    })
}
