//! Containers that no API tells of, several runtimes at once, and containers in containers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use hydrophone::census::{CensusConfig, Identity, Runtime, UnknownReason, cgroup::tree};
use hydrophone_inspect::Owner;
use hydrophone_tests::{Agent, Engine, Options, Output, program, run};
use serde_json::{Value, json};

use crate::{
    containerd::{Containerd, IMAGE, PodOptions},
    pods::{LOG4SHELL, LOG4SHELL_HEADER, SLEEP},
    watcher::Watcher,
};

/// A container of runc's own, without any manager. Removed when dropped.
///
/// (crun 1.8 refuses this host: "cgroups in hybrid mode not supported".)
struct Bundle {
    /// Where runc keeps states.
    root: PathBuf,
    id: String,
}

impl Bundle {
    fn start(engine: &Engine, id: &str, command: &[&str]) -> Result<Self> {
        let folder = engine.folder().join(format!("bundle-{id}"));
        let rootfs = folder.join("rootfs");
        for name in ["bin", "tmp", "proc", "dev", "sys", "etc"] {
            fs::create_dir_all(rootfs.join(name))?;
        }
        fs::copy(program("busybox")?, rootfs.join("bin/busybox"))?;
        fs::write(rootfs.join("etc/hostname"), id)?;
        let at = folder.display().to_string();
        run("runc", &["spec", "--bundle", &at])?;
        let config = folder.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&config)?)?;
        let process = spec.pointer_mut("/process");
        let process = process.and_then(Value::as_object_mut);
        let process = process.context("no process")?;
        process.insert("terminal".to_owned(), false.into());
        process.insert("args".to_owned(), json!(command));
        // They would be raised.
        process.remove("rlimits");
        let spec_fields = spec.as_object_mut().context("no object")?;
        spec_fields.insert("annotations".to_owned(), json!({ "team": "red" }));
        fs::write(&config, spec.to_string())?;
        let bundle = Self {
            root: Self::states(engine),
            id: id.to_owned(),
        };
        bundle.call(&["create", "--bundle", &at, id])?;
        bundle.call(&["start", id])?;
        Ok(bundle)
    }

    /// Where all of them have their states.
    fn states(engine: &Engine) -> PathBuf {
        engine.folder().join("states")
    }

    /// Runs the runtime. What it starts must not hold our pipes: it writes to a file.
    fn call(&self, arguments: &[&str]) -> Result<Output> {
        let root = self.root.display().to_string();
        let log = self.root.with_extension("log").display().to_string();
        let quoted: Vec<_> = arguments.iter().map(|word| format!("'{word}'")).collect();
        let command = format!(
            "{} --root {root} {} > {log} 2>&1 < /dev/null || {{ cat {log}; exit 1; }}; cat {log}",
            program("runc")?.display(),
            quoted.join(" ")
        );
        run("sh", &["-c", &command])
    }

    /// Main process, by the runtime itself.
    fn pid(&self) -> Result<u32> {
        let state: Value = serde_json::from_str(&self.call(&["state", &self.id])?.stdout)?;
        let pid = state.get("pid").and_then(Value::as_u64).context("no pid")?;
        Ok(pid.try_into()?)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = self.call(&["delete", "--force", &self.id]) {
            eprintln!("bundle {}: {error:#}", self.id);
        }
    }
}

fn states_only(engine: &Engine) -> CensusConfig {
    CensusConfig {
        docker_sockets: Vec::new(),
        cri_sockets: Vec::new(),
        oci_state: vec![Bundle::states(engine)],
        ..CensusConfig::default()
    }
}

const BUSYBOX_SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000000"];

#[test]
fn containers_of_runc_alone_are_known_by_their_states() -> Result<()> {
    let engine = Engine::start()?;
    let early = Bundle::start(&engine, "early", &BUSYBOX_SLEEP)?;
    let watcher = Watcher::follow(&states_only(&engine))?;
    let late = Bundle::start(&engine, "late", &BUSYBOX_SLEEP)?;
    let nameless = "0123456789abcdef".repeat(4);
    let random = Bundle::start(&engine, &nameless, &BUSYBOX_SLEEP)?;
    for bundle in [&early, &late] {
        let known = watcher.named(&bundle.id)?;
        assert_eq!(
            (known.name.as_str(), known.runtime),
            (&*bundle.id, Runtime::Oci)
        );
        assert_eq!(known.pid, bundle.pid()?);
        assert_eq!(known.labels["team"], "red");
        assert_ne!(known.netns, 0);
    }
    let known = watcher.find("the one without a name", |one| {
        one.id == random.id && one.pid != 0 && !one.labels.is_empty()
    })?;
    assert_eq!(
        (known.name.as_str(), known.labels["team"].as_str()),
        ("", "red")
    );
    assert_eq!(known.unknown, Some(UnknownReason::NoRuntimeApi));

    let known = watcher.named("late")?;
    drop(late);
    let gone = watcher.find("it has gone", |one| {
        one.id == "late" && one.gone_since.is_some()
    })?;
    assert_eq!(
        (gone.name.as_str(), gone.cgroup_id),
        ("late", known.cgroup_id)
    );
    Ok(())
}

#[test]
fn an_attack_within_a_container_of_runc_alone_is_told_with_its_name() -> Result<()> {
    let engine = Engine::start()?;
    let config = states_only(&engine);
    // A directory that is not there yet is looked for twice a second.
    fs::create_dir_all(Bundle::states(&engine))?;
    let states = config.oci_state.iter();
    let states = states.map(|path| path.display().to_string());
    let states: Vec<_> = states.collect();
    let agent = Agent::start(&Options::new(&engine).set("census", "oci_state", states))?;
    let attack = format!(
        "busybox ip link set lo up; busybox httpd -p 80 -h /etc; \
         busybox wget -q -O /dev/null --header '{LOG4SHELL_HEADER}' http://127.0.0.1/hostname; \
         exec busybox sleep 1000000"
    );
    let _plain = Bundle::start(
        &engine,
        "plain",
        &[
            "/bin/busybox",
            "sh",
            "-c",
            &attack.replace("busybox ", "/bin/busybox "),
        ],
    )?;
    let alert = agent.wait_for("the attack", |event| event.sid() == LOG4SHELL)?;
    for end in ["src_container", "dst_container"] {
        let text = |field: &str| alert.text(&format!("/{end}/{field}"));
        assert_eq!((text("name"), text("runtime")), ("plain", "oci"), "{alert}");
    }
    agent.stop()?;
    Ok(())
}

#[test]
fn runtimes_side_by_side_are_each_asked_about_their_own() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let watcher = Watcher::follow(&CensusConfig {
        docker_sockets: vec![engine.socket()],
        cri_sockets: vec![containerd.socket()],
        oci_state: vec![
            Bundle::states(&engine),
            PathBuf::from("/run/containerd/runc"),
        ],
        ..CensusConfig::default()
    })?;
    let docker = engine.run("by-docker", &[], &SLEEP)?;
    let pod = containerd.pod("shop", &PodOptions::default())?;
    let in_pod = pod.run("by-cri", &SLEEP)?;
    let plain = Bundle::start(&engine, "by-runc", &BUSYBOX_SLEEP)?;
    let by_ctr = CtrTask::start(&containerd)?;
    for (id, name, runtime) in [
        (docker.id(), "by-docker", Runtime::Docker),
        (in_pod.as_str(), "by-cri", Runtime::Containerd),
        (by_ctr.id.as_str(), by_ctr.id.as_str(), Runtime::Containerd),
        (plain.id.as_str(), "by-runc", Runtime::Oci),
    ] {
        let known = watcher.find(name, |one| {
            one.id == id
                && one.unknown.is_none()
                && one.pid != 0
                && (runtime == Runtime::Oci || !one.image.is_empty())
        })?;
        assert_eq!((known.name.as_str(), known.runtime), (name, runtime));
    }
    let known = watcher.named(&by_ctr.id)?;
    assert_eq!(
        (known.image.as_str(), known.labels["team"].as_str()),
        (IMAGE, "blue")
    );
    Ok(())
}

/// A container of containerd's own client, in its default namespace. Removed when dropped.
struct CtrTask<'a> {
    containerd: &'a Containerd<'a>,
    id: String,
}

impl<'a> CtrTask<'a> {
    fn start(containerd: &'a Containerd<'a>) -> Result<Self> {
        let id = format!("by-ctr-{}", std::process::id());
        // The task must not hold our pipes.
        let command = format!(
            "{} --address {} --namespace=default run --detach --label=team=blue \
             --mount=type=bind,src=/usr,dst=/usr,options=rbind:ro {IMAGE} {id} {} \
             > /dev/null 2>&1 < /dev/null",
            program("ctr")?.display(),
            containerd.socket().display(),
            SLEEP.join(" "),
        );
        let task = Self { containerd, id };
        run("sh", &["-c", &command])?;
        Ok(task)
    }

    fn remove(&self) -> Result<()> {
        let ctr = |arguments: &[&str]| {
            let namespace = ["--namespace=default"];
            self.containerd
                .ctr(&[&namespace[..], arguments, &[self.id.as_str()]].concat())
        };
        ctr(&["tasks", "kill", "--signal=KILL"])?;
        hydrophone_tests::wait_for("the task ends", crate::watcher::PATIENCE, || {
            let _ = ctr(&["tasks", "rm"]);
            Ok(ctr(&["containers", "rm"]).ok())
        })?;
        Ok(())
    }
}

impl Drop for CtrTask<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{}: {error:#}", self.id);
        }
    }
}

#[test]
fn a_container_in_a_container_is_told_with_the_outer_one() -> Result<()> {
    let engine = Engine::start()?;
    let outer = engine.run("outer", &[], &SLEEP)?;
    // As Docker in Docker and kind do it: the cgroup is below the outer container's.
    let parent = format!("--cgroup-parent=/docker/{}", outer.id());
    let inner = engine.run("inner", &[&parent], &SLEEP)?;
    let watcher = Watcher::start(vec![engine.socket()], Vec::new())?;
    watcher.named(outer.id())?;
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", inner.pid()))?;
    let path = cgroups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .context("no cgroup2")?;
    let cgroup_id = tree::id_of(&watcher.census.cgroups().root().join(Path::new(path)))?;
    let owner = Owner {
        cgroup_id,
        ..Owner::default()
    };
    let identity = watcher
        .census
        .resolve_now(&owner, [203, 0, 113, 1].into(), 0);
    let Identity::Container { container, .. } = identity else {
        anyhow::bail!("{identity:?}");
    };
    assert_eq!(
        (container.name.as_str(), container.id.as_str()),
        ("outer", outer.id())
    );
    let nested = container.nested.as_ref().context("not nested")?;
    assert_eq!(nested.id, inner.id());
    Ok(())
}
