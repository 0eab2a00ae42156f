//! Layers of settings: each a path, a value and where it came from.

use core::fmt;
use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, map::Entry};
use serde_saphyr::{Location, Spanned};

use super::{Config, error::ConfigError};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in the configuration file; line 0 when it is the file as a whole.
    File {
        /// Path as the user gave it.
        path: String,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
    },
    /// An environment variable.
    Environment(String),
    /// A command-line option.
    CommandLine(&'static str),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => f.write_str(path),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::CommandLine(option) => write!(f, "option {option}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One value for one key.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `["alert", "storm", "limit"]`.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Setting {
    /// A value that the user typed as `option`; `key` is `section.key`.
    #[must_use]
    pub fn command_line(key: &str, value: Value, option: &'static str) -> Self {
        Self {
            path: key.split('.').map(str::to_owned).collect(),
            value,
            origin: Origin::CommandLine(option),
        }
    }
}

/// The defaults as a tree: which paths are sections, which are keys.
fn schema() -> Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

/// An object without entries is a key whose value is a map, not a section.
fn is_section(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

/// Every key, as a path, with its default.
pub(super) fn keys() -> Vec<(Vec<String>, Value)> {
    fn walk(value: &Value, path: &mut Vec<String>, keys: &mut Vec<(Vec<String>, Value)>) {
        match value.as_object() {
            Some(object) if is_section(value) => {
                for (name, value) in object {
                    path.push(name.clone());
                    walk(value, path, keys);
                    path.pop();
                }
            }
            _ => keys.push((path.clone(), value.clone())),
        }
    }
    let mut keys = Vec::new();
    walk(&schema(), &mut Vec::new(), &mut keys);
    keys
}

/// A YAML value that keeps the place of each key and value of its mappings.
enum Node {
    Leaf(Value),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    fn into_value(self) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, node)| (key.value, node.value.into_value()))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> de::Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(node) = items.next_element::<Node>()? {
            values.push(node.into_value());
        }
        Ok(Node::Leaf(Value::Array(values)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

/// The settings in a YAML file.
pub(super) fn read_file(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| ConfigError {
        origin: origin(&name, None),
        key: String::new(),
        message: format!("cannot be read: {error}"),
        hint: None,
    })?;
    parse(&name, &text)
}

/// The settings in YAML text; `name` is for messages.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let node: Option<Node> = serde_saphyr::from_str(text).map_err(|error| ConfigError {
        origin: origin(name, error.location()),
        key: String::new(),
        message: first_line(&error.without_snippet().to_string()),
        hint: None,
    })?;
    let mut settings = Vec::new();
    match node {
        None | Some(Node::Leaf(Value::Null)) => {}
        Some(Node::Map(entries)) => {
            flatten(name, entries, &schema(), &mut Vec::new(), &mut settings);
        }
        Some(Node::Leaf(_)) => {
            return Err(ConfigError {
                origin: origin(name, None),
                key: String::new(),
                message: "is not a mapping of sections".to_owned(),
                hint: Some("see hydrophone.example.yaml".to_owned()),
            });
        }
    }
    Ok(settings)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn origin(name: &str, location: Option<Location>) -> Origin {
    Origin::File {
        path: name.to_owned(),
        line: location.map_or(0, |at| at.line()),
        column: location.map_or(0, |at| at.column()),
    }
}

/// Descends as long as the schema has a section there; an unknown key is located at the key,
/// a value at the value.
fn flatten(
    name: &str,
    entries: Vec<(Spanned<String>, Spanned<Node>)>,
    schema: &Value,
    path: &mut Vec<String>,
    settings: &mut Vec<Setting>,
) {
    for (key, node) in entries {
        let known = schema.get(&key.value);
        let location = if known.is_some() {
            node.referenced
        } else {
            key.referenced
        };
        path.push(key.value);
        match (node.value, known) {
            (Node::Map(entries), Some(section)) if is_section(section) => {
                flatten(name, entries, section, path, settings);
            }
            // A section of which every key is commented out.
            (Node::Leaf(Value::Null), Some(section)) if is_section(section) => {}
            (node, _) => settings.push(Setting {
                path: path.clone(),
                value: node.into_value(),
                origin: origin(name, Some(location)),
            }),
        }
        path.pop();
    }
}

const PREFIX: &str = "HYDROPHONE_";
/// Names the configuration file: read by the command line.
const CONFIG_FILE: &str = "HYDROPHONE_CONFIG";
/// Names captures and rules for development: read by `cargo xtask`.
const CORPUS: &str = "HYDROPHONE_CORPUS";

/// Settings from `HYDROPHONE_SECTION_KEY`, and the names with that prefix that are no key.
/// A list is written `[a, b]` or `a,b`. An empty variable is as good as none.
pub(super) fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
) -> (Vec<Setting>, Vec<String>) {
    let keys: BTreeMap<String, (Vec<String>, Value)> = keys()
        .into_iter()
        .map(|(path, default)| (variable(&path), (path, default)))
        .collect();
    let mut settings = Vec::new();
    let mut unused = Vec::new();
    for (name, text) in environment {
        if !name.starts_with(PREFIX) || name == CONFIG_FILE || name == CORPUS || text.is_empty() {
            continue;
        }
        match keys.get(&name) {
            Some((path, default)) => settings.push(Setting {
                path: path.clone(),
                value: variable_value(&text, default),
                origin: Origin::Environment(name),
            }),
            None => unused.push(name),
        }
    }
    unused.sort();
    (settings, unused)
}

/// The environment variable of a key.
pub(super) fn variable(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("_").to_uppercase())
}

fn variable_value(text: &str, default: &Value) -> Value {
    if default.is_array() && !text.trim_start().starts_with('[') {
        return text
            .split(',')
            .map(|item| Value::from(item.trim()))
            .collect();
    }
    let as_written = Value::from(text);
    // Only what is not text has a YAML syntax of its own.
    if default.is_string() {
        return as_written;
    }
    serde_saphyr::from_str::<Node>(text).map_or(as_written, Node::into_value)
}

/// The configuration that the settings make, later ones winning. What is wrong is left out
/// and reported.
pub(super) fn merge(settings: &[Setting], errors: &mut Vec<ConfigError>) -> Config {
    let schema = schema();
    let mut tree = Map::new();
    for setting in settings {
        match check(setting, &schema) {
            Ok(()) => insert(&mut tree, &setting.path, setting.value.clone()),
            Err(error) => errors.push(error),
        }
    }
    // Each value was accepted by itself and keys do not constrain each other's types.
    Config::deserialize(Value::Object(tree)).unwrap_or_default()
}

/// Deserializes the setting alone, all else being default: an error can only be about it.
fn check(setting: &Setting, schema: &Value) -> Result<(), ConfigError> {
    let error = |message, hint| ConfigError {
        origin: setting.origin.clone(),
        key: setting.path.join("."),
        message,
        hint,
    };
    let mut known = schema;
    for name in &setting.path {
        match known.get(name) {
            Some(value) => known = value,
            None => {
                return Err(error(
                    "there is no such key".to_owned(),
                    Some(suggest(name, known)),
                ));
            }
        }
    }
    let mut alone = Map::new();
    insert(&mut alone, &setting.path, setting.value.clone());
    Config::deserialize(Value::Object(alone))
        .map(|_| ())
        .map_err(|problem| {
            let hint = if is_section(known) {
                format!("this is a section with the keys {}", names(known))
            } else {
                format!("the default is {known}")
            };
            error(problem.to_string(), Some(hint))
        })
}

fn insert(tree: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        tree.insert(first.clone(), value);
        return;
    }
    let child = match tree.entry(first.clone()) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Value::Object(Map::new())),
    };
    if let Value::Object(child) = child {
        insert(child, rest, value);
    }
}

fn names(section: &Value) -> String {
    let names = section
        .as_object()
        .map(|object| object.keys().map(String::as_str).collect::<Vec<_>>());
    names.unwrap_or_default().join(", ")
}

/// The nearest key of the section, and all of them.
fn suggest(name: &str, section: &Value) -> String {
    let candidates = section
        .as_object()
        .map(|object| object.keys().collect::<Vec<_>>());
    let nearest = candidates
        .unwrap_or_default()
        .into_iter()
        .map(|key| (distance(name, key), key))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, key)) => format!("did you mean `{key}`? keys here: {}", names(section)),
        None => format!("keys here: {}", names(section)),
    }
}

/// Levenshtein distance in characters; both are short.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, character) in from.chars().take(64).enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let substitute = diagonal + usize::from(character != *other);
            diagonal = *cell;
            left = substitute.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
