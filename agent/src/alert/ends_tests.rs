use std::sync::Arc;

use hydrophone_inspect::{
    Finding, FindingSink as _,
    rule::{IdentityConditions, RuleSetBuilder, Variables},
};

use super::*;
use crate::{
    alert::{AlertStage, CaptureResolver, fixtures},
    census::{Evidence, Ownership},
    config,
};

const ALL: [ServiceBy; 5] = ServiceBy::ORCHESTRATORS;

/// What a rule with these options asks of the two ends.
fn conditions(source: &str, options: &str) -> Arc<IdentityConditions> {
    let mut builder = RuleSetBuilder::new(Variables::default());
    let rule = format!(
        "alert tcp {source} any -> any any (msg:\"t\"; content:\"x\"; {options} sid:1; rev:1;)"
    );
    builder.add_source("test", &rule);
    let (set, diagnostics) = builder.build();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    set.rules.first().unwrap().conditions().unwrap()
}

fn met_by(source: &Identity, destination: &Identity, by: &[ServiceBy], options: &str) -> bool {
    let finding = fixtures::finding();
    Ends::new(&finding.context, source, destination, by).meet(&conditions("any", options))
}

fn met(source: &Identity, destination: &Identity, options: &str) -> bool {
    met_by(source, destination, &ALL, options)
}

fn external(source: &Identity, destination: &Identity) -> bool {
    let finding = fixtures::finding();
    let ends = Ends::new(&finding.context, source, destination, &ALL);
    ends.meet(&conditions("$EXTERNAL_NET", ""))
}

/// A container of which nothing groups it with others.
fn plain(name: &str, id: u64) -> Container {
    Container {
        owner: Arc::default(),
        netns: id,
        ..fixtures::container(name, id)
    }
}

fn pod(name: &str, id: u64, labels: &[(&str, &str)]) -> Identity {
    let mut container = plain("app", id);
    let own = [
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.name", name),
        ("io.kubernetes.pod.uid", name),
    ];
    container.labels = own
        .iter()
        .chain(labels)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    container.owner = Arc::new(Ownership::of_labels(&container.labels));
    fixtures::identity(container)
}

#[test]
fn texts_are_those_of_their_end() {
    let web = pod("web-1", 7, &[("tier", "front")]);
    let db = fixtures::identity(fixtures::container("db", 8));
    for (options, expected) in [
        ("src.container.name; content:\"app\";", true),
        ("dst.container.name; content:\"app\";", false),
        (
            "dst.container.image; content:\"db|3a|1\"; startswith;",
            true,
        ),
        ("dst.container.image_digest; content:\"sha256|3a|\";", true),
        ("src.container.label; content:\"tier=front\";", true),
        ("src.container.label; content:\"tier=back\";", false),
        ("dst.compose.project; content:\"shop\";", true),
        ("dst.compose.service; content:\"db\"; endswith;", true),
        ("src.compose.service; content:\"db\";", false),
        ("src.k8s.namespace; content:\"shop\";", true),
        ("src.k8s.pod; content:\"web-1\";", true),
        ("dst.k8s.pod; content:\"web-1\";", false),
        ("src.task; content:\"web-1\"; bsize:5;", true),
        ("dst.task; content:\"web-1\";", false),
        ("src.service; content:\"shop/web-1\"; bsize:10;", true),
        ("dst.service; content:\"shop/db\"; bsize:7;", true),
        ("src.k8s.workload; content:\"web\";", false),
        ("src.ecs.cluster; content:\"prod\";", false),
        ("src.process.comm; content:\"curl\";", true),
        ("dst.process.comm; content:\"curl\";", false),
    ] {
        assert_eq!(met(&web, &db, options), expected, "{options}");
    }
}

#[test]
fn relations_of_two_containers() {
    let web = fixtures::identity(fixtures::container("web", 7));
    let db = fixtures::identity(Container {
        netns: 1,
        ..fixtures::container("db", 8)
    });
    for (source, destination, options, expected) in [
        (&web, &web, "same_container;", true),
        (&web, &db, "same_container;", false),
        (&web, &db, "same_container:false;", true),
        (&web, &web, "same_pod;", true),
        (&web, &db, "same_pod;", false),
        (&web, &db, "same_service;", false),
        (&web, &db, "src.is_container; dst.is_container;", true),
        (&web, &fixtures::host(), "dst.is_host;", true),
        (&web, &fixtures::host(), "src.is_host;", false),
        (&web, &fixtures::UNKNOWN, "dst.is_container;", false),
        (&fixtures::UNKNOWN, &web, "same_container;", false),
    ] {
        assert_eq!(met(source, destination, options), expected, "{options}");
    }
}

#[test]
fn a_pod_is_told_by_its_uid_or_its_namespace() {
    let options = "same_pod;";
    let (one, other) = (pod("web-1", 7, &[]), pod("web-1", 8, &[]));
    assert!(met(&one, &other, options));
    assert!(!met(&one, &pod("web-2", 8, &[]), options));

    let joined = |id, host_network| {
        fixtures::identity(Container {
            netns: 5,
            host_network,
            ..plain("x", id)
        })
    };
    assert!(met(&joined(7, false), &joined(8, false), options));
    assert!(!met(&joined(7, true), &joined(8, true), options));
}

#[test]
fn a_service_is_told_by_the_first_way_that_knows_one() {
    let options = "same_service;";
    let replica = |id| fixtures::identity(fixtures::container("web", id));
    assert!(met(&replica(7), &replica(8), options));
    // One image alone makes no service, unless that is asked for.
    let alike = |id| fixtures::identity(plain("web", id));
    assert!(!met(&alike(7), &alike(8), options));
    assert!(external(&alike(7), &alike(8)));
    assert!(met_by(&alike(7), &alike(8), &[ServiceBy::Image], options));
    // A stranger of the same image is no part of the compose service.
    assert!(!met(&replica(7), &alike(8), options));

    let web = |name, id| pod(name, id, &[("app", "web")]);
    assert!(met(&web("web-1", 7), &web("web-2", 8), options));
    assert!(!met(
        &web("web-1", 7),
        &pod("db-1", 8, &[("app", "db")]),
        options
    ));
    assert!(!met(&pod("a", 7, &[]), &pod("b", 8, &[]), options));
}

#[test]
fn external_is_who_is_not_known_to_be_of_the_service() {
    let web = fixtures::identity(fixtures::container("web", 7));
    let replica = fixtures::identity(fixtures::container("web", 9));
    let db = fixtures::identity(fixtures::container("db", 8));
    assert!(external(&web, &db));
    assert!(!external(&web, &replica));
    assert!(external(&fixtures::UNKNOWN, &web));
    assert!(external(&fixtures::UNKNOWN, &fixtures::UNKNOWN));
    assert!(external(&fixtures::host(), &web));
}

/// In a shared namespace it could be either: what holds of one alone is not known to hold.
#[test]
fn an_end_that_could_be_several_is_none_of_them_for_sure() {
    let web = fixtures::container("web", 7);
    let shared = Identity::Container {
        container: Arc::new(web.clone()),
        or: vec![Arc::new(fixtures::container("sidecar", 8))],
        by: Evidence::Link,
    };
    let web = fixtures::identity(web);
    assert!(!met(&shared, &web, "same_container;"));
    assert!(external(&shared, &web));
    assert!(met(
        &shared,
        &web,
        "src.container.name; content:\"sidecar\";"
    ));
}

#[test]
fn what_does_not_hold_is_dropped_and_counted() {
    let mut stage = AlertStage::new(&config::Alert::default(), CaptureResolver, Vec::new());
    for (source, options) in [("any", "same_pod;"), ("$EXTERNAL_NET", "")] {
        stage.finding(Finding {
            conditions: Some(conditions(source, options)),
            ..fixtures::finding()
        });
    }
    stage.finding(fixtures::finding());
    let figures = stage.finish();
    assert_eq!(
        (
            figures.findings,
            figures.emitted,
            figures.conditions_not_met
        ),
        (3, 2, 1)
    );
}
