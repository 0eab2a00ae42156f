//! The command as it is run: arguments, output, exit codes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::{
    fs,
    process::{Command, Output, Stdio},
};

fn hydrophone(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydrophone"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HYDROPHONE_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    hydrophone(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn version_and_help_go_to_standard_output() {
    let version = run(&["--version"]);
    assert_eq!(
        stdout(&version),
        concat!("hydrophone ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(version.status.success());
    let help = run(&["--help"]);
    assert!(stdout(&help).contains("Usage: hydrophone"));
    assert_eq!(stderr(&help), "");
}

#[test]
fn what_is_not_understood_is_code_2() {
    for arguments in [
        &["no-such-command"][..],
        &["doctor", "--no-such-option"],
        &["completions"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_wrong_configuration_is_code_3_with_every_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("h.yaml");
    fs::write(
        &file,
        "sensor:\n  rings: 3\nalert:\n  stats_interval: soon\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["containers", "--config", file]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(stdout(&output), "");
    let expected = format!(
        "hydrophone: the configuration has 2 errors\n\
         {file}:4:19: alert.stats_interval: `soon` is not a time span: write a number with ms, s, m, h or d\n  \
         hint: the default is \"1m\"\n\
         {file}:2:10: sensor.rings: is not 1, 2, 4, 8 or 16\n  \
         hint: write 0 for as many as there are CPUs\n"
    );
    assert_eq!(stderr(&output), expected);
}

#[test]
fn the_configuration_file_may_be_named_in_the_environment() {
    let output = hydrophone(&["containers"])
        .env("HYDROPHONE_CONFIG", "/nonexistent/h.yaml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("/nonexistent/h.yaml: cannot be read"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        for command in ["doctor", "containers"] {
            assert!(stdout(&output).contains(command), "{shell} lacks {command}");
        }
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = hydrophone(&["completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
}

#[test]
fn doctor_names_what_is_missing_and_what_to_do() {
    let missing = "/nonexistent/kernel.o";
    let output = hydrophone(&["doctor"])
        .env("HYDROPHONE_SENSOR_KERNEL_OBJECT", missing)
        .env(
            "HYDROPHONE_CENSUS_DOCKER_SOCKETS",
            "/nonexistent/docker.sock",
        )
        .output()
        .unwrap();
    let report = stdout(&output);
    assert!(
        report.contains(&format!("FAIL  cannot read the kernel object {missing}")),
        "{report}"
    );
    assert!(
        report.contains("warn  no Docker at /nonexistent/docker.sock"),
        "{report}"
    );
    assert!(report.ends_with(" to repair\n"), "{report}");
    assert_eq!(output.status.code(), Some(4));
    for line in report
        .lines()
        .filter(|line| line.starts_with("FAIL") || line.starts_with("warn"))
    {
        let advice = report.lines().skip_while(|other| *other != line).nth(1);
        assert!(advice.unwrap().starts_with("      → "), "{line}");
    }
}

#[test]
fn containers_as_json_is_one_object_a_line() {
    let output = run(&["containers", "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for line in stdout(&output).lines() {
        let container: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            container["id"].is_string() && container["addresses"].is_array(),
            "{line}"
        );
    }
}
