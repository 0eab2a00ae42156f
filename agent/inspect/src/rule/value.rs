//! Values that several keywords take.

use super::{content::Content, diagnostic::Fault, source::Span, test::Value};

/// Refuses a value.
pub(super) fn alone(value: Span<'_>) -> Result<(), Fault> {
    if value.text.is_empty() {
        Ok(())
    } else {
        Err(Fault::new(value.at, "takes no value"))
    }
}

pub(super) fn set<T>(slot: &mut Option<T>, value: T, at: Span<'_>) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::new(at.at, "given twice"));
    }
    *slot = Some(value);
    Ok(())
}

pub(super) fn long_enough(content: &Content, room: Value, at: Span<'_>) -> Result<(), Fault> {
    let length = i64::try_from(content.pattern.len()).unwrap_or(i64::MAX);
    if let Value::Number(room) = room
        && room < length
    {
        return Err(Fault::new(
            at.at,
            format!("the content has {length} bytes and cannot lie within {room}"),
        ));
    }
    Ok(())
}

pub(super) fn number<T: std::str::FromStr>(value: Span<'_>) -> Result<T, Fault> {
    value.text.parse().map_err(|_| {
        Fault::new(
            value.at,
            format!("`{}` is no number that fits here", value.text),
        )
    })
}

pub(super) fn quoted(value: Span<'_>) -> Result<String, Fault> {
    let inside = value
        .text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let inside = inside.ok_or_else(|| Fault::new(value.at, "text is written in double quotes"))?;
    let mut text = String::with_capacity(inside.len());
    let mut escaped = false;
    for c in inside.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            text.push(c);
        }
    }
    Ok(text)
}
