//! From a cgroup id to its path and its container, in the host's own cgroup2 cgroups. Root.

use std::{fs, io, path::PathBuf};

use hydrophone::census::{
    Runtime,
    cgroup::{Cgroups, FoundContainer, Group, tree},
};

const ID: &str = "b341e9d2e43421840039ccaf35b0683c2e6af88aecc09ed35e3a6221099e85a1";

/// A cgroup that is removed with its children when the test ends.
struct Made(PathBuf);

impl Made {
    fn new(cgroups: &Cgroups, path: &str) -> io::Result<Self> {
        let directory = cgroups.root().join(path);
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn an_id_leads_to_its_path_by_handle_and_by_walking() {
    let cgroups = Cgroups::find().unwrap();
    let parent = format!("hydrophone-test-{}-a", std::process::id());
    let _parent = Made::new(&cgroups, &parent).unwrap();
    let path = format!("{parent}/docker-{ID}.scope");
    let group = Made::new(&cgroups, &path).unwrap();
    let id = tree::id_of(&group.0).unwrap();
    assert_eq!(cgroups.path_of(id).as_deref(), Some(path.as_str()));
    assert_eq!(
        tree::find_by_id(cgroups.root(), id).as_deref(),
        Some(path.as_str())
    );
    drop(group);
    assert_eq!(cgroups.path_of(id), None);
    assert_eq!(cgroups.look_up(id), None);
    assert_eq!(cgroups.path_of(cgroups.root_id()).as_deref(), Some(""));
}

#[test]
fn a_group_inside_a_container_is_the_containers() {
    let cgroups = Cgroups::find().unwrap();
    let parent = format!("hydrophone-test-{}-b", std::process::id());
    let _parent = Made::new(&cgroups, &parent).unwrap();
    let top = Made::new(&cgroups, &format!("{parent}/docker-{ID}.scope")).unwrap();
    let child = Made::new(&cgroups, &format!("{parent}/docker-{ID}.scope/init.scope")).unwrap();
    let expected = FoundContainer {
        id: ID.to_owned(),
        runtime: Runtime::Docker,
        path: format!("{parent}/docker-{ID}.scope"),
        cgroup_id: tree::id_of(&top.0).unwrap(),
        nested: None,
    };
    let child_id = tree::id_of(&child.0).unwrap();
    assert_eq!(
        cgroups.look_up(child_id),
        Some(Group::Container(expected.clone()))
    );

    let found = tree::walk(cgroups.root(), &parent, cgroups.declared());
    assert_eq!(found.containers, [expected]);
    assert_eq!(found.host.len(), 1, "{:?}", found.host);
    assert_eq!(found.skipped, 0);
}

#[test]
fn a_process_is_found_below_the_top_cgroup() {
    let cgroups = Cgroups::find().unwrap();
    let parent = format!("hydrophone-test-{}-c", std::process::id());
    let _parent = Made::new(&cgroups, &parent).unwrap();
    let child = Made::new(&cgroups, &format!("{parent}/inner")).unwrap();
    assert_eq!(tree::first_process(cgroups.root(), &parent), None);
    let mut process = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    fs::write(child.0.join("cgroup.procs"), process.id().to_string()).unwrap();
    assert_eq!(
        tree::first_process(cgroups.root(), &parent),
        Some(process.id())
    );
    process.kill().unwrap();
    process.wait().unwrap();
}
