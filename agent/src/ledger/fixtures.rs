//! A made-up host for the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Digest, Options, Stamp, Wall,
    chain::Sealer,
    question::{Answers, Certainty, Needle, Question},
    segment::{file_name, list},
    verify::{Verdict, verify},
    writer::{Origin, Writer},
};
use crate::census::Container;

/// 2026-11-23T20:00:00Z.
const START: u64 = 1_795_464_000;
const SECOND: u64 = 1_000_000;

/// So many seconds after the beginning.
pub(super) fn wall(seconds: u64) -> Wall {
    Wall((START + seconds) * SECOND)
}

/// The same by both clocks; the wall clock is `ahead` seconds ahead of what it was.
pub(super) fn stamp(seconds: u64, ahead: i64) -> Stamp {
    Stamp {
        wall: Wall(wall(seconds).0.wrapping_add_signed(ahead * 1_000_000)),
        boottime: (1_000 + seconds) * SECOND,
    }
}

pub(super) fn container(number: u8) -> Container {
    Container {
        id: format!("{number:064x}"),
        name: format!("c{number}"),
        image: "nginx:1.27".to_owned(),
        image_digest: format!("sha256:{}", Digest::of(b"nginx")),
        labels: [("com.docker.compose.service".to_owned(), "web".to_owned())].into(),
        cgroup_id: 1_000 + u64::from(number),
        cgroup_path: format!("docker/{number:064x}"),
        netns: 40_000 + u64::from(number),
        netns_cookie: 50_000 + u64::from(number),
        links: vec![(10 + u32::from(number), format!("veth{number}"))],
        addresses: vec![[10, 0, 0, number].into()],
        assigned: vec![[10, 0, 0, number].into()],
        ..Container::default()
    }
}

/// A ledger and the containers that it is told of.
pub(super) struct Lab {
    pub(super) folder: TempDir,
    pub(super) options: Options,
    pub(super) boot: String,
    pub(super) writer: Option<Writer>,
    pub(super) living: Vec<Arc<Container>>,
    /// Latest first.
    pub(super) gone: Vec<Arc<Container>>,
    pub(super) now: u64,
    pub(super) ahead: i64,
}

impl Lab {
    pub(super) fn new(budget: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            directory: folder.path().join("ledger"),
            budget,
            retention: Duration::from_secs(86_400),
            key_file: None,
            config_digest: Digest::default(),
        };
        Self {
            folder,
            options,
            boot: "boot-1".to_owned(),
            writer: None,
            living: Vec::new(),
            gone: Vec::new(),
            now: 0,
            ahead: 0,
        }
    }

    pub(super) fn started(budget: u64) -> Self {
        let mut lab = Self::new(budget);
        lab.open();
        lab
    }

    pub(super) fn stamp(&self) -> Stamp {
        stamp(self.now, self.ahead)
    }

    /// The agent starts; the census knows of none who has gone before.
    pub(super) fn open(&mut self) {
        self.gone.clear();
        let origin = Origin {
            host: "node1".to_owned(),
            boot: self.boot.clone(),
        };
        self.writer = Some(Writer::open(&self.options, &origin, self.stamp()).unwrap());
        self.publish();
    }

    /// The agent is killed.
    pub(super) fn kill(&mut self) {
        self.writer = None;
    }

    pub(super) fn publish(&mut self) {
        let now = self.stamp();
        if let Some(writer) = &mut self.writer {
            writer.take(&self.living, &self.gone, 0, now).unwrap();
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        let now = self.stamp();
        if let Some(writer) = &mut self.writer {
            writer.tick(now).unwrap();
        }
    }

    /// A container comes, or is changed.
    pub(super) fn run(&mut self, container: Container) {
        self.living.retain(|other| other.id != container.id);
        self.living.push(Arc::new(container));
        self.publish();
    }

    /// A container goes.
    pub(super) fn end(&mut self, number: u8) {
        let id = container(number).id;
        let (ended, living) = self.living.drain(..).partition(|one| one.id == id);
        self.living = living;
        for container in ended {
            let container = Container::clone(&container);
            self.gone.insert(
                0,
                Arc::new(Container {
                    gone_since: Some(self.stamp().wall.0 / SECOND),
                    ..container
                }),
            );
        }
        self.publish();
    }

    pub(super) fn directory(&self) -> &Path {
        &self.options.directory
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let numbers = list(self.directory()).unwrap();
        numbers
            .iter()
            .map(|number| self.directory().join(file_name(*number)))
            .collect()
    }

    /// All lines of all files.
    pub(super) fn text(&self) -> String {
        let texts = self
            .files()
            .into_iter()
            .map(|file| fs::read_to_string(file).unwrap());
        texts.collect()
    }

    pub(super) fn verify(&self) -> Verdict {
        verify(self.directory(), Sealer::default(), None).unwrap()
    }

    pub(super) fn ask(&self, what: &str, from: Wall, to: Wall) -> Answers {
        let question = Question {
            needle: Needle::parse(what),
            port: None,
            from,
            to,
        };
        question.ask(self.directory(), Sealer::default()).unwrap()
    }

    /// Names and certainties of who held it then.
    pub(super) fn who(&self, what: &str, seconds: u64) -> Vec<(String, Certainty)> {
        let at = wall(seconds);
        let answers = self.ask(what, at, at).answers.into_iter();
        answers
            .map(|answer| (answer.facts.name, answer.certainty))
            .collect()
    }
}
