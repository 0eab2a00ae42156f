use hydrophone_common::{LAYOUT_VERSION, process::PATH_ROOM};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn comm(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

fn event(pid: u32, name: &str) -> ProcessEvent {
    ProcessEvent {
        version: LAYOUT_VERSION,
        call: 0,
        family: 2,
        protocol: 6,
        path_length: 0,
        port: 80,
        pid,
        uid: 33,
        timestamp_ns: 0,
        cgroup_id: 7,
        namespace: 5,
        socket: 1,
        comm: comm(name),
        address: [0; 16],
        path: [0; PATH_ROOM],
    }
}

fn dossier(pid: u32, start: u64, executable: &str) -> Dossier {
    Dossier {
        pid,
        start,
        executable: executable.to_owned(),
        ..Dossier::default()
    }
}

fn process(pid: u32, name: &str) -> Process {
    Process {
        pid,
        uid: 33,
        comm: comm(name),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

#[test]
fn a_flow_is_its_callers_and_not_its_successors() {
    let mut table = Table::default();
    let (first, second) = (dossier(9, 100, "/bin/curl"), dossier(9, 900, "/bin/curl"));
    table.admit(Call::Connect, &event(9, "curl"), at(10), Ok(first.clone()));
    table.admit(Call::Connect, &event(9, "curl"), at(20), Ok(second));
    let report = table.caller(&process(9, "curl"), at(15)).unwrap().report();
    assert_eq!(report.dossier.as_deref(), Some(&first));
    assert_eq!(report.doubt, None);
    assert_eq!(table.caller(&process(9, "curl"), at(5)), None);
    assert_eq!(table.caller(&process(8, "curl"), at(15)), None);
}

#[test]
fn another_name_than_the_executables_is_unsure_unless_it_was_executed_so() {
    let mut table = Table::default();
    let busybox = dossier(9, 100, "/bin/busybox");
    table.admit(Call::Connect, &event(9, "kworker"), at(1), Ok(busybox));
    let report = table
        .caller(&process(9, "kworker"), at(1))
        .unwrap()
        .report();
    assert_eq!(report.doubt, Some(Doubt::NameDiffers));
    let python = dossier(11, 100, "/usr/bin/python3.11");
    table.admit(Call::Connect, &event(11, "python3"), at(1), Ok(python));
    let report = table
        .caller(&process(11, "python3"), at(1))
        .unwrap()
        .report();
    assert_eq!(report.doubt, None);

    let script = dossier(10, 200, "/usr/bin/dash");
    table.admit(
        Call::Execute,
        &event(10, "run.sh"),
        at(2),
        Ok(script.clone()),
    );
    table.admit(
        Call::Connect,
        &event(10, "run.sh"),
        at(3),
        Ok(script.clone()),
    );
    assert_eq!(
        table
            .caller(&process(10, "run.sh"), at(3))
            .unwrap()
            .report()
            .doubt,
        None
    );
    table.admit(Call::Connect, &event(10, "other"), at(4), Ok(script));
    assert_eq!(
        table
            .caller(&process(10, "other"), at(4))
            .unwrap()
            .report()
            .doubt,
        Some(Doubt::Renamed)
    );
}

#[test]
fn one_that_has_gone_is_who_was_executed() {
    let mut table = Table::default();
    let wget = dossier(9, 100, "/bin/wget");
    let soon = Timestamp(SECOND + 5_000_000);
    table.admit(Call::Execute, &event(9, "exe"), at(1), Ok(wget.clone()));
    table.admit(Call::Connect, &event(9, "wget"), soon, Err(Missing::Exited));
    let report = table.caller(&process(9, "wget"), soon).unwrap().report();
    assert_eq!(
        (report.dossier.as_deref(), report.doubt),
        (Some(&wget), None)
    );
    // Later it may be another that has its pid.
    table.admit(
        Call::Connect,
        &event(9, "wget"),
        at(60),
        Err(Missing::Exited),
    );
    let report = table.caller(&process(9, "wget"), at(60)).unwrap().report();
    assert_eq!(
        (report.dossier.as_deref(), report.doubt),
        (Some(&wget), Some(Doubt::Exited))
    );
    // In another cgroup it is another.
    let mut other = event(9, "wget");
    other.cgroup_id = 8;
    table.admit(Call::Connect, &other, at(61), Err(Missing::Reused));
    let report = table.caller(&process(9, "wget"), at(61)).unwrap().report();
    assert_eq!(
        (report.dossier, report.doubt),
        (None, Some(Doubt::PidReused))
    );
    assert_eq!(table.missed, 1);
}

#[test]
fn sharers_of_a_port_are_all_named() {
    let mut table = Table::default();
    let local: SocketAddr = "10.0.0.1:80".parse().unwrap();
    table.admit(
        Call::Bind,
        &event(9, "nginx"),
        at(1),
        Ok(dossier(9, 1, "/nginx")),
    );
    let report = table.bound_to(5, 6, local).unwrap();
    assert_eq!((report.pid, report.doubt), (9, None));
    table.admit(
        Call::Bind,
        &event(10, "nginx"),
        at(1),
        Ok(dossier(10, 1, "/nginx")),
    );
    let report = table.bound_to(5, 6, local).unwrap();
    assert_eq!(report.doubt, Some(Doubt::SharedSocket));
    assert_eq!((report.pid, report.candidates[0].pid), (10, 9));
    assert_eq!(table.bound_to(4, 6, local), None);
    assert_eq!(table.bound_to(5, 17, local), None);
    let mut elsewhere = event(11, "nginx");
    elsewhere.address[..4].copy_from_slice(&[10, 0, 0, 2]);
    elsewhere.port = 81;
    table.admit(Call::Bind, &elsewhere, at(1), Err(Missing::Exited));
    assert_eq!(table.bound_to(5, 6, "10.0.0.1:81".parse().unwrap()), None);
}

#[test]
fn it_stays_within_its_bounds() {
    let mut table = Table::default();
    for pid in 0..40_000 {
        let mut event = event(pid % 20_000, "x");
        event.port = u16::try_from(pid % 60_000).unwrap();
        event.namespace = u64::from(pid);
        let dossier = Ok(dossier(pid, pid.into(), "/x"));
        table.admit(Call::Bind, &event, at(pid.into()), dossier);
    }
    assert_eq!(table.len(), CALLS_MAX);
    assert!(table.calls.values().map(VecDeque::len).sum::<usize>() <= CALLS_MAX);
    assert_eq!(table.bound_order.len(), BOUND_MAX);
    assert!(table.bound.values().map(VecDeque::len).sum::<usize>() <= BOUND_MAX);
    assert!(table.evicted > 0);
    for second in 0..100 {
        table.admit(
            Call::Connect,
            &event(1, "x"),
            at(100_000 + second),
            Ok(dossier(1, second, "/x")),
        );
    }
    assert!(table.calls[&1].len() <= CALLS_OF_ONE);
}
