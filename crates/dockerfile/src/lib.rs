//! Dockerfiles and ignore files: parsing, expansion and matching, without touching a file.
#![forbid(unsafe_code)]
