use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::census::Container;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn container(pairs: &[(&str, &str)]) -> Container {
    Container {
        image: "busybox:1".to_owned(),
        owner: Arc::new(Ownership::of_labels(&labels(pairs))),
        ..Container::default()
    }
}

/// A container of pod `name` in namespace `shop`.
fn pod(name: &str, more: &[(&str, &str)]) -> Container {
    let own = [
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.name", name),
        ("io.kubernetes.pod.uid", "u-1"),
        ("io.kubernetes.container.name", "app"),
    ];
    container(&[&own[..], more].concat())
}

fn service(container: &Container) -> Option<String> {
    let service = container.service(&ServiceBy::ORCHESTRATORS);
    service.map(|service| service.to_string())
}

#[test]
fn a_workload_is_told_or_derived_and_says_so() {
    let hash = ("pod-template-hash", "5d4f8c7b9");
    let revision = ("controller-revision-hash", "7f6");
    let stateful = ("statefulset.kubernetes.io/pod-name", "db-12");
    for (name, more, expected) in [
        (
            "web-5d4f8c7b9-x7k2p",
            &[hash][..],
            Some((WorkloadKind::Deployment, "web", false)),
        ),
        // Names with the separators in them.
        (
            "web-a-b-5d4f8c7b9-x7k2p",
            &[hash],
            Some((WorkloadKind::Deployment, "web-a-b", false)),
        ),
        (
            "db-12",
            &[stateful, revision],
            Some((WorkloadKind::StatefulSet, "db", false)),
        ),
        (
            "node-exporter-x7k2p",
            &[revision],
            Some((WorkloadKind::DaemonSet, "node-exporter", false)),
        ),
        (
            "backup-28999999-x7k2p",
            &[("batch.kubernetes.io/job-name", "backup-28999999")],
            Some((WorkloadKind::Job, "backup-28999999", true)),
        ),
        (
            "old-x7k2p",
            &[("job-name", "old")],
            Some((WorkloadKind::Job, "old", true)),
        ),
        // Labels that do not fit the name tell nothing.
        ("web", &[hash], None),
        ("web-other-x7k2p", &[hash], None),
        ("-5d4f8c7b9-x7k2p", &[hash], None),
        ("5d4f8c7b9-x7k2p", &[hash], None),
        ("web", &[revision], None),
        ("db-11", &[stateful], None),
        (
            "db-",
            &[("statefulset.kubernetes.io/pod-name", "db-")],
            None,
        ),
        ("web-5d4f8c7b9-x7k2p", &[], None),
    ] {
        let container = pod(name, more);
        let of = container.owner.kubernetes.as_ref().unwrap();
        let workload = of.workload.as_ref();
        let workload = workload.map(|of| (of.kind, of.name.as_str(), of.told));
        assert_eq!(workload, expected, "{name} {more:?}");
    }
}

#[test]
fn every_orchestrator_is_read() {
    let arn = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0f9de17a6465404e8b1b2356dc13c2f8";
    let ecs = container(&[
        ("com.amazonaws.ecs.cluster", "prod"),
        ("com.amazonaws.ecs.task-arn", arn),
        ("com.amazonaws.ecs.task-definition-family", "api"),
        ("com.amazonaws.ecs.task-definition-version", "17"),
        ("com.amazonaws.ecs.container-name", "envoy"),
    ]);
    let of = ecs.owner.ecs.as_ref().unwrap();
    assert_eq!(of.task(), "0f9de17a6465404e8b1b2356dc13c2f8");
    assert_eq!(
        (of.revision.as_str(), of.container.as_str()),
        ("17", "envoy")
    );
    assert_eq!(service(&ecs).as_deref(), Some("prod/api"));
    assert_eq!(ecs.owner.task(), Some(of.task()));

    let bare = container(&[("com.hashicorp.nomad.alloc_id", "a-1")]);
    assert_eq!(service(&bare).as_deref(), Some("a-1"));
    let nomad = container(&[
        ("com.hashicorp.nomad.alloc_id", "a-1"),
        ("com.hashicorp.nomad.namespace", "default"),
        ("com.hashicorp.nomad.job_id", "shop"),
        ("com.hashicorp.nomad.task_group_name", "front"),
        ("com.hashicorp.nomad.task_name", "nginx"),
    ]);
    assert_eq!(service(&nomad).as_deref(), Some("default/shop/front"));
    assert_eq!(nomad.owner.namespace(), Some("default"));

    let swarm = container(&[
        ("com.docker.swarm.service.name", "shop_web"),
        ("com.docker.swarm.task.name", "shop_web.1.n9o3"),
        ("com.docker.stack.namespace", "shop"),
    ]);
    assert_eq!(service(&swarm).as_deref(), Some("shop_web"));
    assert_eq!(swarm.owner.namespace(), Some("shop"));

    let compose = container(&[
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "web"),
        ("com.docker.compose.container-number", "2"),
    ]);
    assert_eq!(service(&compose).as_deref(), Some("shop/web"));
    assert_eq!(compose.owner.compose.as_ref().unwrap().number, "2");
    assert_eq!(compose.owner.task(), None);
}

#[test]
fn the_service_of_a_pod_is_its_workload_then_its_application_then_itself() {
    let app = ("app", "guestbook");
    let of_deployment = |name| pod(name, &[("pod-template-hash", "abc"), app]);
    assert_eq!(
        service(&of_deployment("web-abc-x7k2p")).as_deref(),
        Some("shop/web")
    );
    assert_eq!(
        service(&pod("web", &[app])).as_deref(),
        Some("shop/guestbook")
    );
    let recommended = [("app.kubernetes.io/name", "web"), app];
    assert_eq!(
        service(&pod("x", &recommended)).as_deref(),
        Some("shop/web")
    );
    assert_eq!(service(&pod("x", &[])).as_deref(), Some("shop/x"));
}

#[test]
fn without_an_orchestrator_there_is_no_service_unless_images_are_meant() {
    let plain = container(&[("tier", "front")]);
    assert_eq!(*plain.owner, Ownership::default());
    assert_eq!(service(&plain), None);
    let by_image = plain.service(&[ServiceBy::Compose, ServiceBy::Image]);
    assert_eq!(by_image.unwrap().to_string(), "busybox:1");
    // A project alone, as of `docker compose run` with damaged labels, names no service.
    assert_eq!(
        service(&container(&[("com.docker.compose.project", "shop")])),
        None
    );
}

proptest! {
    /// Whatever the labels are: nothing panics and everything is bounded.
    #[test]
    fn hostile_labels(values in prop::collection::vec(".{0,700}", 9)) {
        let keys = [
            "io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "pod-template-hash",
            "controller-revision-hash", "statefulset.kubernetes.io/pod-name",
            "com.amazonaws.ecs.task-arn", "com.hashicorp.nomad.alloc_id",
            "com.docker.swarm.service.name", "com.docker.compose.project",
        ];
        let pairs: Vec<_> = keys.into_iter().zip(values.iter().map(String::as_str)).collect();
        let container = container(&pairs);
        for text in [container.owner.task(), container.owner.namespace()].into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.len() <= MAX_TEXT);
        }
        if let Some(service) = service(&container) {
            prop_assert!(service.len() <= 3 * MAX_TEXT + 2);
        }
    }
}
