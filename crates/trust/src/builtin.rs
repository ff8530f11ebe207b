//! The keyrings that are built in.
