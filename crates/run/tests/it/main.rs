//! Containers as they are: a static probe inside says what it sees. Run by root, by a user with a range of IDs and by one
//! without; what needs more than the caller has is skipped by name.
#![allow(clippy::print_stderr)]

mod confinement;
mod exits;
mod job;
mod reference;
mod roots;
mod sessions;
mod streams;
mod world;
