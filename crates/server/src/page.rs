//! Which machines a list shows, in which pages, with which fields. Pure.

use jiff::Timestamp;
use machine_api::{MachineInfo, MachineState, Page, Status};
use machine_core::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::refused::invalid;

const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// A list's query as it comes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    state: Option<String>,
    template: Option<String>,
    metadata: Option<String>,
    limit: Option<u32>,
    next_token: Option<String>,
    fields: Option<String>,
}

/// Which fields of a resource are shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Fields {
    /// All.
    #[default]
    All,
    /// Only these.
    Only(Vec<String>),
}

/// A list's query, understood.
#[derive(Debug)]
pub(crate) struct Selection {
    words: Vec<Word>,
    template: Option<String>,
    metadata: Map<String, Value>,
    limit: usize,
    after: Option<(Timestamp, String)>,
    fields: Fields,
}

/// The contract's word, or our finer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Status(Status),
    State(MachineState),
}

impl Fields {
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::All,
            Some(text) => Self::Only(text.split(',').map(|field| field.trim().to_owned()).collect()),
        }
    }

    /// A resource as JSON with just these fields.
    pub(crate) fn show(&self, resource: &impl Serialize) -> Value {
        let value = serde_json::to_value(resource).expect("our wire types cannot fail to serialize");
        match (self, value) {
            (Self::Only(fields), Value::Object(mut object)) => {
                object.retain(|key, _| fields.contains(key));
                Value::Object(object)
            }
            (Self::All | Self::Only(_), value) => value,
        }
    }
}

impl ListQuery {
    /// Understands the query.
    pub(crate) fn understand(self) -> Result<Selection, Refusal> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(invalid(format!("limit: out of range: {limit} (1 to {LARGEST_PAGE})")));
        }
        let states = self.state.unwrap_or_default();
        let metadata = match self.metadata {
            None => Map::new(),
            Some(text) => {
                serde_json::from_str(&text).map_err(|error| invalid(format!("metadata: not a JSON object: {error}")))?
            }
        };
        Ok(Selection {
            words: states.split(',').filter(|word| !word.is_empty()).map(read_word).collect::<Result<_, _>>()?,
            template: self.template,
            metadata,
            limit: limit as usize,
            after: self.next_token.as_deref().map(read_token).transpose()?,
            fields: Fields::read(self.fields.as_deref()),
        })
    }
}

impl Selection {
    /// One page of the machines, which come oldest first.
    pub(crate) fn page(&self, machines: impl IntoIterator<Item = MachineInfo>) -> Page<Value> {
        let mut chosen = machines.into_iter().filter(|machine| self.wants(machine));
        let items: Vec<MachineInfo> = chosen.by_ref().take(self.limit).collect();
        let has_next = chosen.next().is_some();
        let next_token = items.last().filter(|_| has_next).map(token);
        Page { items: items.iter().map(|item| self.fields.show(item)).collect(), has_next, next_token }
    }

    fn wants(&self, machine: &MachineInfo) -> bool {
        let follows =
            self.after.as_ref().is_none_or(|(at, id)| (machine.created_at, machine.id.as_str()) > (*at, id.as_str()));
        let in_state = self.words.is_empty()
            || self.words.contains(&Word::Status(machine.status))
            || self.words.contains(&Word::State(machine.state));
        let of_template =
            self.template.as_deref().is_none_or(|template| untagged(template) == untagged(&machine.template));
        let marked = self.metadata.iter().all(|(key, value)| machine.metadata.get(key) == Some(value));
        follows && in_state && of_template && marked
    }
}

fn untagged(template: &str) -> &str {
    template.strip_suffix(":latest").unwrap_or(template)
}

fn read_word(word: &str) -> Result<Word, Refusal> {
    // `paused`, `running` and `destroyed` are words of both; the contract's wins.
    let status = Status::ALL.iter().find(|status| status.word() == word).copied().map(Word::Status);
    status.or_else(|| MachineState::from_word(word).map(Word::State)).ok_or_else(|| {
        let words = Status::ALL.iter().map(|status| status.word()).chain(MachineState::ALL.iter().map(|s| s.word()));
        invalid(format!("state: unknown word: {word}")).hint(format!("one of {}", words.collect::<Vec<_>>().join(", ")))
    })
}

fn token(machine: &MachineInfo) -> String {
    format!("{}-{}", machine.created_at.as_nanosecond(), machine.id)
}

fn read_token(token: &str) -> Result<(Timestamp, String), Refusal> {
    let read = || {
        let (at, id) = token.rsplit_once('-')?;
        Some((Timestamp::from_nanosecond(at.parse().ok()?).ok()?, id.to_owned()))
    };
    read().ok_or_else(|| invalid(format!("next_token: not one of ours: {token}")))
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
