//! The texts that were read, and places in them. What the texts say is in `tree.rs`.

use std::ops::Range;

/// Some characters of one line of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Which text.
    pub(crate) file: usize,
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// How many characters; 0 where it is not known.
    pub(crate) width: usize,
}

/// The texts in the order in which they were read: the Machinefile is the first.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    texts: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    path: String,
    text: String,
    /// Where each line begins and ends.
    lines: Vec<Range<usize>>,
}

impl Place {
    /// The beginning of a text.
    pub(crate) fn start(file: usize) -> Self {
        Self { file, line: 1, column: 1, width: 0 }
    }
}

impl Sources {
    /// Keeps a text; its number.
    pub(crate) fn add(&mut self, path: String, text: String) -> usize {
        let mut begin = 0;
        let lines = text.split('\n').map(|line| {
            let range = begin..begin + line.trim_end_matches('\r').len();
            begin += line.len() + 1;
            range
        });
        let lines = lines.collect();
        self.texts.push(Source { path, text, lines });
        self.texts.len() - 1
    }

    pub(crate) fn text(&self, file: usize) -> &str {
        self.texts.get(file).map_or("", |source| &source.text)
    }

    pub(crate) fn path(&self, at: Place) -> &str {
        self.texts.get(at.file).map_or("Machinefile", |source| &source.path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|source| (source.path.as_str(), source.text.as_str()))
    }

    pub(crate) fn line(&self, at: Place) -> Option<&str> {
        let source = self.texts.get(at.file)?;
        source.text.get(source.lines.get(at.line.checked_sub(1)?)?.clone())
    }

    pub(crate) fn order(&self, path: &str) -> usize {
        self.texts.iter().position(|source| source.path == path).unwrap_or(usize::MAX)
    }
}
