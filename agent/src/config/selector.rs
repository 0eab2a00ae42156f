//! Which containers something is about, by what their runtime tells of them.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::convert::matches;
use crate::census::Container;

/// A pattern for the name, the image or a label of a container: `name:traefik*`, `image:falco:*`,
/// `label:com.example.role=agent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// Pattern for its name.
    Name(String),
    /// Pattern for its image, as its user gave it.
    Image(String),
    /// A label's key, and a pattern for its value.
    Label(String, String),
}

impl Selector {
    /// Whether it is about this container.
    #[must_use]
    pub fn takes(&self, container: &Container) -> bool {
        match self {
            Self::Name(pattern) => matches(pattern, &container.name),
            Self::Image(pattern) => matches(pattern, &container.image),
            Self::Label(key, pattern) => container
                .labels
                .get(key)
                .is_some_and(|value| matches(pattern, value)),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{text}` selects no container: write name:PATTERN, image:PATTERN or label:KEY=PATTERN"
            )
        };
        let (kind, pattern) = text.split_once(':').ok_or_else(wanted)?;
        // What its runtime has not told is empty, and must not be selected by an empty pattern.
        if pattern.is_empty() {
            return Err(wanted());
        }
        match kind {
            "name" => Ok(Self::Name(pattern.to_owned())),
            "image" => Ok(Self::Image(pattern.to_owned())),
            "label" => {
                let (key, value) = pattern.split_once('=').ok_or_else(wanted)?;
                Ok(Self::Label(key.to_owned(), value.to_owned()))
            }
            _ => Err(wanted()),
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => write!(f, "name:{pattern}"),
            Self::Image(pattern) => write!(f, "image:{pattern}"),
            Self::Label(key, pattern) => write!(f, "label:{key}={pattern}"),
        }
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_selected() {
        let container = Container {
            name: "traefik-1".to_owned(),
            image: "traefik:3".to_owned(),
            labels: [("role".to_owned(), "edge".to_owned())].into(),
            ..Container::default()
        };
        for (text, takes) in [
            ("name:traefik*", true),
            ("name:traefik", false),
            ("image:traefik:*", true),
            ("label:role=edge", true),
            ("label:role=*", true),
            ("label:other=*", false),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.takes(&container), takes, "{text}");
            assert_eq!(selector.to_string(), text);
        }
        for wrong in ["traefik", "name:", "label:role", "uid:7"] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
    }
}
