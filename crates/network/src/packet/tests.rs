//! What is read of frames, and what is not.
