//! YAML as a tree in which every value and key has its place. Bounded in size, depth and number of values: an
//! alias is refused, so a small file cannot become a large one. Knows nothing of what keys mean.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::source::Place;

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: usize = 1 << 20;
/// How deep values may stand in each other.
const DEEPEST: usize = 32;
/// How many values a file and all that it extends may have: what is compared with each other stays quick.
pub(crate) const MOST: usize = 10_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) content: Content,
}

/// What a value is. What a plain word means (`true`, `12`) is for its reader to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Null,
    Plain(String),
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Place,
    pub(crate) value: Node,
}

/// Something that this reader of YAML refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Place,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// A map or list that is not at its end.
struct Open {
    node: Node,
    key: Option<(String, Place)>,
}

struct Reader<'l> {
    file: usize,
    open: Vec<Open>,
    root: Option<Node>,
    refused: Vec<Refused>,
    /// How many values may still come.
    left: &'l mut usize,
}

/// The tree of a text, and all that is refused of it. Of a text that is not YAML, the tree is what stands
/// before the error. `left` says how many values may be read, and afterwards how many more.
pub(crate) fn read(file: usize, text: &str, left: &mut usize) -> (Node, Vec<Refused>) {
    let empty = Node { at: Place::start(file), content: Content::Null };
    let mut reader = Reader { file, open: Vec::new(), root: None, refused: Vec::new(), left };
    if text.len() > LARGEST {
        let message = format!("the file is too large: {} bytes, at most {LARGEST}", text.len());
        return (empty, vec![Refused { at: Place::start(file), message, hint: "split it with `extends`".to_owned() }]);
    }
    for event in Parser::new_from_str(text) {
        let went = match event {
            Ok((event, span)) => reader.take(event, span),
            Err(error) => reader.refuse_scan(&error, text),
        };
        // The parser repeats its first error for ever.
        if went.is_none() {
            break;
        }
    }
    while let Some(open) = reader.open.pop() {
        reader.close(open);
    }
    (reader.root.unwrap_or(empty), reader.refused)
}

impl Reader<'_> {
    /// One event; `None` where reading ends.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = self.place(span);
        if matches!(event, Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..)) {
            self.spend(at)?;
        }
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => Some(()),
            Event::StreamEnd => None,
            Event::DocumentStart(_) if self.root.is_some() => {
                self.refuse(at, "a second document", "keep one document: take out the line `---`")
            }
            Event::DocumentStart(_) => Some(()),
            Event::Alias(_) => {
                self.refuse(at, "an alias", "write the value out: anchors and aliases are not read");
                self.scalar(String::new(), ScalarStyle::SingleQuoted, at);
                Some(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(anchor, tag.is_some(), at);
                self.scalar(text.into_owned(), style, at);
                Some(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_only(anchor, tag.is_some(), at);
                self.begin(Content::List(Vec::new()), at)
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_only(anchor, tag.is_some(), at);
                self.begin(Content::Map(Vec::new()), at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                self.close(open);
                Some(())
            }
        }
    }

    /// Counts a value.
    fn spend(&mut self, at: Place) -> Option<()> {
        match self.left.checked_sub(1) {
            Some(left) => {
                *self.left = left;
                Some(())
            }
            None => self.refuse(at, &format!("more than {MOST} keys and values"), "no machine needs so many"),
        }
    }

    fn plain_only(&mut self, anchor: usize, tagged: bool, at: Place) {
        if anchor != 0 {
            self.refuse(at, "an anchor", "take it out: anchors and aliases are not read");
        }
        if tagged {
            self.refuse(at, "a tag", "take out what begins with `!`");
        }
    }

    fn begin(&mut self, content: Content, at: Place) -> Option<()> {
        if self.open.len() >= DEEPEST {
            self.refuse(at, "values stand too deep in each other", "no key needs so many levels");
            return None;
        }
        self.open.push(Open { node: Node { at, content }, key: None });
        Some(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, at: Place) {
        let names_key =
            self.open.last().is_some_and(|open| matches!(open.node.content, Content::Map(_)) && open.key.is_none());
        if let (true, Some(open)) = (names_key, self.open.last_mut()) {
            open.key = Some((text, at));
            return;
        }
        let content = match style {
            ScalarStyle::Plain if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") => Content::Null,
            ScalarStyle::Plain => Content::Plain(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Content::Quoted(text)
            }
        };
        self.put(Node { at, content });
    }

    fn close(&mut self, open: Open) {
        let Open { mut node, key } = open;
        if let (Some((key, key_at)), Content::Map(entries)) = (key, &mut node.content) {
            entries.push(Entry { key, key_at, value: Node { at: key_at, content: Content::Null } });
        }
        self.put(node);
    }

    /// A whole value goes where it belongs.
    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let key = open.key.take();
        match (&mut open.node.content, key) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(entries), Some((key, key_at))) => {
                let twice = entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_at.line);
                entries.push(Entry { key: key.clone(), key_at, value: node });
                if let Some(line) = twice {
                    self.refuse(key_at, &format!("duplicate key '{key}' (first on line {line})"), "keep one of them");
                }
            }
            (Content::Map(_), None) => {
                let at = node.at;
                // The value of a key that is none is passed over.
                open.key = Some((String::new(), at));
                self.refuse(at, "a key that is no text", "a key is one word");
            }
            (Content::Null | Content::Plain(_) | Content::Quoted(_), _) => {}
        }
    }

    fn refuse(&mut self, at: Place, message: &str, hint: &str) -> Option<()> {
        self.refused.push(Refused { at, message: message.to_owned(), hint: hint.to_owned() });
        None
    }

    fn refuse_scan(&mut self, error: &saphyr_parser::ScanError, text: &str) -> Option<()> {
        let (mut line, mut column) = (error.marker().line().max(1), error.marker().col() + 1);
        let lines = text.lines().count();
        if line > lines {
            line = lines.max(1);
            column = text.lines().last().map_or(1, |last| last.chars().count().max(1));
        }
        let at = Place { file: self.file, line, column, width: 1 };
        // A tab makes its line go on with the value before it, where the parser then stumbles.
        let tabbed = text.lines().enumerate().skip(line - 1).take(2).find_map(|(number, text)| {
            let mut indent = text.chars().take_while(|letter| letter.is_whitespace());
            indent.position(|letter| letter == '\t').map(|column| (number + 1, column + 1))
        });
        match tabbed {
            Some((line, column)) => {
                let at = Place { line, column, ..at };
                self.refuse(at, "tab indentation", "indent with spaces: YAML has no tabs")
            }
            None => self.refuse(at, &format!("not YAML: {}", error.info()), "mind indentation, quotes and brackets"),
        }
    }

    fn place(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        let width = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 0 };
        Place { file: self.file, line: start.line().max(1), column: start.col() + 1, width }
    }
}
