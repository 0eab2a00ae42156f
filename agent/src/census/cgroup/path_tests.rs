use proptest::prelude::*;

use super::*;

const ID: &str = "b341e9d2e43421840039ccaf35b0683c2e6af88aecc09ed35e3a6221099e85a1";
const OTHER: &str = "c0ffee00e43421840039ccaf35b0683c2e6af88aecc09ed35e3a6221099e85a1";

#[track_caller]
fn check(template: &str, runtime: Runtime, top: &str) {
    let path = template.replace("ID", ID);
    let top = top.replace("ID", ID);
    let found = classify(&path).unwrap_or_else(|| panic!("{path} is a container's"));
    assert_eq!(
        (found.id, found.runtime, found.top),
        (ID, runtime, top.as_str()),
        "{path}"
    );
}

#[test]
fn names_the_container_of_each_runtime() {
    use Runtime::{Containerd, CriO, Docker, Other, Podman};
    for (path, runtime) in [
        ("docker/ID", Docker),
        ("system.slice/docker-ID.scope", Docker),
        ("my.slice/my-app.slice/docker-ID.scope", Docker),
        (
            "user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            Docker,
        ),
        ("ecs/0123456789abcdef0123456789abcdef/ID", Docker),
        (
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ID.scope",
            Containerd,
        ),
        (
            "kubepods.slice/kubepods-pod1_2.slice/docker-ID.scope",
            Docker,
        ),
        (
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/crio-ID.scope",
            CriO,
        ),
        ("kubepods/besteffort/pod1-2-3/ID", Other),
        ("kubepods/pod1-2-3/crio-ID", CriO),
        (
            "system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:ID",
            Containerd,
        ),
        (
            "kubelet.slice/kubelet-kubepods-pod1.slice:docker:ID",
            Docker,
        ),
        ("system.slice/nerdctl-ID.scope", Containerd),
        ("default/ID", Other),
        ("machine.slice/libpod-ID.scope", Podman),
        ("libpod_parent/libpod-ID", Podman),
        ("libpod_parent/ID", Podman),
        ("my-parent/deep/er/ID", Other),
    ] {
        check(path, runtime, path);
        check(&format!("/{path}"), runtime, path);
    }
}

#[test]
fn what_is_below_a_container_belongs_to_it() {
    use Runtime::{Docker, Podman};
    check("docker/ID/init.scope", Docker, "docker/ID");
    check("docker/ID/system.slice/ssh.service", Docker, "docker/ID");
    check(
        "machine.slice/libpod-ID.scope/container",
        Podman,
        "machine.slice/libpod-ID.scope",
    );
    let nested = format!("docker/ID/docker/{OTHER}");
    check(&nested, Docker, "docker/ID");
    let forged = format!("docker/ID/system.slice/docker-{OTHER}.scope");
    check(&forged, Docker, "docker/ID");
}

#[test]
fn build_steps_and_fargate_tasks_have_ids_of_their_own() {
    let found = classify("docker/buildkit/y5zrv2kfnjg8qsqw3m1m9fmd8").unwrap();
    assert_eq!(
        (found.id, found.runtime),
        ("y5zrv2kfnjg8qsqw3m1m9fmd8", Runtime::Other)
    );
    let found = classify(
        "ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
    )
    .unwrap();
    assert_eq!(found.id, "0123456789abcdef0123456789abcdef-1234567890");
}

#[test]
fn the_hosts_cgroups_are_no_containers() {
    for path in [
        "",
        "/",
        "init.scope",
        "system.slice",
        "system.slice/docker.service",
        "system.slice/docker.socket",
        "system.slice/containerd.service",
        "system.slice/ssh.service",
        "user.slice/user-0.slice/session-1.scope",
        "docker",
        "docker/buildkit",
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
        "machine.slice",
        "buildkit",
        "system.slice/docker-.scope",
        "system.slice/docker-abc.scope",
        "docker//",
        "ecs/0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(classify(path), None, "{path}");
    }
    let upper = ID.to_uppercase();
    for path in [
        format!("machine.slice/libpod-conmon-{ID}.scope"),
        format!("system.slice/crio-conmon-{ID}.scope"),
        format!("docker/{upper}"),
        format!("docker/{ID}0"),
        format!("docker/{}", &ID[1..]),
    ] {
        assert_eq!(classify(&path), None, "{path}");
    }
}

#[test]
fn a_process_is_found_in_whichever_hierarchy_names_its_container() {
    let top = format!("docker/{ID}");
    for (text, is) in [
        (format!("4:memory:/x\n0::/docker/{ID}\n"), true),
        (format!("0::/docker/{ID}/init.scope\n"), true),
        (format!("9:name=systemd:/docker/{ID}\n0::/\n"), true),
        // Where hierarchies differ, cgroup2 decides.
        (
            format!("4:memory:/docker/{ID}\n0::/docker/{OTHER}\n"),
            false,
        ),
        (format!("0::/docker/{ID}0\n"), false),
        ("9:name=systemd:/\n0::/init.scope\n".to_owned(), false),
        (String::new(), false),
        ("0::".to_owned(), false),
        ("nonsense\n\n::::".to_owned(), false),
    ] {
        assert_eq!(is_in(&text, &top), is, "{text}");
    }
    assert!(is_in("0::/web/init.scope\n", "web"));
    assert!(!is_in("0::/web2\n", "web"));
}

#[test]
fn machines_and_lxc_payloads_have_their_names() {
    use Runtime::{Lxc, SystemdNspawn};
    for (path, id, runtime, top) in [
        (
            "machine.slice/systemd-nspawn@web.service/payload/init.scope",
            "web",
            SystemdNspawn,
            "machine.slice/systemd-nspawn@web.service",
        ),
        (
            "machine.slice/machine-my\\x2dweb.scope/payload",
            "my\\x2dweb",
            SystemdNspawn,
            "machine.slice/machine-my\\x2dweb.scope",
        ),
        (
            "machine.slice/machine-lxc\\x2d7\\x2dweb.scope",
            "lxc\\x2d7\\x2dweb",
            Lxc,
            "machine.slice/machine-lxc\\x2d7\\x2dweb.scope",
        ),
        (
            "lxc.payload.web/system.slice/ssh.service",
            "web",
            Lxc,
            "lxc.payload.web",
        ),
        ("lxc.payload/web/init.scope", "web", Lxc, "lxc.payload/web"),
        ("lxc/web/init.scope", "web", Lxc, "lxc/web"),
        (
            "user.slice/user-1000.slice/user@1000.service/app.slice/lxc.payload.web",
            "web",
            Lxc,
            "user.slice/user-1000.slice/user@1000.service/app.slice/lxc.payload.web",
        ),
    ] {
        let found = classify(path).unwrap_or_else(|| panic!("{path} is a container's"));
        assert_eq!((found.id, found.runtime, found.top), (id, runtime, top));
    }
    for path in [
        "lxc",
        "lxc.monitor.web",
        "lxc.payload",
        "lxc.payload.",
        "machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
        "machine.slice/machine-.scope",
        "machine.slice/systemd-nspawn@.service",
        "system.slice/machine-web.scope",
        "system.slice/systemd-machined.service",
    ] {
        assert_eq!(classify(path), None, "{path}");
    }
    assert_eq!(unescape_unit("my\\x2dweb"), "my-web");
    assert_eq!(unescape_unit("a\\x2"), "a\\x2");
    assert_eq!(unescape_unit("\\xzz\\x2d"), "\\xzz-");
}

#[test]
fn layouts_of_every_driver_and_hierarchy_name_the_same_container() {
    use Runtime::{Containerd, CriO, Docker, Other, Podman};
    for (path, runtime) in [
        // Docker: systemd and cgroupfs driver, a parent of its own, rootless.
        ("system.slice/docker-ID.scope", Docker),
        ("docker/ID", Docker),
        ("my.slice/docker-ID.scope", Docker),
        ("actions_job/ID", Other),
        (
            "user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/docker/ID",
            Docker,
        ),
        // Kubernetes: both drivers, each class of service, each runtime.
        ("kubepods/podUID/ID", Other),
        ("kubepods/burstable/podUID/ID", Other),
        (
            "kubepods.slice/kubepods-podUID.slice/cri-containerd-ID.scope",
            Containerd,
        ),
        ("kubepods.slice/kubepods-podUID.slice/crio-ID.scope", CriO),
        (
            "kubepods.slice/kubepods-podUID.slice:cri-containerd:ID",
            Containerd,
        ),
        ("kubelet/kubepods/besteffort/podUID/ID", Other),
        (
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID.slice/cri-containerd-ID.scope",
            Containerd,
        ),
        ("k8s.io/ID", Other),
        // podman: both drivers, pods, split, rootless.
        ("machine.slice/libpod-ID.scope", Podman),
        (
            "machine.slice/machine-libpod_pod_UID.slice/libpod-ID.scope",
            Podman,
        ),
        ("libpod_parent/libpod-ID", Podman),
        ("system.slice/web.service/libpod-payload-ID", Podman),
        (
            "user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            Podman,
        ),
    ] {
        check(path, runtime, path);
        // A private cgroup namespace shows the processes of the container further down.
        check(&format!("{path}/init.scope"), runtime, path);
    }
}

#[test]
fn a_container_within_a_container_is_told_beside_it() {
    let outer = format!("docker/{ID}");
    for (inner, runtime) in [
        (format!("docker/{OTHER}"), Runtime::Docker),
        (format!("docker/{OTHER}/init.scope"), Runtime::Docker),
        (
            format!(
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU.slice/cri-containerd-{OTHER}.scope"
            ),
            Runtime::Containerd,
        ),
        (
            format!("kubelet/kubepods/burstable/podU/{OTHER}"),
            Runtime::Other,
        ),
        (
            format!("docker/{}/libpod-{OTHER}", ID.replace('b', "0")),
            Runtime::Podman,
        ),
    ] {
        let path = format!("/{outer}/{inner}");
        let found = nested(&path, &outer).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((found.id, found.runtime), (OTHER, runtime), "{path}");
        assert_eq!(classify(&path).unwrap().top, outer);
    }
    for inner in ["", "/init.scope", "/system.slice/ssh.service", "/docker"] {
        assert_eq!(nested(&format!("{outer}{inner}"), &outer), None, "{inner}");
    }
    assert_eq!(nested("elsewhere", &outer), None);
}

#[test]
fn an_id_may_be_any_name_but_a_unit() {
    for (path, id) in [
        ("web", Some("web")),
        ("a/b/web", Some("web")),
        ("system.slice/runc-web.scope", Some("web")),
        ("system.slice/crun-my-web.scope", Some("my-web")),
        ("system.slice/session-1.scope", None),
        ("system.slice/ssh.service", None),
        ("system.slice", None),
        ("system.slice/runc-.scope", None),
        ("", None),
        (".hidden", None),
    ] {
        assert_eq!(possible_id(path), id, "{path}");
    }
}

proptest! {
    #[test]
    fn any_text_is_classified_without_panic(path in ".{0,300}") {
        if let Some(found) = classify(&path) {
            prop_assert!(path.contains(found.id));
            let ends = |suffix: &str| found.top.ends_with(suffix);
            prop_assert!(ends(found.id) || ends(".scope") || ends(".service"));
            let _ = nested(&path, found.top);
            let _ = unescape_unit(found.id);
        }
        let _ = is_in(&path, "docker");
        let _ = possible_id(&path);
    }

    #[test]
    fn a_path_below_a_container_classifies_like_the_container(
        child in "[a-z0-9:./@-]{0,80}",
    ) {
        let top = format!("docker/{ID}");
        let path = format!("{top}/{child}");
        let found = classify(&path).unwrap();
        prop_assert_eq!(found.top, top.as_str());
    }
}
