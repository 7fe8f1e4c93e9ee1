//! Pure choices: each takes values and returns values.

pub mod admit;
pub mod egress;
pub mod found;
