//! Puts the kernel object into the binary, if it has been built (`cargo xtask build-ebpf`).

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=HYDROPHONE_EBPF_OBJECT");
    let object = match env::var_os("HYDROPHONE_EBPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => {
            PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../target/bpf/hydrophone.bpf.o")
        }
    };
    // A path that does not exist would make cargo build the agent anew each time; the folder tells
    // when the object comes.
    if let (false, Some(folder)) = (object.is_file(), object.parent()) {
        fs::create_dir_all(folder)?;
        println!("cargo::rerun-if-changed={}", folder.display());
    } else {
        println!("cargo::rerun-if-changed={}", object.display());
    }
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("hydrophone.bpf.o");
    // Without it the agent still builds and says at run time what is missing.
    let bytes = if object.is_file() {
        fs::read(&object)?
    } else {
        Vec::new()
    };
    fs::write(embedded, bytes)?;
    Ok(())
}
