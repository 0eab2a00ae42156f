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
    let unified = format!("4:memory:/x\n0::/docker/{ID}\n");
    assert_eq!(classify_process(&unified).unwrap().id, ID);
    assert_eq!(
        unified_path(&unified),
        Some(format!("docker/{ID}").as_str())
    );
    let v1_only = format!("9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n0::/\n");
    assert_eq!(
        classify_process(&v1_only).unwrap().top,
        format!("docker/{ID}")
    );
    assert_eq!(unified_path(&v1_only), Some(""));
    // Where hierarchies differ, cgroup2 decides.
    let both = format!("4:memory:/docker/{OTHER}\n0::/docker/{ID}\n");
    assert_eq!(classify_process(&both).unwrap().id, ID);
    let host = "9:name=systemd:/\n4:memory:/user.slice\n0::/init.scope\n";
    assert_eq!(classify_process(host), None);
    for broken in ["", "0", "0:", "::", "0::", "nonsense\n\n::::"] {
        assert_eq!(classify_process(broken), None, "{broken}");
    }
}

proptest! {
    #[test]
    fn any_text_is_classified_without_panic(path in ".{0,300}") {
        if let Some(found) = classify(&path) {
            prop_assert!(path.contains(found.id));
            prop_assert!(found.top.ends_with(found.id) || found.top.ends_with(".scope"));
        }
        let _ = classify_process(&path);
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
