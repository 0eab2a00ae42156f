//! The `hydrophone` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hydrophone::cli::main()
}
