//! `KEY=VALUE`, for environment and labels.

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// What stands before the first `=`.
    pub(crate) key: String,
    /// What stands after it.
    pub(crate) value: String,
}

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            Some(_) => Err(format!("no key before '=': '{text}'")),
            None => Err(format!("not KEY=VALUE: '{text}'")),
        }
    }
}

/// Pairs as a map; of two with the same key the later one counts.
pub(crate) fn map(pairs: &[Pair]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_separates() {
        let pair: Pair = "A=b=c".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("A", "b=c"));
        assert_eq!("A=".parse::<Pair>().unwrap().value, "");
        assert!("=b".parse::<Pair>().is_err());
        assert!("A".parse::<Pair>().is_err());
    }

    #[test]
    fn the_later_of_two_counts() {
        let pairs = ["A=1", "A=2"].map(|text| text.parse().unwrap());
        assert_eq!(map(&pairs)["A"], "2");
    }
}
