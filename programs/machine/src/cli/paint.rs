//! Colour, or none. What is said reads the same without it.

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// With escape sequences.
    Colored,
    /// As it is.
    Plain,
}

impl Paint {
    /// Coloured when that is so.
    pub(crate) const fn when(colored: bool) -> Self {
        if colored { Self::Colored } else { Self::Plain }
    }

    /// Something went wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Something is well.
    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Something is under way.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// A next step.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something beside the point.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, style: &str, text: &str) -> String {
        match self {
            Self::Colored => format!("\x1b[{style}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}
