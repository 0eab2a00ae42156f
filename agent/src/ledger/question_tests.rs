use std::fs;

use super::{
    super::fixtures::{Lab, container, wall},
    *,
};
use crate::census::{Container, UnknownReason};

const BUDGET: u64 = 1 << 20;

fn certain(name: &str) -> Vec<(String, Certainty)> {
    vec![(name.to_owned(), Certainty::Certain)]
}

/// One has 10.0.0.1 from 10 s to 20 s, another from 30 s to 40 s.
fn reused() -> Lab {
    let mut lab = Lab::started(BUDGET);
    lab.pass(10);
    lab.run(container(1));
    lab.pass(10);
    lab.end(1);
    lab.pass(10);
    let heir = Container {
        addresses: container(1).addresses,
        assigned: container(1).assigned,
        links: vec![(11, "veth9".to_owned())],
        ..container(2)
    };
    lab.run(heir);
    lab.pass(10);
    lab.end(2);
    lab.pass(10);
    lab
}

#[test]
fn an_address_that_is_used_again_does_not_rename_the_past() {
    let lab = reused();
    for (seconds, who) in [(10, "c1"), (19, "c1"), (30, "c2"), (39, "c2")] {
        assert_eq!(lab.who("10.0.0.1", seconds), certain(who), "at {seconds} s");
        assert_eq!(
            lab.who("11", seconds),
            certain(who),
            "by ifindex at {seconds} s"
        );
    }
    for seconds in [0, 9, 20, 29, 40, 49] {
        assert_eq!(lab.who("10.0.0.1", seconds), [], "at {seconds} s");
    }
    assert_eq!(lab.who("veth1", 15), certain("c1"));
    assert_eq!(lab.who("1001", 15), certain("c1"), "by cgroup id");
    assert_eq!(lab.who("c1", 15), certain("c1"), "by name");
    assert_eq!(
        lab.who(&container(1).id[..60], 15),
        [("c1".to_owned(), Certainty::Certain)]
    );
    let both = lab.ask("10.0.0.1", wall(0), wall(60)).answers;
    let spans: Vec<_> = both
        .iter()
        .map(|one| (one.held_from, one.held_to))
        .collect();
    assert_eq!(
        spans,
        [(wall(10), Some(wall(20))), (wall(30), Some(wall(40)))]
    );
    let nobody = lab.ask("10.0.0.1", wall(25), wall(25));
    assert_eq!(
        nobody.unknown.as_deref(),
        Some("the ledger has nobody who held it then")
    );
}

#[test]
fn what_lies_before_the_ledger_is_said_to() {
    let lab = reused();
    let at = Wall(wall(0).0 - 1);
    let unknown = lab.ask("10.0.0.1", at, at).unknown.unwrap();
    assert!(
        unknown.contains("does not reach back so far: it begins at 2026-11-23T20:00:00"),
        "{unknown}"
    );
    let empty = Lab::new(BUDGET);
    fs::create_dir(empty.directory()).unwrap();
    let unknown = empty.ask("10.0.0.1", at, at).unknown.unwrap();
    assert_eq!(unknown, "the ledger is empty");
}

#[test]
fn a_name_is_that_of_its_time_and_one_told_later_completes() {
    let mut lab = Lab::started(BUDGET);
    let unnamed = Container {
        name: String::new(),
        image: String::new(),
        addresses: Vec::new(),
        assigned: Vec::new(),
        unknown: Some(UnknownReason::RuntimePending),
        ..container(1)
    };
    lab.run(unnamed);
    lab.pass(2);
    lab.run(container(1));
    lab.pass(18);
    lab.run(Container {
        name: "renamed".to_owned(),
        ..container(1)
    });
    lab.pass(10);
    lab.end(1);
    lab.pass(1);
    assert_eq!(lab.who("1001", 1), certain("c1"));
    assert_eq!(lab.who("1001", 10), certain("c1"));
    assert_eq!(lab.who("1001", 25), certain("renamed"));
    assert_eq!(lab.who("c1", 25), []);
    // Its address was there before it was seen.
    let early = lab.ask("10.0.0.1", wall(1), wall(1)).answers;
    assert_eq!(early[0].certainty, Certainty::Likely);
    assert!(
        early[0].reason.contains("2000 ms later"),
        "{:?}",
        early[0].reason
    );
}

#[test]
fn one_that_is_named_after_it_has_gone_is_named() {
    let mut lab = Lab::started(BUDGET);
    lab.run(Container {
        name: String::new(),
        addresses: Vec::new(),
        assigned: Vec::new(),
        unknown: Some(UnknownReason::RuntimePending),
        ..container(1)
    });
    lab.pass(1);
    lab.end(1);
    lab.pass(1);
    lab.gone = vec![std::sync::Arc::new(container(1))];
    lab.publish();
    assert_eq!(lab.who("1001", 0), certain("c1"));
    assert_eq!(lab.who("c1", 0), [("c1".to_owned(), Certainty::Likely)]);
    assert_eq!(
        lab.who("10.0.0.1", 0),
        [("c1".to_owned(), Certainty::Likely)]
    );
    assert_eq!(lab.who("10.0.0.1", 1), []);
}

#[test]
fn while_no_agent_ran_nothing_is_certain() {
    let mut lab = Lab::started(BUDGET);
    for number in [1, 2] {
        lab.run(container(number));
    }
    lab.pass(10);
    lab.kill();
    let tail = lab.ask("10.0.0.1", wall(20), wall(20)).answers;
    assert_eq!(tail[0].certainty, Certainty::Possible);
    assert!(
        tail[0]
            .reason
            .contains("the last line was written at 2026-11-23T20:00:00"),
        "{tail:?}"
    );
    lab.now = 100;
    lab.living.retain(|one| one.name == "c1");
    lab.open();
    assert_eq!(
        lab.who("10.0.0.1", 50),
        [("c1".to_owned(), Certainty::Likely)]
    );
    assert_eq!(lab.who("10.0.0.1", 100), certain("c1"));
    let unsure = lab.ask("10.0.0.2", wall(50), wall(50)).answers;
    assert_eq!(unsure[0].certainty, Certainty::Possible);
    assert!(
        unsure[0]
            .reason
            .starts_with("last seen 2026-11-23T20:00:00"),
        "{unsure:?}"
    );
    assert_eq!(
        (unsure[0].gone, unsure[0].last_seen),
        (Some(wall(100)), Some(wall(0)))
    );
    assert_eq!(lab.who("10.0.0.2", 101), []);
    let unknown = lab.ask("10.0.0.3", wall(50), wall(50)).unknown.unwrap();
    assert!(unknown.starts_with("no agent wrote from"), "{unknown}");
}

#[test]
fn a_clock_that_is_set_back_makes_a_time_that_was_twice() {
    let mut lab = Lab::started(BUDGET);
    lab.pass(60);
    lab.run(container(1));
    lab.pass(60);
    lab.end(1);
    lab.pass(60);
    lab.ahead = -120;
    lab.pass(1);
    // By the wall clock it is 61 s again.
    let heir = Container {
        addresses: container(1).addresses,
        assigned: Vec::new(),
        ..container(2)
    };
    lab.run(heir);
    lab.pass(60);
    let twice = lab.ask("10.0.0.1", wall(90), wall(90));
    let names: Vec<_> = twice
        .answers
        .iter()
        .map(|one| one.facts.name.as_str())
        .collect();
    assert_eq!(names, ["c1", "c2"]);
    assert!(
        twice
            .notes
            .iter()
            .any(|note| note.contains("more than once")),
        "{:?}",
        twice.notes
    );
    // One that lives over the step holds it before and after.
    lab.ahead = 10_000;
    lab.pass(1);
    let skipped = lab
        .ask("10.0.0.9", wall(5_000), wall(5_000))
        .unknown
        .unwrap();
    assert!(skipped.starts_with("there was no such time"), "{skipped}");
}

#[test]
fn those_who_share_an_address_answer_together() {
    let mut lab = Lab::started(BUDGET);
    lab.run(container(1));
    lab.run(Container {
        netns_cookie: container(1).netns_cookie,
        addresses: container(1).addresses,
        assigned: Vec::new(),
        joins: Some(container(1).id),
        ..container(2)
    });
    lab.run(Container {
        addresses: container(1).addresses,
        assigned: Vec::new(),
        ..container(3)
    });
    let answers = lab.ask("10.0.0.1", wall(0), wall(0)).answers;
    let known: Vec<_> = answers
        .iter()
        .map(|one| (one.facts.name.as_str(), one.certainty))
        .collect();
    // The thief, which took the address by itself, is no surer than that.
    assert_eq!(
        known,
        [
            ("c1", Certainty::Certain),
            ("c2", Certainty::Likely),
            ("c3", Certainty::Likely)
        ]
    );
    assert!(answers[0].reason.contains("shared"), "{answers:?}");
    assert!(!answers[2].reason.contains("shared"), "{answers:?}");
}

#[test]
fn what_is_asked_for_is_told_apart() {
    for (text, needle) in [
        ("10.0.0.1", Needle::Address([10, 0, 0, 1].into())),
        ("::ffff:10.0.0.1", Needle::Address([10, 0, 0, 1].into())),
        (
            "02:42:AC:12:00:05",
            Needle::Mac("02:42:ac:12:00:05".to_owned()),
        ),
        (
            "02-42-ac-12-00-05",
            Needle::Mac("02:42:ac:12:00:05".to_owned()),
        ),
        ("02:42:ac:12:00", Needle::Text("02:42:ac:12:00".to_owned())),
        ("1001", Needle::Text("1001".to_owned())),
    ] {
        assert_eq!(Needle::parse(text), needle);
    }
}

#[test]
fn a_ledger_that_was_changed_says_so_with_each_answer() {
    let lab = reused();
    let file = &lab.files()[0];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("c2", "c8")).unwrap();
    let answers = lab.ask("10.0.0.1", wall(15), wall(15));
    assert!(
        answers.notes[0].contains("hydrophone ledger verify"),
        "{:?}",
        answers.notes
    );
}

/// Half a line is left by a crash: what the next agent writes about it is of its own time.
#[test]
fn a_torn_end_does_not_speak_for_the_time_after_it() {
    let mut lab = Lab::started(BUDGET);
    lab.run(container(1));
    lab.pass(10);
    lab.kill();
    let file = lab.files().pop().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "{\"seq\":").unwrap();
    lab.now = 100;
    lab.living.clear();
    lab.open();
    assert!(lab.text().contains("\"cut\""));
    let unsure = lab.ask("10.0.0.1", wall(50), wall(50)).answers;
    assert_eq!(unsure[0].certainty, Certainty::Possible, "{unsure:?}");
    assert_eq!(unsure[0].last_seen, Some(wall(0)));
    assert!(lab.verify().is_sound());
}
