//! The Dockerfile executor: plan, cache, tree arithmetic and process steps.
#![forbid(unsafe_code)]
