//! Reads Rust well enough to find functions: takes out comments and what literals say, matches braces.
//! Knows no grammar beyond that.
//!
//! ```text
//! Code ──//──▶ line comment ──newline──▶ Code        Code ──r##"──▶ raw text ──"##──▶ Code
//! Code ──/*──▶ comment (nests) ──*/──▶ Code          Code ──"──▶ text ──"──▶ Code
//! ```

/// Code of the same lines and columns, with comments as blanks and the insides of literals as `_`.
pub(crate) struct Blanked(String);

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// The lines of its body that hold code, the braces' own apart; as clippy counts.
    pub(crate) length: usize,
}

struct Scanner<'t> {
    rest: &'t str,
    out: String,
}

/// Takes out comments and what literals say.
pub(crate) fn blank(text: &str) -> Blanked {
    let mut scanner = Scanner { rest: text, out: String::with_capacity(text.len()) };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    Blanked(scanner.out)
}

impl Scanner<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.cover(end, ' ');
        } else if self.rest.starts_with("/*") {
            self.cover(comment_length(self.rest), ' ');
        } else if self.rest.starts_with('"') {
            self.cover(text_length(self.rest, '"'), '_');
        } else if self.rest.starts_with('\'') {
            self.quote();
        } else {
            self.word();
        }
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        let mut after = self.rest.chars().skip(1);
        let (first, second) = (after.next(), after.next());
        if first == Some('\\') || second == Some('\'') {
            self.cover(text_length(self.rest, '\''), '_');
        } else {
            self.keep(1);
        }
    }

    /// A word with the literal that it may be the prefix of, or one other character.
    fn word(&mut self) {
        let length = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
        if length == 0 {
            return self.keep(self.rest.chars().next().map_or(0, char::len_utf8));
        }
        let raw = matches!(&self.rest[..length], "r" | "br" | "cr");
        self.keep(length);
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        if raw && self.rest[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = hashes + 1;
            let length = self.rest[inside..].find(&end).map_or(self.rest.len(), |at| inside + at + end.len());
            self.cover(length, '_');
        }
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn cover(&mut self, length: usize, with: char) {
        let (covered, rest) = self.rest.split_at(length);
        self.out.extend(covered.chars().map(|c| if c == '\n' { c } else { with }));
        self.rest = rest;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment, with those inside it, that `text` begins with.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the quoted text, its quotes included, that `text` begins with.
fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

impl Blanked {
    /// The lines, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.0.lines())
    }

    /// Every word that stands right after the word `before`, with its line.
    pub(crate) fn words_after(&self, before: &str) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for (line, code) in self.lines() {
            let mut words = code.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let Some(next) = words.peek().filter(|_| word == before) else { continue };
                found.push((line, next.split(|c| !is_word(c)).next().unwrap_or(next)));
            }
        }
        found
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = &self.0;
        let starts = code.match_indices("fn ").map(|(at, _)| at);
        let starts = starts.filter(|at| !code[..*at].chars().next_back().is_some_and(is_word));
        starts.filter_map(|at| function(code, at)).collect()
    }
}

fn function(code: &str, at: usize) -> Option<Function> {
    let signature = code[at + 2..].trim_start();
    let name: String = signature.chars().take_while(|c| is_word(*c)).collect();
    if name.is_empty() {
        return None;
    }
    let open = at + body(&code[at..])?;
    let body = &code[open + 1..open + closing(&code[open..])];
    let length = body.lines().filter(|line| !line.trim().is_empty()).count();
    Some(Function { name, line: code[..at].matches('\n').count() + 1, length })
}

/// Where the body's brace opens; none for a function without one.
fn body(code: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the brace that `code` begins with is closed.
fn closing(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::{Function, blank};

    fn functions(text: &str) -> Vec<(String, usize, usize)> {
        let told = |found: Function| (found.name, found.line, found.length);
        blank(text).functions().into_iter().map(told).collect()
    }

    #[test]
    fn comments_and_literals_are_taken_out_and_columns_stay() {
        for (text, blanked) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x{\"}y", '{', '\'', b'}')"#, "f(________, ___, ____, b___)"),
            (r###"r#"a"{"# + br"{" + r"\" + x"###, "r_______ + br___ + r___ + x"),
            ("fn a<'a>(b: &'a str) {}", "fn a<'a>(b: &'a str) {}"),
            ("r#type + 'é' + for_r", "r#type + ___ + for_r"),
            ("\"two\nlines\" {", "____\n______ {"),
            ("\"never closed", "_____________"),
        ] {
            assert_eq!(blank(text).0, blanked, "{text}");
        }
    }

    #[test]
    fn a_function_is_as_long_as_its_code() {
        let text = "/// fn no() {\nfn one() {\n    // why\n\n    let x = \"}\";\n    { x }\n}\n\nfn two() { 2 }\n";
        assert_eq!(functions(text), [("one".to_owned(), 2, 2), ("two".to_owned(), 9, 1)]);
    }

    #[test]
    fn what_has_no_body_is_no_function() {
        let text =
            "trait A { fn a(&self) -> [u8; 4]; }\ntype F = fn (u8) -> u8;\nstruct S { f: fn(u8) }\nlet often = 1;";
        assert_eq!(functions(text), []);
    }

    #[test]
    fn functions_inside_functions_are_found() {
        let text = "pub const unsafe fn a()\nwhere\n    [u8; 4]: Sized,\n{\n    fn b() {\n        1\n    }\n    b()\n}";
        assert_eq!(functions(text), [("a".to_owned(), 1, 4), ("b".to_owned(), 5, 1)]);
    }

    #[test]
    fn words_are_told_by_the_word_before_them() {
        let code = blank("pub mod desk;\nmod tests { }\nstruct Desk<T>(T); // mod no");
        assert_eq!(code.words_after("mod"), [(1, "desk"), (2, "tests")]);
        assert_eq!(code.words_after("struct"), [(3, "Desk")]);
    }
}
