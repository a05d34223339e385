//! Embeds the web pages' bundle and watches the registry's migrations.
//!
//! The bundle is built by the Makefile (`make web`), never from here: a build
//! script that runs npm would make every `cargo check` depend on Node and the
//! network.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// What the origin serves by name; a bundle without them is half built.
const PAGES: [&str; 3] = ["player.html", "compare.html", "go-live.html"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join("web/dist");
    // Clones that share a build folder share what is written here: with one that is gone,
    // its list of files is too.
    println!("cargo::rerun-if-changed={}", dist.display());
    if let Some(missing) = PAGES.iter().find(|page| !dist.join(page).is_file()) {
        println!(
            "cargo::error=the web pages are not built ({} is missing): run `make web` first",
            dist.join(missing).display()
        );
        return Ok(());
    }
    let mut files = Vec::new();
    collect(&dist, &dist, &mut files)?;
    // Sorted, so that the same bundle always makes the same binary.
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("bundle.rs"), table(&files))
}

/// Every file under `folder`, by its path from `dist`.
fn collect(dist: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(dist, &path, files)?;
        } else if let Some(name) = path.strip_prefix(dist).ok().and_then(Path::to_str) {
            files.push(name.to_owned());
        }
    }
    Ok(())
}

/// The Rust expression of all files, for `include!`. It names no folder: whoever compiles
/// it finds the files in its own clone.
fn table(files: &[String]) -> String {
    const ROOT: &str = "env!(\"CARGO_MANIFEST_DIR\")";
    let mut table = String::from("&[\n");
    for name in files {
        let path = format!("/web/dist/{name}");
        table += &format!("    ({name:?}, include_bytes!(concat!({ROOT}, {path:?})) as &[u8]),\n");
    }
    table + "]\n"
}
