use super::*;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn id_of(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

#[test]
fn runcs_state_tells_cgroups_process_and_annotations() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "web/state.json",
        r#"{"id": "web", "init_process_pid": 77, "cgroup_paths": {
            "": "/sys/fs/cgroup/unified/web", "pids": "/sys/fs/cgroup/pids/web"},
            "config": {"labels": ["team=red", "bundle=/nonexistent"], "rootfs": "/x"}}"#,
    );
    let reader = Reader::new(root.path().to_path_buf());
    let expected = Dossier {
        id: "web".to_owned(),
        name: "web".to_owned(),
        labels: [("team".to_owned(), "red".to_owned())].into(),
        pid: 77,
        kind: Runtime::Oci,
        cgroups: vec![
            "/sys/fs/cgroup/unified/web".to_owned(),
            "/sys/fs/cgroup/pids/web".to_owned(),
        ],
        complete: true,
        from_state: true,
        ..Dossier::default()
    };
    assert_eq!(reader.find("web"), Some(expected.clone()));
    assert_eq!(reader.list(), [expected]);
    for other in ["", ".", "..", "web/..", "other", "web\0"] {
        assert_eq!(reader.find(other), None, "{other}");
    }
}

#[test]
fn a_directory_for_each_namespace_is_looked_into_and_the_bundle_read() {
    let root = tempfile::tempdir().unwrap();
    let id = id_of('a');
    let bundle = root.path().join("bundles/one");
    write(
        &bundle,
        "config.json",
        r#"{"annotations": {"io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.sandbox-id": "box", "io.kubernetes.cri.sandbox-name": "web-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri.image-name": "nginx:1.27"}}"#,
    );
    let state = format!(
        r#"{{"id": "{id}", "config": {{"labels": ["bundle={}"]}}}}"#,
        bundle.display()
    );
    write(root.path(), &format!("runc/k8s.io/{id}/state.json"), &state);
    let found = Reader::new(root.path().join("runc")).find(&id).unwrap();
    assert_eq!(
        (found.name.as_str(), found.image.as_str(), found.kind),
        ("web", "nginx:1.27", Runtime::Containerd)
    );
    let pod = found.pod.unwrap();
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str()),
        ("shop", "web-0")
    );
    assert_eq!(found.joins.as_deref(), Some("box"));
}

#[test]
fn cruns_status_and_podmans_storage_are_read() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "crun/web/status",
        r#"{"pid": 9, "cgroup-path": "/web", "bundle": "/nonexistent", "systemd-cgroup": false}"#,
    );
    let crun = Reader::new(root.path().join("crun")).find("web").unwrap();
    assert_eq!((crun.pid, crun.cgroups), (9, vec!["/web".to_owned()]));

    let id = id_of('b');
    write(
        root.path(),
        "storage/containers.json",
        &format!(
            r#"[{{"id": "{id}", "names": ["db"],
                "metadata": "{{\"image-name\":\"docker.io/library/redis:7\",\"image-id\":\"11\"}}"}}]"#
        ),
    );
    let bundle = format!("storage/{id}/userdata/config.json");
    write(
        root.path(),
        &bundle,
        r#"{"annotations": {"io.container.manager": "libpod"}}"#,
    );
    let podman = Reader::new(root.path().join("storage"));
    let found = podman.find(&id).unwrap();
    assert_eq!(
        (found.name.as_str(), found.image.as_str(), found.kind),
        ("db", "docker.io/library/redis:7", Runtime::Podman)
    );
    assert_eq!(podman.list().len(), 1);
}

#[test]
fn garbage_and_what_is_too_large_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a/state.json", "garbage");
    write(root.path(), "b/state.json", r#"{"id": "somebody else"}"#);
    write(root.path(), "c/state.json", r#"{"id": 7}"#);
    let large = format!(r#"{{"id": "d", "x": "{}"}}"#, "x".repeat(2 << 20));
    write(root.path(), "d/state.json", &large);
    fs::create_dir_all(root.path().join("e/state.json")).unwrap();
    write(root.path(), "containers.json", "[[");
    let reader = Reader::new(root.path().to_path_buf());
    assert_eq!(reader.list(), []);
    assert_eq!(reader.find("a"), None);
    // Nothing but a name of 64 hex digits is no name.
    let id = id_of('f');
    write(root.path(), &format!("{id}/state.json"), "{}");
    assert_eq!(reader.find(&id).unwrap().name, "");
}
