//! How many bytes something occupies, for people. Sizes that people ask for are the API's `MiB`.

/// Bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
