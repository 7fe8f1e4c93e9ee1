//! Frames as a guest sends them, for tests.
