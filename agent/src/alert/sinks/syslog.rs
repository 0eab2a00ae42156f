//! RFC 5424 messages over a Unix datagram socket, UDP (RFC 5426) or TCP (RFC 6587).

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::unix::net::UnixDatagram,
    time::Duration,
};

use syslog_fmt::{
    Facility, Severity,
    v5424::{self, Formatter},
};

use super::{
    Event, EventKind,
    worker::{Failure, Transport},
};
use crate::{
    alert::time::SyslogTime,
    config::{SyslogFacility, SyslogTarget},
};

/// For connecting and for each write: a receiver that hangs holds up this sink only.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Syslog {
    formatter: Formatter,
    target: SyslogTarget,
    connection: Option<Connection>,
    message: Vec<u8>,
    frame: Vec<u8>,
}

enum Connection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Syslog {
    pub(super) fn new(target: &SyslogTarget, facility: SyslogFacility) -> Self {
        let name = rustix::system::uname();
        let hostname = name
            .nodename()
            .to_str()
            .ok()
            .filter(|name| is_field(name, 255));
        let pid = std::process::id().to_string();
        Self {
            formatter: v5424::Config {
                facility: facility_code(facility),
                hostname,
                app_name: Some("hydrophone"),
                proc_id: Some(&pid),
            }
            .into_formatter(),
            target: target.clone(),
            connection: None,
            message: Vec::new(),
            frame: Vec::new(),
        }
    }

    /// The event as the message, without a byte order mark (MSG-ANY): JSON readers trip over one.
    fn format(&mut self, event: &Event) -> io::Result<()> {
        let (severity, id) = match event.kind {
            EventKind::Alert(severity) => (alert_severity(severity), "alert"),
            EventKind::Requested(name) => (Severity::Info, name),
            EventKind::Stats => (Severity::Info, "stats"),
        };
        let time = SyslogTime(event.timestamp).to_string();
        self.message.clear();
        self.formatter.write_without_data(
            &mut self.message,
            severity,
            v5424::Timestamp::PreformattedStr(&time),
            v5424::Msg::NonUnicodeBytes(&event.line),
            Some(id),
        )
    }

    fn send(&mut self) -> io::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.target)?),
        };
        match connection {
            Connection::Unix(socket) => socket.send(&self.message).map(|_| ()),
            Connection::Udp(socket) => socket.send(&self.message).map(|_| ()),
            Connection::Tcp(stream) => {
                if has_closed(stream)? {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                self.frame.clear();
                write!(self.frame, "{} ", self.message.len())?;
                self.frame.extend_from_slice(&self.message);
                stream.write_all(&self.frame)
            }
        }
    }
}

impl Transport for Syslog {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        self.format(event).map_err(Failure::Lost)?;
        let had_connection = self.connection.is_some();
        let mut sent = self.send();
        if sent.is_err() && had_connection {
            // The receiver may have been restarted since.
            self.connection = None;
            sent = self.send();
        }
        sent.map_err(|error| {
            self.connection = None;
            match self.target {
                SyslogTarget::Tcp(_) => Failure::Retry(error),
                // Nobody is there to tell when a datagram receiver is back.
                SyslogTarget::Unix(_) | SyslogTarget::Udp(_) => Failure::Lost(error),
            }
        })
    }
}

fn connect(target: &SyslogTarget) -> io::Result<Connection> {
    match target {
        SyslogTarget::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            socket.connect(path)?;
            Ok(Connection::Unix(socket))
        }
        SyslogTarget::Udp(address) => first(address, |address| {
            let local: SocketAddr = if address.is_ipv4() {
                ([0, 0, 0, 0], 0).into()
            } else {
                ([0_u16; 8], 0).into()
            };
            let socket = UdpSocket::bind(local)?;
            socket.connect(address)?;
            Ok(Connection::Udp(socket))
        }),
        SyslogTarget::Tcp(address) => first(address, |address| {
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(Connection::Tcp(stream))
        }),
    }
}

/// The first of the name's addresses that works.
fn first(
    address: &str,
    connect: impl Fn(SocketAddr) -> io::Result<Connection>,
) -> io::Result<Connection> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match connect(address) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether the receiver has closed: what is written after that is lost without an error. (What is
/// already in flight then is lost too: RFC 6587 has no acknowledgement.)
fn has_closed(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(length) => Ok(length == 0),
        Err(error) => Ok(error.kind() != io::ErrorKind::WouldBlock),
    }
}

/// Printable ASCII without spaces (RFC 5424 section 6).
fn is_field(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const fn alert_severity(severity: u8) -> Severity {
    match severity {
        0 | 1 => Severity::Crit,
        2 => Severity::Err,
        3 => Severity::Warning,
        _ => Severity::Notice,
    }
}

const fn facility_code(facility: SyslogFacility) -> Facility {
    match facility {
        SyslogFacility::User => Facility::User,
        SyslogFacility::Daemon => Facility::Daemon,
        SyslogFacility::Auth => Facility::Auth,
        SyslogFacility::Authpriv => Facility::Authpriv,
        SyslogFacility::Local0 => Facility::Local0,
        SyslogFacility::Local1 => Facility::Local1,
        SyslogFacility::Local2 => Facility::Local2,
        SyslogFacility::Local3 => Facility::Local3,
        SyslogFacility::Local4 => Facility::Local4,
        SyslogFacility::Local5 => Facility::Local5,
        SyslogFacility::Local6 => Facility::Local6,
        SyslogFacility::Local7 => Facility::Local7,
    }
}
