//! Packages, composed roots and the database beside what dpkg itself makes of the same packages.
#![allow(missing_docs)]

mod corners;
mod kit;
mod packages;
mod real;
