//! EVE events as the tests see them.

use core::fmt;

use serde_json::Value;

/// One EVE event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Value);

impl Event {
    /// Parses one line; `None` when it is not a JSON object.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.is_object().then_some(Self(value))
    }

    /// The value at a JSON pointer (RFC 6901); null when there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The string at a JSON pointer; empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The number at a JSON pointer; 0 when there is none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        self.at(pointer).as_u64().unwrap_or_default()
    }

    /// Whether it is an alert.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        self.text("/event_type") == "alert"
    }

    /// Whether it is a `stats` event.
    #[must_use]
    pub fn is_stats(&self) -> bool {
        self.text("/event_type") == "stats"
    }

    /// Packets that the hooks handed to inspection, by a `stats` event.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        let hooks = self.at("/stats/hooks").as_object();
        let inspected = |hook: &Value| hook.pointer("/inspected").and_then(Value::as_u64);
        hooks
            .into_iter()
            .flatten()
            .filter_map(|(_, hook)| inspected(hook))
            .sum()
    }

    /// Rule id.
    #[must_use]
    pub fn sid(&self) -> u64 {
        self.number("/alert/signature_id")
    }

    /// Message of the rule.
    #[must_use]
    pub fn signature(&self) -> &str {
        self.text("/alert/signature")
    }

    /// Name of the container at the source; empty when it is not a container.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text("/src_container/name")
    }

    /// Name of the container at the destination; empty when it is not a container.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.text("/dst_container/name")
    }

    /// Whether it carries an ATT&CK id.
    #[must_use]
    pub fn has_attack(&self, id: &str) -> bool {
        self.at("/attack")
            .as_array()
            .is_some_and(|ids| ids.iter().any(|known| known == id))
    }

    /// Whether it is an alert between two containers.
    #[must_use]
    pub fn is_between(&self, source: &str, destination: &str) -> bool {
        self.is_alert() && self.source() == source && self.destination() == destination
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
