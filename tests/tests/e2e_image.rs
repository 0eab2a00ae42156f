//! The image that `cargo xtask image` makes.

use std::fs;

use anyhow::{Context as _, Result};
use hydrophone_tests::{Agent, Engine, run};

#[test]
fn image_loads_into_docker_and_runs() -> Result<()> {
    let engine = Engine::start()?;
    let binary = Agent::binary()?;
    let xtask = binary.with_file_name("xtask");
    let make = |name: &str| -> Result<String> {
        let output = engine.folder().join(name).display().to_string();
        let binary = binary.display().to_string();
        let arguments = ["image", "--binary", &binary, "--output", &output];
        run(xtask.to_str().context("path")?, &arguments)?;
        Ok(output)
    };
    let (first, second) = (make("first.tar")?, make("second.tar")?);
    assert!(
        fs::read(&first)? == fs::read(second)?,
        "the same binary gives the same archive"
    );

    engine.docker(&["load", "--input", &first])?;
    let image = format!("hydrophone:{}", env!("CARGO_PKG_VERSION"));
    let version = engine.docker(&["run", "--rm", "--network=none", &image, "--version"])?;
    assert_eq!(
        version.stdout,
        format!("hydrophone {}", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}
