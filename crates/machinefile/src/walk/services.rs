//! Services, readiness, and hooks of the host.

use std::time::Duration;

use crate::model::{Hooks, Ready, ReadyCheck, Restart, Service};
use crate::rule::Rule;
use crate::tree::Node;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const SERVICE: &[&str] = &["name", "run", "restart", "user", "env", "workdir"];
pub(crate) const READY: &[&str] = &["port", "run", "timeout"];
pub(crate) const HOOKS: &[&str] = &["pre_start", "post_start", "pre_stop", "post_stop"];

const RESTARTS: &[(&str, Restart)] =
    &[("no", Restart::No), ("on-failure", Restart::OnFailure), ("always", Restart::Always)];
const USUAL_WAIT: Duration = Duration::from_secs(60);

impl Walk<'_> {
    pub(super) fn services(&mut self, fields: &Fields<'_>) -> Vec<Service> {
        let items = self.items(fields, "services", "[{name: web, run: npm run dev}]").unwrap_or_default();
        let mut services: Vec<Service> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let entry = self.fields(item, &format!("services[{number}]"), SERVICE);
            let Some(service) = self.service(item, &entry) else { continue };
            if services.iter().any(|known| known.name == service.name) {
                let message = format!("service '{}' is there twice", service.name);
                self.note(Rule::E003, item.at, message, "give each a name of its own");
            }
            services.push(service);
        }
        services
    }

    fn service(&mut self, item: &Node, entry: &Fields<'_>) -> Option<Service> {
        if entry.get("name").is_none() || entry.get("run").is_none() {
            self.note(Rule::E003, item.at, "a service needs name and run", "write {name: web, run: npm run dev}");
        }
        let (name, run) = (self.text_of(entry, "name"), self.text_of(entry, "run"));
        let restart = self.choice(entry, "restart", RESTARTS, &[]).unwrap_or(Restart::No);
        let user = self.text_of(entry, "user");
        let env = self.env(entry);
        let workdir = self.guest_path_of(entry, "workdir", Rule::E003);
        let name = name?;
        if !is_service(&name) {
            let at = entry.get("name")?.at;
            let message = format!("not a service's name: '{}'", short(&name));
            self.note(Rule::E003, at, message, "lower-case letters, digits, '_' and '-', at most 39");
            return None;
        }
        Some(Service { name, run: run?, restart, user, env, workdir })
    }

    pub(super) fn ready(&mut self, fields: &Fields<'_>) -> Vec<Ready> {
        let items = self.items(fields, "ready", "[{port: 3000}]").unwrap_or_default();
        let mut checks = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let entry = self.fields(item, &format!("ready[{number}]"), READY);
            let timeout = self.duration_of(&entry, "timeout", Duration::from_secs(1)).unwrap_or(USUAL_WAIT);
            checks.extend(self.check(item, &entry).map(|check| Ready { check, timeout }));
        }
        checks
    }

    fn check(&mut self, item: &Node, entry: &Fields<'_>) -> Option<ReadyCheck> {
        match (entry.get("port"), entry.get("run")) {
            (Some(port), None) => {
                let port = self.number(port, &entry.path_of("port"), Rule::E030, 1, 65_535)?;
                u16::try_from(port).ok().map(ReadyCheck::Port)
            }
            (None, Some(_)) => self.text_of(entry, "run").map(ReadyCheck::Run),
            (Some(_), Some(_)) | (None, None) => {
                let hint = "write {port: 3000} or {run: COMMAND}";
                self.note(Rule::E003, item.at, format!("{} needs exactly one of port, run", entry.path), hint);
                None
            }
        }
    }

    pub(super) fn hooks(&mut self, fields: &Fields<'_>) -> Hooks {
        let Some(section) = self.section(fields, "hooks", HOOKS) else { return Hooks::default() };
        let mut commands = |key: &str| self.texts_of(&section, key, "[make certificates]").unwrap_or_default();
        Hooks {
            pre_start: commands("pre_start"),
            post_start: commands("post_start"),
            pre_stop: commands("pre_stop"),
            post_stop: commands("post_stop"),
        }
    }
}

fn is_service(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    name.starts_with(|letter: char| letter.is_ascii_lowercase()) && name.len() <= 39 && name.bytes().all(letters)
}
