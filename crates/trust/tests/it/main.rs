//! Verification as an archive's user meets it.

mod documents;
mod judgement;
mod keyrings;
mod keys;
mod official;
mod oracle;
