//! Packages, composed roots and the database beside what dpkg itself makes of the same packages.
#![allow(missing_docs, clippy::print_stdout)]

mod configure;
mod corners;
mod database;
mod kit;
mod packages;
mod random;
mod real;
