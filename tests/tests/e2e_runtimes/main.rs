//! Who is who on runtimes other than Docker alone, and while runtimes fail.

mod containerd;
mod cri;
mod watcher;

mod failures;
mod oci;
mod podman;
mod pods;
