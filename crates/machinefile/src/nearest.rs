//! The known word that a mistyped one was meant to be.

use strsim::osa_distance;

/// The nearest of the known words, if one is near enough to be meant.
pub(crate) fn nearest<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Whoever typed a page did not mean a word.
    if typed.len() > 40 {
        return None;
    }
    let enough = (typed.chars().count() / 3).max(1);
    let lower = typed.to_lowercase();
    let by_distance = known.into_iter().map(|word| (osa_distance(&lower, word), word));
    by_distance.filter(|(distance, _)| *distance <= enough).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_if_it_is_near() {
        let known = ["ports", "packages", "provision", "env"];
        assert_eq!(nearest("port", known), Some("ports"));
        assert_eq!(nearest("pakages", known), Some("packages"));
        assert_eq!(nearest("prots", known), Some("ports"), "two letters that changed places are one mistake");
        assert_eq!(nearest("Env", known), Some("env"));
        assert_eq!(nearest("kernel", known), None);
        assert_eq!(nearest(&"p".repeat(1000), known), None);
    }
}
