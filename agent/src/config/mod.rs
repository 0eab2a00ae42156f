//! What the user wrote, validated whole: file, environment and command line become one [`Config`].
//!
//! Every key has a default. The command line wins over the environment (`HYDROPHONE_SECTION_KEY`),
//! which wins over the file, which wins over the defaults. [`load`] reports every error at once,
//! each with the place that it came from.

mod convert;
mod error;
mod events;
mod layers;
mod model;
mod overlap;
mod selector;
mod target;
mod units;
mod validate;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::{ConfigError, ConfigErrors};
pub use layers::{Origin, Setting};
pub use model::{
    AddressMeaning, Alert, Behavior, Census, Checksums, Config, EventType, Events, Format, Inspect,
    Ledger, Local, Log, LogLevel, PayloadFormat, Rules, Selector, Sensor, ServiceBy, Sinks, Stdout,
    Storm, Syslog, SyslogFacility, SyslogTarget,
};
pub use units::{ByteSize, Interval};

/// A configuration and what is worth telling about how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The validated configuration.
    pub config: Config,
    /// Names of `HYDROPHONE_…` variables that are no key. Not errors: Kubernetes sets
    /// `HYDROPHONE_SERVICE_HOST` and the like for a service of that name.
    pub unused_variables: Vec<String>,
}

/// Reads and merges all layers.
///
/// `file`: the configuration file, if any. `environment`: name and value of every variable.
/// `command_line`: settings that the user typed, in order.
///
/// # Errors
/// Everything that is wrong in any layer, at once.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    command_line: Vec<Setting>,
) -> Result<Loaded, ConfigErrors> {
    let mut errors = Vec::new();
    let mut settings = match file.map(layers::read_file) {
        None => Vec::new(),
        Some(Ok(settings)) => settings,
        Some(Err(error)) => {
            errors.push(error);
            Vec::new()
        }
    };
    let (variables, unused_variables) = layers::from_environment(environment);
    settings.extend(variables);
    settings.extend(command_line);

    let config = layers::merge(&settings, &mut errors);
    errors.extend(validate::validate(&config, &settings));
    if errors.is_empty() {
        Ok(Loaded {
            config,
            unused_variables,
        })
    } else {
        Err(ConfigErrors(errors))
    }
}
