//! Environment, files with more of it, and secrets. Secrets' values are looked for, and never kept or shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::{EnvFile, Secret, SecretSource};
use crate::rule::Rule;
use crate::tree::Node;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const SECRET: &[&str] = &["name", "from"];
const FORMS: &str = "write env:NAME, file:PATH or cmd:COMMAND";

impl Walk<'_> {
    pub(super) fn env(&mut self, fields: &Fields<'_>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for (entry, text) in self.texts_by_key(fields, "env", "APP_ENV: dev") {
            let path = format!("{}.{}", fields.path_of("env"), short(&entry.key));
            if is_variable(&entry.key) {
                env.insert(entry.key.clone(), self.substitute(&text, &path, entry.value.at));
            } else {
                let message = format!("not a variable's name: '{}'", short(&entry.key));
                self.note(Rule::E003, entry.key_at, message, "letters, digits and '_', not beginning with a digit");
            }
        }
        env
    }

    pub(super) fn env_files(&mut self, fields: &Fields<'_>) -> Vec<EnvFile> {
        let items = self.items(fields, "env_files", "[\".env?\"]").unwrap_or_default();
        let mut files = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let what = format!("env_files[{number}]");
            let Some(text) = self.text(item, &what) else { continue };
            let (path, optional) = text.strip_suffix('?').map_or((text.as_str(), false), |path| (path, true));
            if path.is_empty() {
                self.wrong_type(item, &what, "a file's path");
                continue;
            }
            let source = self.on_host(Path::new(path));
            if !optional && !source.is_file() {
                let hint = format!("make it, or write '{}?' if it may be missing", short(path));
                self.note(Rule::E003, item.at, format!("{what}: no such file: {}", short(path)), hint);
            }
            files.push(EnvFile { path: PathBuf::from(path), optional });
        }
        files
    }

    pub(super) fn secrets(&mut self, fields: &Fields<'_>) -> Vec<Secret> {
        let items = self.items(fields, "secrets", "[{name: NPM_TOKEN, from: env:NPM_TOKEN}]").unwrap_or_default();
        let mut secrets: Vec<Secret> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let entry = self.fields(item, &format!("secrets[{number}]"), SECRET);
            let Some(secret) = self.secret(item, &entry) else { continue };
            if secrets.iter().any(|known| known.name == secret.name) {
                let message = format!("secret '{}' is there twice", secret.name);
                self.note(Rule::E003, item.at, message, "keep one of them");
            }
            secrets.push(secret);
        }
        secrets
    }

    fn secret(&mut self, item: &Node, entry: &Fields<'_>) -> Option<Secret> {
        let (name, from) = (self.text_of(entry, "name"), self.text_of(entry, "from"));
        if entry.get("name").is_none() || entry.get("from").is_none() {
            self.note(Rule::E003, item.at, "a secret needs name and from", "write {name: TOKEN, from: env:TOKEN}");
        }
        let (name, from) = (name?, from?);
        let (name_at, from_at) = (entry.get("name")?.at, entry.get("from")?.at);
        if !is_variable(&name) {
            let hint = "letters, digits and '_', not beginning with a digit";
            self.note(Rule::E003, name_at, format!("not a secret's name: '{}'", short(&name)), hint);
            return None;
        }
        let from = self.substitute(&from, &entry.path_of("from"), from_at);
        let source = match from.split_once(':') {
            Some(("env", variable)) if is_variable(variable) => SecretSource::Env(variable.to_owned()),
            Some(("file", path)) if !path.is_empty() => SecretSource::File(PathBuf::from(path)),
            Some(("cmd", command)) if !command.trim().is_empty() => SecretSource::Command(command.to_owned()),
            Some(_) | None => {
                self.note(Rule::E003, from_at, format!("secret '{name}' has no known source"), FORMS);
                return None;
            }
        };
        let unresolved = match &source {
            SecretSource::Env(variable) => {
                (self.lookup)(variable).is_none().then(|| format!("the variable {variable} is not set"))
            }
            SecretSource::File(path) => {
                (!self.on_host(path).is_file()).then(|| format!("no such file: {}", short(&path.to_string_lossy())))
            }
            SecretSource::Command(_) => None,
        };
        if let Some(why) = unresolved {
            let message = format!("secret '{name}' is unresolved: {why}");
            self.note_for_start(Rule::E050, from_at, message, "set it on the host");
        }
        Some(Secret { name, from: source })
    }

    /// Where a path of the file is on the host: from the project's folder, absolute, or from the home.
    pub(crate) fn on_host(&self, path: &Path) -> PathBuf {
        crate::paths::on_host(self.folder, self.host.home.as_deref(), path)
    }
}

pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
