//! How the process ends.

use std::{io, process::ExitCode};

use crate::{config::ConfigErrors, probe::ProbeError};

/// Exit codes. 2 is clap's.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed while running.
    Failure = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The configuration or a rule file has errors.
    Invalid = 3,
    /// Something that is needed is missing: permission, kernel feature, kernel object.
    Prerequisite = 4,
    /// Another Hydrophone watches this host.
    AlreadyRunning = 5,
    /// The ledger is not as it was written.
    Broken = 6,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Invalid,
        Self::Prerequisite,
        Self::AlreadyRunning,
        Self::Broken,
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is written to standard error.
    pub error: anyhow::Error,
}

impl Failure {
    /// With a code other than [`Exit::Failure`].
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    /// Writes the error and gives the code. A reader that has gone (`| head`) is no failure.
    pub(super) fn report(&self) -> ExitCode {
        let broken_pipe = self.error.chain().any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        });
        if broken_pipe {
            return Exit::Ok.into();
        }
        eprintln!("hydrophone: {:#}", self.error);
        self.exit.into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let title = match errors.0.len() {
            1 => "the configuration has an error".to_owned(),
            count => format!("the configuration has {count} errors"),
        };
        Self::new(Exit::Invalid, anyhow::anyhow!("{title}\n{errors}"))
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        let exit = match error {
            ProbeError::AlreadyRunning { .. } => Exit::AlreadyRunning,
            _ => Exit::Prerequisite,
        };
        Self::new(exit, error)
    }
}
