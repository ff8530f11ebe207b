//! A root filesystem as data: entries, owners, extents, and the arithmetic of layers.
#![forbid(unsafe_code)]
