//! The seams: what the engine needs of the world, as traits that others keep.
//! Every method is repeatable; every seam has at most eight.

pub mod awakening;
pub mod folders;
pub mod guest;
pub mod image_source;
pub mod ledger;
pub mod memory_image;
pub mod network;
pub mod project;
pub mod provider;
pub mod service;
