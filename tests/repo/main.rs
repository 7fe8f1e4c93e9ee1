//! The house rules that a compiler does not check: floors, sizes, names, and what may not be named.
//! Every finding says where it is and what to do. Reads the working tree; builds nothing.

mod crates;
mod environment;
mod floors;
mod headers;
mod links;
mod names;
mod places;
mod scanner;
mod sizes;
mod tree;

/// Fails with every finding at once, one a line, under the rule they break.
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}: {} found\n  {}\n", findings.len(), findings.join("\n  "));
}
