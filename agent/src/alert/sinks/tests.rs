use std::{
    io::{BufRead, BufReader, Read as _, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::{Condvar, Mutex},
    time::Instant,
};

use super::{syslog::Syslog, *};
use crate::config::{SyslogFacility, SyslogTarget};

const DEADLINE: Duration = Duration::from_secs(20);
const TIME: Timestamp = Timestamp(1_795_465_390_123_456_000);

fn event(text: &str) -> Event {
    Event::new(text.as_bytes(), EventKind::Alert(1), TIME)
}

fn syslog(target: &str, queue: u32) -> Sink {
    let target: SyslogTarget = target.parse().unwrap();
    let transport = Syslog::new(&target, SyslogFacility::Local3);
    Sink::spawn(target.to_string(), SinkFormat::Eve, queue, transport).unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "no {what}");
        thread::yield_now();
    }
}

/// `<PRI>1 TIME HOST hydrophone PID MSGID - MSG` (RFC 5424 section 6).
fn assert_message(message: &str, priority: u8, id: &str, body: &str) {
    let fields: Vec<&str> = message.splitn(8, ' ').collect();
    assert_eq!(fields[0], format!("<{priority}>1"), "{message}");
    assert_eq!(fields[1], "2026-11-23T20:23:10.123456Z");
    assert_eq!(fields[3], "hydrophone");
    assert_eq!(fields[4], std::process::id().to_string());
    assert_eq!(&fields[5..], [id, "-", body], "{message}");
}

/// One octet-counted frame (RFC 6587 section 3.4.1).
fn read_frame(reader: &mut impl BufRead) -> String {
    let mut length = Vec::new();
    reader.read_until(b' ', &mut length).unwrap();
    let length: usize = String::from_utf8(length)
        .unwrap()
        .trim_end()
        .parse()
        .unwrap();
    let mut message = vec![0; length];
    reader.read_exact(&mut message).unwrap();
    String::from_utf8(message).unwrap()
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    BufReader::new(stream)
}

#[test]
fn unix_datagrams_survive_a_restart_of_the_receiver() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let receive = |socket: &UnixDatagram| {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut buffer = [0; 2_048];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut sink = syslog(&format!("unix://{}", path.display()), 10);
    sink.send(event("{\"a\":1}"));
    assert_message(&receive(&socket), 19 * 8 + 2, "alert", "{\"a\":1}");

    drop(socket);
    std::fs::remove_file(&path).unwrap();
    sink.send(event("nobody listens"));
    wait_until("loss", || sink.figures().lost == 1);

    let socket = UnixDatagram::bind(&path).unwrap();
    sink.send(Event::new(b"{}", EventKind::Stats, TIME));
    assert_message(&receive(&socket), 19 * 8 + 6, "stats", "{}");
    assert_eq!(
        sink.finish(),
        SinkFigures {
            written: 2,
            lost: 1
        }
    );
}

#[test]
fn udp_sends_one_datagram_an_event() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut sink = syslog(&format!("udp://{}", socket.local_addr().unwrap()), 10);
        for text in ["one", "two"] {
            sink.send(event(text));
            let mut buffer = [0; 2_048];
            let length = socket.recv(&mut buffer).unwrap();
            let message = std::str::from_utf8(&buffer[..length]).unwrap();
            assert_message(message, 19 * 8 + 2, "alert", text);
        }
        assert_eq!(
            sink.finish(),
            SinkFigures {
                written: 2,
                lost: 0
            }
        );
    }
}

#[test]
fn tcp_frames_by_octet_count_and_reconnects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sink = syslog(&format!("tcp://{}", listener.local_addr().unwrap()), 10);
    sink.send(event("line\none"));
    sink.send(event("two"));
    let mut reader = accept(&listener);
    assert_message(&read_frame(&mut reader), 19 * 8 + 2, "alert", "line\none");
    assert_message(&read_frame(&mut reader), 19 * 8 + 2, "alert", "two");

    drop(reader);
    sink.send(event("three"));
    let mut reader = accept(&listener);
    assert_message(&read_frame(&mut reader), 19 * 8 + 2, "alert", "three");
    assert_eq!(
        sink.finish(),
        SinkFigures {
            written: 3,
            lost: 0
        }
    );
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn tcp_keeps_what_fits_the_queue_until_the_receiver_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut sink = syslog(&format!("tcp://{address}"), 2);
    for number in 0..10 {
        sink.send(event(&number.to_string()));
    }
    // One may be in the worker's hands, two wait.
    wait_until("loss", || sink.figures().lost >= 7);
    let lost = sink.figures().lost;

    let listener = TcpListener::bind(address).unwrap();
    let mut reader = accept(&listener);
    assert_message(&read_frame(&mut reader), 19 * 8 + 2, "alert", "0");
    let figures = sink.finish();
    assert_eq!(
        figures,
        SinkFigures {
            written: 10 - lost,
            lost
        }
    );
}

#[test]
fn an_absent_receiver_does_not_keep_the_agent_from_ending() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut sink = syslog(&format!("tcp://{address}"), 100);
    for _ in 0..5 {
        sink.send(event("x"));
    }
    assert_eq!(
        sink.finish(),
        SinkFigures {
            written: 0,
            lost: 5
        }
    );
}

/// A writer that blocks until told otherwise, like a pipe whose reader sleeps.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Vec<u8>>, Mutex<bool>, Condvar)>);

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, open, opened) = &*self.0;
        let _open = opened
            .wait_while(open.lock().unwrap(), |open| !*open)
            .unwrap();
        written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_sleeps_costs_counted_events_and_never_blocks() {
    let gate = Gate::default();
    let mut sink = Sink::spawn(
        "stdout".to_owned(),
        SinkFormat::Eve,
        4,
        stdout::Stdout::new(gate.clone()),
    )
    .unwrap();
    for number in 0..1_000 {
        sink.send(event(&number.to_string()));
    }
    let sent_while_blocked = sink.figures();
    assert!(sent_while_blocked.lost > 0);
    let (written, open, opened) = &*gate.0;
    *open.lock().unwrap() = true;
    opened.notify_all();
    let figures = sink.finish();
    assert_eq!(figures.written + figures.lost, 1_000);
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(
        u64::try_from(written.lines().count()).unwrap(),
        figures.written
    );
    assert!(written.starts_with("0\n"));
}

#[test]
fn a_capture_file_waits_for_a_slow_reader() {
    let gate = Gate::default();
    let sink = Sink::spawn(
        "stdout".to_owned(),
        SinkFormat::Eve,
        1,
        stdout::Stdout::new(gate.clone()),
    );
    let mut sink = Sink {
        overflow: Overflow::Wait,
        ..sink.unwrap()
    };
    let sender = thread::spawn(move || {
        for number in 0..1_000 {
            sink.send(event(&number.to_string()));
        }
        sink.finish()
    });
    let (_, open, opened) = &*gate.0;
    *open.lock().unwrap() = true;
    opened.notify_all();
    assert_eq!(
        sender.join().unwrap(),
        SinkFigures {
            written: 1_000,
            lost: 0
        }
    );
}

#[test]
fn a_reader_that_has_gone_closes_the_sink() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut sink = Sink::spawn(
        "stdout".to_owned(),
        SinkFormat::Eve,
        100,
        stdout::Stdout::new(writer),
    )
    .unwrap();
    sink.send(event("x"));
    wait_until("end of the sink", || sink.is_closed());
    sink.send(event("y"));
    let figures = sink.finish();
    assert_eq!(figures.written + figures.lost, 2);
}
