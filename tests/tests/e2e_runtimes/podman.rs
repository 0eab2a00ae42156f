//! podman, by its Docker-compatible API and by what it keeps on disk.
//!
//! podman sets limits of its own on its containers. Where it may not raise them (here, for want of
//! `CAP_SYS_RESOURCE`), it is given lower ones.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use hydrophone::census::{CensusConfig, Runtime, UnknownReason};
use hydrophone_tests::{Engine, Output, program, run, wait_for};

use crate::{
    pods::SLEEP,
    watcher::{PATIENCE, Watcher},
};

const IMAGE: &str = "localhost/hydrophone/tools:1";

/// A podman of one's own, beside the engine that holds the host's lock. Its containers go with it.
struct Podman<'a> {
    engine: &'a Engine,
    service: Option<Child>,
}

impl<'a> Podman<'a> {
    fn new(engine: &'a Engine) -> Result<Self> {
        let podman = Self {
            engine,
            service: None,
        };
        std::fs::create_dir_all(podman.at("run"))?;
        let image = engine.folder().join("image.tar").display().to_string();
        podman.call(&["import", &image, IMAGE])?;
        Ok(podman)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.engine.folder().join("podman").join(name)
    }

    fn socket(&self) -> PathBuf {
        self.at("podman.sock")
    }

    /// Where it keeps its containers.
    fn storage(&self) -> PathBuf {
        self.at("root/vfs-containers")
    }

    fn global(&self) -> Vec<String> {
        let at = |name: &str| self.at(name).display().to_string();
        let mut arguments: Vec<_> = ["--root", &at("root"), "--runroot", &at("run")]
            .map(str::to_owned)
            .into();
        let runc = program("runc").unwrap_or_default().display().to_string();
        arguments.extend(["--runtime".to_owned(), runc]);
        let fixed = [
            "--cgroup-manager=cgroupfs",
            "--storage-driver=vfs",
            "--events-backend=file",
        ];
        arguments.extend(fixed.map(str::to_owned));
        arguments
    }

    fn call(&self, arguments: &[&str]) -> Result<Output> {
        let global = self.global();
        let global: Vec<_> = global.iter().map(String::as_str).collect();
        run("podman", &[&global[..], arguments].concat())
    }

    /// Starts the API.
    fn serve(&mut self) -> Result<()> {
        let log = File::create(self.at("log"))?;
        let service = Command::new(program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program("podman")?)
            .args(self.global())
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", self.socket().display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.service = Some(service);
        wait_for("podman serves", PATIENCE, || {
            Ok(self.socket().exists().then_some(()))
        })
    }

    /// Starts a container. Returns its id.
    fn start(&self, name: &str) -> Result<String> {
        let options = [
            "run",
            "--detach",
            "--network=none",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            "--volume=/usr:/usr:ro",
            "--label=team=red",
            "--name",
            name,
            IMAGE,
        ];
        self.call(&[&options[..], &SLEEP].concat())?;
        // What has started it must not hold our pipes; the id is asked for by itself.
        self.inspect(name, "{{.Id}}")
    }

    fn inspect(&self, name: &str, format: &str) -> Result<String> {
        Ok(self
            .call(&["container", "inspect", "--format", format, name])?
            .stdout)
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.call(&["rm", "--all", "--force", "--time=0"]) {
            eprintln!("podman: {error:#}");
        }
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

fn config() -> CensusConfig {
    CensusConfig {
        docker_sockets: Vec::new(),
        cri_sockets: Vec::new(),
        oci_state: Vec::new(),
        ..CensusConfig::default()
    }
}

#[test]
fn podman_is_asked_by_its_docker_api() -> Result<()> {
    let engine = Engine::start()?;
    let mut podman = Podman::new(&engine)?;
    podman.serve()?;
    let early = podman.start("early")?;
    let watcher = Watcher::follow(&CensusConfig {
        docker_sockets: vec![podman.socket()],
        ..config()
    })?;
    let late = podman.start("late")?;
    for (id, name) in [(&early, "early"), (&late, "late")] {
        let known = watcher.named(id)?;
        assert_eq!(
            (known.name.as_str(), known.runtime),
            (name, Runtime::Podman)
        );
        assert_eq!(
            (known.image.as_str(), known.labels["team"].as_str()),
            (IMAGE, "red")
        );
        assert_eq!(
            known.pid.to_string(),
            podman.inspect(name, "{{.State.Pid}}")?
        );
    }
    podman.call(&["rm", "--force", "--time=0", "late"])?;
    let gone = watcher.find("it has gone", |one| {
        one.id == late && one.gone_since.is_some()
    })?;
    assert_eq!(gone.name, "late");
    Ok(())
}

#[test]
fn podman_without_an_api_is_known_by_its_storage() -> Result<()> {
    let engine = Engine::start()?;
    let podman = Podman::new(&engine)?;
    let early = podman.start("early")?;
    let watcher = Watcher::follow(&CensusConfig {
        oci_state: vec![podman.storage()],
        ..config()
    })?;
    let late = podman.start("late")?;
    for (id, name) in [(&early, "early"), (&late, "late")] {
        let known = watcher.named(id)?;
        assert_eq!(
            (known.name.as_str(), known.runtime),
            (name, Runtime::Podman)
        );
        assert_eq!(known.image, IMAGE);
        assert_eq!(
            known.pid.to_string(),
            podman.inspect(name, "{{.State.Pid}}")?
        );
    }
    // Nothing at all tells its name: its cgroup is known nevertheless.
    let blind = Watcher::follow(&config())?;
    let known = blind.find("the container", |one| one.id == early && one.pid != 0)?;
    assert_eq!((known.name.as_str(), known.runtime), ("", Runtime::Podman));
    assert_eq!(known.unknown, Some(UnknownReason::NoRuntimeApi));
    podman
        .inspect("early", "{{.Id}}")
        .context("it still runs")?;
    Ok(())
}
