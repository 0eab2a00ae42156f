//! What the kernel programs have to say, into the agent's own log.
//!
//! They write only where something failed outside the path of packets.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::ProbeError;

/// Reads the log of the kernel programs.
pub(super) struct KernelLog(EbpfLogger<Forward>);

impl KernelLog {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        EbpfLogger::init_with_logger(ebpf, Forward)
            .map(Self)
            .map_err(|error| {
                ProbeError::io("log of the kernel programs", std::io::Error::other(error))
            })
    }

    /// Forwards what has been written since the last call.
    pub(super) fn drain(&mut self) {
        self.0.flush();
    }
}

struct Forward;

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        tracing::warn!(kernel = %record.args(), "a kernel program reports");
    }

    fn flush(&self) {}
}
