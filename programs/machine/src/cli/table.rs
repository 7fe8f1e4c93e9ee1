//! Tables: columns that line up. The last column is not padded, so that no line ends in spaces.

use super::paint::Paint;

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// What a field's colour says besides its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing.
    Plain,
    /// It is well.
    Good,
    /// It is under way.
    Busy,
    /// It went wrong.
    Bad,
    /// It rests.
    Quiet,
}

impl Cell {
    /// A field with a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn painted(&self, paint: Paint) -> String {
        match self.tone {
            Tone::Plain => self.text.clone(),
            Tone::Good => paint.green(&self.text),
            Tone::Busy => paint.yellow(&self.text),
            Tone::Bad => paint.red(&self.text),
            Tone::Quiet => paint.dim(&self.text),
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// The table with these headings and rows.
pub(crate) fn table(headings: &[&str], rows: &[Vec<Cell>], paint: Paint) -> String {
    let headings: Vec<Cell> = headings.iter().map(|heading| Cell::from(*heading)).collect();
    let widths = widths(&headings, rows);
    let mut text = line(&headings, &widths, |cell| paint.bold(&cell.text));
    for row in rows {
        text += &line(row, &widths, |cell| cell.painted(paint));
    }
    text
}

/// Names and values below each other; what has no value is left out by the caller.
pub(crate) fn pairs(rows: &[(&str, Cell)], paint: Paint) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let row =
        |(name, cell): &(&str, Cell)| format!("{}  {}\n", paint.dim(&format!("{name:width$}")), cell.painted(paint));
    rows.iter().map(row).collect()
}

fn widths(headings: &[Cell], rows: &[Vec<Cell>]) -> Vec<usize> {
    let column = |place: usize| rows.iter().filter_map(move |row| row.get(place)).map(Cell::width);
    headings.iter().enumerate().map(|(place, heading)| column(place).fold(heading.width(), usize::max)).collect()
}

fn line(cells: &[Cell], widths: &[usize], painted: impl Fn(&Cell) -> String) -> String {
    let mut text = String::new();
    for (place, cell) in cells.iter().enumerate() {
        text += &painted(cell);
        if place + 1 < cells.len() {
            let width = widths.get(place).copied().unwrap_or_default();
            text += &" ".repeat(width.saturating_sub(cell.width()) + 2);
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["web".into(), Cell::toned("running", Tone::Good), "base".into()],
            vec!["mönch".into(), Cell::toned("failed", Tone::Bad), "".into()],
        ]
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_spaces() {
        let text = table(&["NAME", "STATE", "TEMPLATE"], &rows(), Paint::Plain);
        assert_eq!(text, "NAME   STATE    TEMPLATE\nweb    running  base\nmönch  failed\n");
    }

    #[test]
    fn colour_changes_no_width() {
        let text = table(&["NAME", "STATE", "TEMPLATE"], &rows(), Paint::Colored);
        let first = text.lines().nth(1).unwrap();
        assert_eq!(first, "web    \x1b[32mrunning\x1b[0m  base");
    }

    #[test]
    fn pairs_line_up() {
        assert_eq!(pairs(&[("id", "m1".into()), ("name", "web".into())], Paint::Plain), "id    m1\nname  web\n");
    }
}
