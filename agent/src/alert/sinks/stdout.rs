//! Lines to standard output.

use std::io::{self, BufWriter, Write};

use super::{
    Event,
    worker::{Failure, Transport},
};

/// Whole lines, flushed whenever nothing more waits.
pub(super) struct Stdout<W: Write>(BufWriter<W>);

impl<W: Write> Stdout<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(BufWriter::with_capacity(64 << 10, writer))
    }
}

/// The reader has gone (`| head`), or the disk is full: neither comes back.
fn closed<T>(result: io::Result<T>) -> Result<(), Failure> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(Failure::Lost(error)),
    }
}

impl<W: Write + Send> Transport for Stdout<W> {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        closed(self.0.write_all(&event.line))?;
        closed(self.0.write_all(b"\n"))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        closed(self.0.flush())
    }
}
