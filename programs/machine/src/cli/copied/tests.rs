//! Hostile and honest guests against a folder here.
