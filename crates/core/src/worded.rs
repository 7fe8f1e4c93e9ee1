//! Texts that are true once they are parsed: what all their types have, and the words that most are made of. What
//! each may say is in its own `FromStr`.

/// A type around a text that its `FromStr` let in: as text, from text, and shown.
macro_rules! worded {
    ($name:ident, $error:ty) => {
        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(worded: $name) -> Self {
                worded.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use worded;

/// Whether a text is of these letters and marks, and begins with a letter.
pub(crate) fn is_word(text: &str, letter: fn(char) -> bool, marks: &str) -> bool {
    text.starts_with(letter) && text.chars().all(|c| letter(c) || marks.contains(c))
}

/// A lower-case letter, or a digit.
pub(crate) fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// A letter, or a digit.
pub(crate) fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}
