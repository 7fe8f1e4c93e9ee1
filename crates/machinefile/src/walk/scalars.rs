//! Single values: texts, numbers, flags, choices, sizes, durations.

use std::time::Duration;

use machine_core::MiB;

use crate::nearest::nearest;
use crate::rule::Rule;
use crate::tree::{Content, Node};

use super::{Fields, Walk};

impl Walk<'_> {
    /// Notes a value of another type than the one that is read here.
    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, allowed: &str) {
        let found = match &node.content {
            Content::Null => "nothing".to_owned(),
            Content::Plain(text) | Content::Quoted(text) => format!("'{}'", short(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
        };
        self.note(Rule::E003, node.at, format!("{what} is {found}"), format!("write {allowed}"));
    }

    /// A text. A plain number or flag is one, as it is written.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.content {
            Content::Plain(text) | Content::Quoted(text) if !text.contains('\0') => Some(text.clone()),
            Content::Plain(_) | Content::Quoted(_) | Content::Null | Content::List(_) | Content::Map(_) => {
                self.wrong_type(node, what, "a text");
                None
            }
        }
    }

    /// A text that is not empty, of a key.
    pub(crate) fn text_of(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        let what = fields.path_of(key);
        let text = self.text(node, &what)?;
        if text.trim().is_empty() {
            self.wrong_type(node, &what, "a text that is not empty");
            return None;
        }
        Some(text)
    }

    /// The texts of a list; none of them empty. `form` is such a list.
    pub(crate) fn texts_of(&mut self, fields: &Fields<'_>, key: &str, form: &str) -> Option<Vec<String>> {
        let items = self.items(fields, key, form)?;
        let mut texts = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let what = format!("{}[{number}]", fields.path_of(key));
            match self.text(item, &what) {
                Some(text) if text.trim().is_empty() => self.wrong_type(item, &what, "a text that is not empty"),
                Some(text) => texts.push(text),
                None => {}
            }
        }
        Some(texts)
    }

    pub(crate) fn flag_of(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let node = fields.get(key)?;
        match &node.content {
            Content::Plain(word) if word == "true" => Some(true),
            Content::Plain(word) if word == "false" => Some(false),
            Content::Plain(_) | Content::Quoted(_) | Content::Null | Content::List(_) | Content::Map(_) => {
                self.wrong_type(node, &fields.path_of(key), "true or false");
                None
            }
        }
    }

    /// A whole number from `least` to `most`; outside of it, the rule is broken.
    pub(crate) fn number(&mut self, node: &Node, what: &str, rule: Rule, least: u64, most: u64) -> Option<u64> {
        let digits = match &node.content {
            Content::Plain(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
            Content::Plain(_) | Content::Quoted(_) | Content::Null | Content::List(_) | Content::Map(_) => {
                self.wrong_type(node, what, "a whole number");
                return None;
            }
        };
        let number = digits.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.note(rule, node.at, format!("{what} is out of range: {}", short(digits)), range(least, most));
        }
        number
    }

    /// One of a few words. `later` are words of the full Machinefile that this build does not do.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        words: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let node = fields.get(key)?;
        self.word(node, &fields.path_of(key), words, later)
    }

    /// As `choice`, of any value.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let names = words.iter().map(|(word, _)| *word);
        let allowed = names.clone().collect::<Vec<_>>().join(", ");
        let (Content::Plain(text) | Content::Quoted(text)) = &node.content else {
            self.wrong_type(node, what, &format!("one of {allowed}"));
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(*value);
        }
        if later.contains(&text.as_str()) {
            self.not_honoured(node.at, &format!("{what}: {text}"), &format!("use one of {allowed}"));
            return None;
        }
        let meant = nearest(text, names).map(|word| format!(" (did you mean '{word}'?)")).unwrap_or_default();
        let message = format!("{what} is '{}'{meant}", short(text));
        self.note(Rule::E003, node.at, message, format!("write one of {allowed}"));
        None
    }

    /// A size from `least` to `most`.
    pub(crate) fn size_of(&mut self, fields: &Fields<'_>, key: &str, least: MiB, most: MiB) -> Option<MiB> {
        let node = fields.get(key)?;
        let what = fields.path_of(key);
        let (Content::Plain(text) | Content::Quoted(text)) = &node.content else {
            self.wrong_type(node, &what, "a size: 512M, 4GiB, or a number of MiB");
            return None;
        };
        let size = match text.parse::<MiB>() {
            Ok(size) => size,
            Err(error) => {
                self.note(Rule::E007, node.at, format!("{what}: {error}"), "write 512M, 4GiB, or a number of MiB");
                return None;
            }
        };
        if size < least || size > most {
            let hint = format!("write {least} to {most}");
            self.note(Rule::E007, node.at, format!("{what} is out of range: {size}"), hint);
            return None;
        }
        Some(size)
    }

    /// A duration of at most a day. `off` is 0, too.
    pub(crate) fn duration_of(&mut self, fields: &Fields<'_>, key: &str, least: Duration) -> Option<Duration> {
        let node = fields.get(key)?;
        let what = fields.path_of(key);
        let (Content::Plain(text) | Content::Quoted(text)) = &node.content else {
            self.wrong_type(node, &what, "a duration: 30s, 10m, 2h, or 0");
            return None;
        };
        let Some(duration) = duration(text) else {
            let message = format!("{what}: not a duration: '{}'", short(text));
            self.note(Rule::E007, node.at, message, "write 30s, 10m, 2h, or 0 for off");
            return None;
        };
        if duration < least || duration > LONGEST {
            let hint = format!("write {}s to {}h", least.as_secs(), LONGEST.as_secs() / 3600);
            self.note(Rule::E007, node.at, format!("{what} is out of range: {text}"), hint);
            return None;
        }
        Some(duration)
    }
}

/// The longest that anything is waited for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads `30s`, `10m`, `2h`, `0` and `off`.
fn duration(text: &str) -> Option<Duration> {
    if matches!(text, "0" | "off") {
        return Some(Duration::ZERO);
    }
    let factor = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok()?.checked_mul(factor)).flatten().map(Duration::from_secs)
}

fn range(least: u64, most: u64) -> String {
    format!("write {least} to {most}")
}

/// A value as it is shown in a message: short, and printable.
pub(crate) fn short(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", crate::finding::printable(&shown))
}
