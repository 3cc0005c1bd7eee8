//! What is written, and what reads it.
