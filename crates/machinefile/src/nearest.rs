//! The known word that a mistyped one was meant to be.

/// The nearest of the known words, if one is near enough to be meant.
pub(crate) fn nearest<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Whoever typed a page did not mean a word.
    if typed.len() > 40 {
        return None;
    }
    let enough = (typed.chars().count() / 3).max(1);
    let lower = typed.to_lowercase();
    let by_distance = known.into_iter().map(|word| (distance(&lower, word), word));
    by_distance.filter(|(distance, _)| *distance <= enough).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// Levenshtein's distance: how many letters are put in, taken out or changed.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_if_it_is_near() {
        let known = ["ports", "packages", "provision", "env"];
        assert_eq!(nearest("port", known), Some("ports"));
        assert_eq!(nearest("pakages", known), Some("packages"));
        assert_eq!(nearest("Env", known), Some("env"));
        assert_eq!(nearest("kernel", known), None);
        assert_eq!(nearest(&"p".repeat(1000), known), None);
    }

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("äb", "ab"), 1);
    }
}
