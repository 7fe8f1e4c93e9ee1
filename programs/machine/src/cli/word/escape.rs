//! Texts that others wrote, as a person may be shown them: a terminal obeys nothing in them, and an eye sees it all.

/// A text with what a terminal would obey, or an eye would not see, escaped; and with these letters.
pub(crate) fn escaped(text: &str, also: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || unseen(letter) || also(letter) {
            safe.extend(letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// The same, with these alone.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// Letters that are not seen, or turn the direction of others.
pub(crate) const fn unseen(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
