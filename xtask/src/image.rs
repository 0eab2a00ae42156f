//! `cargo xtask image`: an OCI image made from scratch. One archive is both an OCI image layout
//! (image-spec 1.0, for podman, skopeo and containerd) and what `docker load` reads. The same
//! binary gives the same archive, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use hydrophone_tests::run;
use serde_json::{Value, json};

use crate::command::{build_agent, check};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes the image of `binary`, which is built if it is not given, to `output`.
pub(crate) fn image(root: &Path, binary: Option<PathBuf>, output: Option<PathBuf>) -> Result<()> {
    let binary = match binary {
        Some(binary) => binary,
        None => build_agent(root, "release")?,
    };
    let output = output.unwrap_or_else(|| root.join("target/image/hydrophone.tar"));
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let work = tempfile::tempdir()?;
    let tree = work.path().join("tree");
    let layer = work.path().join("layer.tar");
    install(&binary, Path::new("/hydrophone"), &tree)?;
    for library in libraries(&binary)? {
        install(&library, &library, &tree)?;
    }
    archive(&tree, &layer)?;

    let layout = work.path().join("layout");
    let name = format!("hydrophone:{}", env!("CARGO_PKG_VERSION"));
    write_layout(&layout, &layer, &name)?;
    archive(&layout, &output)?;
    println!(
        "image {name}: {0}\nload it with\n  docker load --input {0}",
        output.display()
    );
    Ok(())
}

/// Copies `file` to `place` below `tree`, without the debug information of the binary.
fn install(file: &Path, place: &Path, tree: &Path) -> Result<()> {
    let target = tree.join(place.strip_prefix("/")?);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&target).arg(file);
    check(&mut strip, "strip, of the package binutils")
}

/// What the dynamic linker would load, itself included.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let listed = run("ldd", &[binary])?.stdout;
    Ok(listed.lines().filter_map(library).collect())
}

/// The path in a line of `ldd`; the vDSO has none.
fn library(line: &str) -> Option<PathBuf> {
    let (path, _address) = line.rsplit_once(" (")?;
    let path = path
        .rsplit_once(" => ")
        .map_or(path, |(_, path)| path)
        .trim();
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// A tar archive that depends on names and contents only.
fn archive(folder: &Path, output: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--format=ustar",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
    ])
    .args(["--numeric-owner", "--mode=u=rwX,go=rX", "--file"])
    .arg(output)
    .arg("--directory")
    .arg(folder)
    .arg(".");
    check(&mut tar, "tar")
}

fn write_layout(layout: &Path, layer: &Path, name: &str) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = Blob::add(&blobs, layer)?;
    let config = json!({
        "architecture": match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": { "Entrypoint": ["/hydrophone"], "Cmd": ["run"] },
        "rootfs": { "type": "layers", "diff_ids": [layer.digest()] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image" }],
    });
    let config = Blob::add_json(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    });
    let manifest = Blob::add_json(&blobs, &manifest)?;
    let (_, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST,
        "digest": manifest.digest(),
        "size": manifest.size,
        "annotations": {
            "io.containerd.image.name": format!("docker.io/library/{name}"),
            "org.opencontainers.image.ref.name": tag,
        },
    }] });
    let docker = json!([{
        "Config": config.path(), "RepoTags": [name], "Layers": [layer.path()],
    }]);
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("manifest.json"), docker.to_string())?;
    fs::write(
        layout.join("oci-layout"),
        json!({ "imageLayoutVersion": "1.0.0" }).to_string(),
    )?;
    Ok(())
}

/// A file that is called by its own checksum.
struct Blob {
    sha256: String,
    size: u64,
}

impl Blob {
    /// Moves `file` among the blobs.
    fn add(blobs: &Path, file: &Path) -> Result<Self> {
        let sum = run("sha256sum", &[file])?.stdout;
        let sha256 = sum.split(' ').next().unwrap_or_default().to_owned();
        let size = fs::metadata(file)?.len();
        fs::rename(file, blobs.join(&sha256))?;
        Ok(Self { sha256, size })
    }

    fn add_json(blobs: &Path, value: &Value) -> Result<Self> {
        let file = blobs.join("new");
        fs::write(&file, value.to_string())?;
        Self::add(blobs, &file)
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest(), "size": self.size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ldd_are_read() {
        let path = |line| library(line).map(|path| path.display().to_string());
        let libc = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2eb461e000)";
        assert_eq!(
            path(libc).as_deref(),
            Some("/lib/x86_64-linux-gnu/libc.so.6")
        );
        let linker = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f2eb52f2000)";
        assert_eq!(path(linker).as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007f2eb52f0000)"), None);
        assert_eq!(path("\tstatically linked"), None);
    }
}
