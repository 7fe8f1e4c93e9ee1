//! Links between our documents lead somewhere. Links to other sites are not followed.

use std::path::Path;

use crate::{none, tree};

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for document in tree::texts().into_iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&document.text) {
            let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
            if !tree::root().join(folder).join(&target).exists() {
                findings.push(format!("{}:{line}: leads nowhere: {target}: mend the link", document.path));
            }
        }
    }
    none("broken links", &findings);
}

#[test]
fn code_is_no_link_and_fragments_are_cut() {
    let text = "[a](b.md#c) [d](https://e.f) `[g](h)` [i](#j)\n```\n[k](l)\n```\n![m](n.png \"o\")\n[p]: ../q.md\n";
    let found = [(1, "b.md"), (5, "n.png"), (6, "../q.md")].map(|(line, target)| (line, target.to_owned()));
    assert_eq!(links(text), found);
}

/// The targets in our own tree that a document links to, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            found.extend(targets(line).into_iter().map(|target| (number, target)));
        }
    }
    found
}

fn targets(line: &str) -> Vec<String> {
    // Every second piece between backticks is code.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let below = prose.starts_with('[').then(|| prose.split_once("]: ")).flatten().map(|(_, target)| target.trim());
    let ours = inline.chain(below).filter_map(|target| target.split(['#', '?']).next());
    ours.filter(|target| !target.is_empty() && !target.contains(':')).map(str::to_owned).collect()
}
