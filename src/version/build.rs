//! Tells the program which commit it is built from.
//!
//! In a release the commit of the checkout, with a mark where the sources differ from it, or
//! `STEADFAST_COMMIT` of the environment, for who builds from an archive. A debug build names
//! none: it would be compiled anew with each commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/version/build.rs");
    println!("cargo::rerun-if-env-changed=STEADFAST_COMMIT");
    let commit = commit();
    let version = variable("CARGO_PKG_VERSION");
    let built_from = commit.as_deref().unwrap_or("commit unknown");
    println!("cargo::rustc-env=STEADFAST_VERSION={version} ({built_from})");
    println!(
        "cargo::rustc-env=STEADFAST_COMMIT={}",
        commit.unwrap_or_default()
    );
}

fn commit() -> Option<String> {
    if let Ok(given) = std::env::var("STEADFAST_COMMIT")
        && !given.is_empty()
    {
        return Some(given);
    }
    if variable("PROFILE") != "release" {
        return None;
    }
    // An archive that was unpacked inside another project's checkout is no commit of that one.
    let here = Path::new(&variable("CARGO_MANIFEST_DIR"))
        .canonicalize()
        .ok()?;
    let top = Path::new(&git(&["rev-parse", "--show-toplevel"])?)
        .canonicalize()
        .ok()?;
    if here != top {
        return None;
    }
    // The commit changes when the branch is another one, or leads elsewhere.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    for path in ["HEAD", branch.as_str(), "packed-refs"] {
        let file = git(&["rev-parse", "--git-path", path])?;
        if Path::new(&file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let sources = ["src", "Cargo.toml", "Cargo.lock"];
    for source in sources {
        println!("cargo::rerun-if-changed={source}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&[&["status", "--porcelain", "--"], &sources[..]].concat())?;
    let mark = if changed.is_empty() { "" } else { ", changed" };
    Some(format!("{commit}{mark}"))
}

/// What git says; `None` where there is no git, or no checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    said.status.success().then(|| text.trim().to_owned())
}

/// What cargo sets for every build script.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
