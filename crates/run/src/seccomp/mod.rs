//! Filters of system calls: rules, the default profile, and their compilation to the kernel's BPF.
//!
//! The compiled filter finds a call by halving: nine comparisons instead of four hundred, which also makes loading it
//! cheap, since the kernel runs it once for every call number then.

mod compile;
mod profile;
mod rules;
mod syscalls;

pub use compile::compile;
pub use profile::default_profile;
pub use rules::{Action, Arch, LARGEST_PROFILE, MOST_TESTS, Op, Profile, ProfileError, Rule, Test};

#[cfg(test)]
mod tests;
