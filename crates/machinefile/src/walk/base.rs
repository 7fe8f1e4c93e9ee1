//! `base`: what a disk begins as, from exactly one source.

use machine_core::{Digest, TemplateName};

use crate::model::Base;
use crate::rule::Rule;
use crate::tree::{Content, Node};

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const KEYS: &[&str] = &["template"];
/// Sources that are recognised and refused; `digest` belongs to `image`.
const LATER: &[&str] = &["oci", "dockerfile", "image", "flake", "snapshot"];
/// Releases of the full Machinefile beside the one that this build makes.
const OTHER_RELEASES: &[&str] = &["ubuntu:24.04", "alpine:3.20", "nixos:25.05"];
const FORMS: &str = "write `base: debian:12` or `base: {template: NAME}`";

impl Walk<'_> {
    pub(super) fn base(&mut self, fields: &Fields<'_>) -> Base {
        let Some(node) = fields.get("base") else { return Base::Debian12 };
        match &node.content {
            Content::Plain(text) | Content::Quoted(text) => self.release(node, text),
            Content::Map(_) => self.base_source(node),
            Content::Null | Content::List(_) => {
                self.wrong_type(node, "base", "`debian:12` or `{template: NAME}`");
                Base::Debian12
            }
        }
    }

    fn release(&mut self, node: &Node, text: &str) -> Base {
        if OTHER_RELEASES.contains(&text) {
            self.not_honoured(node.at, &format!("base: {text}"), FORMS);
        } else if text != "debian:12" {
            self.note(Rule::E005, node.at, format!("base: unknown release '{}'", short(text)), FORMS);
        }
        Base::Debian12
    }

    fn base_source(&mut self, node: &Node) -> Base {
        let source = self.fields(node, "base", KEYS);
        let named = KEYS.iter().chain(LATER).filter(|key| source.get(key).is_some()).count();
        if named != 1 {
            self.note(Rule::E005, node.at, format!("base has {named} sources, and needs exactly one"), FORMS);
        }
        if let Some(digest) = source.get("digest")
            && let Some(text) = self.text(digest, "base.digest")
            && let Err(error) = text.parse::<Digest>()
        {
            self.note(Rule::E006, digest.at, error.to_string(), "write sha256: and 64 hexadecimal digits");
        }
        let template = self.text_of(&source, "template").map(|text| text.parse::<TemplateName>());
        match (template, source.get("template")) {
            (Some(Ok(name)), _) => Base::Template(name),
            (Some(Err(error)), Some(at)) => {
                self.note(Rule::E003, at.at, error.to_string(), "`machine template ls` lists them");
                Base::Debian12
            }
            (Some(Err(_)) | None, _) => Base::Debian12,
        }
    }
}
