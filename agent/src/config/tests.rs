use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const EXAMPLE: &str = include_str!("../../hydrophone.example.yaml");
const REFERENCE: &str = include_str!("../../../docs/configuration.md");

fn load_text(text: &str) -> Result<Config, ConfigErrors> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load(Some(file.path()), [], Vec::new()).map(|loaded| loaded.config)
}

fn messages(text: &str) -> Vec<String> {
    let errors = layers::parse("h.yaml", text).map_or_else(
        |error| vec![error],
        |settings| {
            let mut errors = Vec::new();
            let config = layers::merge(&settings, &mut errors);
            errors.extend(validate::validate(&config, &settings));
            errors
        },
    );
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_is_the_default() {
    assert_eq!(load_text(EXAMPLE).unwrap(), Config::default());
}

#[test]
fn an_empty_file_and_an_empty_section_are_the_default() {
    for text in ["", "# nothing\n", "alert:\n", "alert:\n  storm:\n", "---\n"] {
        assert_eq!(load_text(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn example_and_reference_have_every_key() {
    for (path, _) in layers::keys() {
        let name = path.last().unwrap();
        assert!(
            EXAMPLE.contains(&format!("{name}:")),
            "example lacks {}",
            path.join(".")
        );
        let row = format!("| `{}` |", path.join("."));
        assert!(
            REFERENCE.contains(&row),
            "docs/configuration.md lacks {row}"
        );
    }
}

#[test]
fn names_of_host_and_cluster_are_names() {
    for (value, is_good) in [
        ("node1", true),
        ("\"\"", false),
        ("\"a\\nb\"", false),
        ("\"\\x1b[2J\"", false),
    ] {
        for key in ["host", "cluster"] {
            let text = format!("census:\n  {key}: {value}\n");
            assert_eq!(messages(&text).is_empty(), is_good, "{text}");
        }
    }
}

/// The reference names no key that does not exist, and its defaults are the real ones.
#[test]
fn reference_has_the_defaults() {
    let keys = layers::keys();
    let rows: Vec<(&str, &str)> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` | `"))
        .map(|(key, rest)| (key, rest.split_once('`').unwrap().0))
        .filter(|(key, _)| key.contains('.'))
        .collect();
    assert_eq!(rows.len(), keys.len());
    for (key, written) in rows {
        let (_, default) = keys
            .iter()
            .find(|(path, _)| path.join(".") == key)
            .unwrap_or_else(|| panic!("{key} is no key"));
        let shown = match default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(written, shown, "{key}");
    }
}

#[test]
fn every_error_is_reported_with_its_place() {
    let text = "\
sensor:
  ring_size: 3MiB
  rigns: 4
alert:
  format: xml
  storm:
    limit: many
    window: 10
census: 5
sinks:
  syslog:
    targets: [\"tcp://nowhere\"]
";
    expect(
        &messages(text).join("\n"),
        "\
h.yaml:3:3: sensor.rigns: there is no such key
  hint: did you mean `rings`? keys here: capture_budget, exclude_links, flow_table, force_clsact, include_links, kernel_object, ring_size, rings
h.yaml:5:11: alert.format: unknown variant `xml`, expected one of `auto`, `eve`, `text`
  hint: the default is \"auto\"
h.yaml:7:12: alert.storm.limit: invalid type: string \"many\", expected u32
  hint: the default is 10
h.yaml:8:13: alert.storm.window: `10` has no unit: write ms, s, m, h or d after it
  hint: the default is \"10s\"
h.yaml:9:9: census: invalid type: integer `5`, expected struct Census
  hint: this is a section with the keys cluster, cri_sockets, docker_sockets, host, oci_state, patience, retention, service_by
h.yaml:12:14: sinks.syslog.targets: `tcp://nowhere` is no syslog target: write unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT
  hint: the default is []
h.yaml:2:14: sensor.ring_size: 3MiB is not a power of two from 256KiB to 1GiB
  hint: the kernel takes ring sizes of 2^n pages, e.g. 16MiB",
    );
}

fn expect(found: &str, expected: &str) {
    assert!(
        found == expected,
        "found:\n{found}\n\nexpected:\n{expected}"
    );
}

#[test]
fn overlap_policies_have_the_names_of_other_engines() {
    let names = [
        "linux",
        "first",
        "last",
        "bsd",
        "bsd-right",
        "old-linux",
        "windows",
        "windows2k3",
        "vista",
        "solaris",
        "hpux",
        "hpux10",
        "irix",
        "macos",
    ];
    let policies = names.map(|name| {
        let config = load_text(&format!("inspect: {{overlap: {name}}}")).unwrap();
        config.inspect.overlap
    });
    assert_eq!(policies, hydrophone_inspect::flow::OverlapPolicy::ALL);
    let errors = messages("inspect:\n  overlap: beos\n");
    assert_eq!(errors.len(), 1);
    let wanted = "h.yaml:2:12: inspect.overlap: unknown variant `beos`, expected one of `linux`";
    assert!(errors[0].starts_with(wanted), "{}", errors[0]);
}

#[test]
fn syntax_errors_and_duplicates_have_a_place() {
    for (text, place) in [
        ("alert:\n  storm: [1, 2\n", "h.yaml:"),
        ("alert:\n  payload: 1\n  payload: 2\n", "h.yaml:3:3"),
        ("- a\n", "h.yaml: is not a mapping of sections"),
    ] {
        let messages = messages(text);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].starts_with(place), "{messages:?}");
    }
}

#[test]
fn an_unreadable_file_is_an_error_beside_those_of_other_layers() {
    let environment = [("HYDROPHONE_SENSOR_RINGS".to_owned(), "x".to_owned())];
    let errors = load(
        Some(Path::new("/nonexistent.yaml")),
        environment,
        Vec::new(),
    )
    .unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
    assert!(
        errors
            .to_string()
            .contains("environment variable HYDROPHONE_SENSOR_RINGS")
    );
}

#[test]
fn command_line_wins_over_environment_wins_over_file_wins_over_default() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("h.yaml");
    fs::write(
        &file,
        "sensor: {rings: 2, flow_table: 2048, capture_budget: 1KiB}",
    )
    .unwrap();
    let environment = [
        ("HYDROPHONE_SENSOR_RINGS", "3"),
        ("HYDROPHONE_SENSOR_FLOW_TABLE", "4096"),
        ("HYDROPHONE_SERVICE_HOST", "10.0.0.1"),
        ("HYDROPHONE_LOG_LEVEL", ""),
        ("PATH", "/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let command_line = vec![Setting::command_line("sensor.rings", 4.into(), "--rings")];
    let loaded = load(Some(&file), environment, command_line).unwrap();
    let sensor = &loaded.config.sensor;
    assert_eq!(sensor.rings, 4);
    assert_eq!(sensor.flow_table, 4096);
    assert_eq!(sensor.capture_budget, ByteSize::kib(1));
    assert_eq!(sensor.ring_size, ByteSize::mib(16));
    assert_eq!(loaded.config.log.level, LogLevel::Info);
    assert_eq!(loaded.unused_variables, ["HYDROPHONE_SERVICE_HOST"]);
}

#[test]
fn every_default_can_be_set_from_the_environment() {
    for (path, default) in layers::keys() {
        let text = match &default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let environment = [(layers::variable(&path), text)];
        let loaded = load(None, environment, Vec::new());
        assert_eq!(
            loaded.unwrap().config,
            Config::default(),
            "{}",
            path.join(".")
        );
    }
}

#[test]
fn lists_from_the_environment() {
    for text in ["/a.rules,/b.rules", "[/a.rules, /b.rules]"] {
        let environment = [("HYDROPHONE_RULES_FILES".to_owned(), text.to_owned())];
        let loaded = load(None, environment, Vec::new()).unwrap();
        assert_eq!(
            loaded.config.rules.files,
            [Path::new("/a.rules"), Path::new("/b.rules")]
        );
    }
}

#[test]
fn rule_variables_are_a_map() {
    let config = load_text("rules:\n  variables: {HOME_NET: \"[10.0.0.0/8]\"}\n").unwrap();
    assert_eq!(config.rules.variables["HOME_NET"], "[10.0.0.0/8]");
}

#[test]
fn semantic_errors_name_the_layer_that_set_the_value() {
    let environment = [(
        "HYDROPHONE_ALERT_STATS_INTERVAL".to_owned(),
        "0s".to_owned(),
    )];
    let errors = load(None, environment, Vec::new()).unwrap_err();
    let message = errors.to_string();
    assert!(
        message.starts_with("environment variable HYDROPHONE_ALERT_STATS_INTERVAL: "),
        "{message}"
    );
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error(text in ".{0,200}") {
        messages(&text);
    }

    #[test]
    fn any_yaml_of_known_words_is_a_configuration_or_an_error(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "alert", "storm", "limit", "sensor", "rings", ":", ": ", "\n", "  ", "- ", "[", "]", "{", "}",
                "&a", "*a", "<<", "1", "-1", "1e9", "null", "\"", "10s", "!!binary", "? ",
            ]),
            0..40,
        ),
    ) {
        messages(&words.concat());
    }

    #[test]
    fn sizes_and_spans_survive_printing(number in any::<u64>(), milliseconds in 0..u64::MAX / 86_400_000) {
        let size = ByteSize(number);
        prop_assert_eq!(size.to_string().parse(), Ok(size));
        let span = Interval(core::time::Duration::from_millis(milliseconds));
        prop_assert_eq!(span.to_string().parse(), Ok(span));
    }
}
