//! From a plan to verified indexes.

use super::error::AcquireError;
use super::plan::plan;
use super::{Acquired, Context};
use crate::request::Request;

/// Opens every source of a request: Release files, their signatures, and indexes.
///
/// # Errors
/// [`AcquireError`]: what is unsigned, expired, older than seen before, not what was asked for, or cannot be fetched.
pub fn open(request: &Request, context: &Context<'_>) -> Result<Acquired, AcquireError> {
    let plan = plan(request, context.host)?;
    for notice in &plan.notices {
        context.observer.event(super::Event::Notice(notice));
    }
    Err(AcquireError::Unsupported { what: format!("reading indexes of {}", plan.suite.codename) })
}
