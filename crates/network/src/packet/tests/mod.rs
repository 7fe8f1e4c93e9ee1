//! What is read and written of frames, and what is not.

mod fragments;
mod fuzz;
mod golden;
mod outbox;
mod reading;
mod writing;
