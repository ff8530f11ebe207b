//! Go templates as Docker's --format uses them, over JSON values.
#![forbid(unsafe_code)]
