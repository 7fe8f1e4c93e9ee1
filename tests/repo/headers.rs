//! Every file opens by saying what lives in it.

use crate::{none, tree};

#[test]
fn every_source_opens_with_what_lives_there() {
    let silent = tree::sources().into_iter().filter(|source| !has_header(&source.text));
    let told = silent
        .map(|source| format!("{}:1: begin with `//!` and a line on what lives here, and what does not", source.path));
    none("files without a header", &told.collect::<Vec<_>>());
}

#[test]
fn attributes_may_stand_before_a_header() {
    assert!(has_header("//! Leases.\n"));
    assert!(has_header("#!/usr/bin/env run\n\n#![no_std]\n//! Leases.\n"));
    assert!(!has_header("// Leases.\n//! Late.\n") && !has_header("use a;\n//! Late.\n") && !has_header("//!\n"));
}

fn has_header(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    lines.next().is_some_and(|line| line.strip_prefix("//!").is_some_and(|said| !said.trim().is_empty()))
}
