//! Container base images from nothing: bootstrap, import, build, run.
//!
//! The binary is thin: it reads the command line, the environment and the clock once ([`context`]), calls a
//! library, and renders what comes back: results on stdout, everything else on stderr ([`failure`]).
#![forbid(unsafe_code)]
// Comments of arguments are help texts: "[,readonly]" there is no link.
#![allow(rustdoc::broken_intra_doc_links)]

mod cli;
mod commands;
mod context;
mod download;
mod failure;
mod format;
mod interrupt;
mod output;
mod progress;
mod rootfs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Kind;

fn main() -> ExitCode {
    failure::explain_panics();
    // A panic is a defect of ours: it ends with a status of its own, never with that of a wrong input.
    std::panic::catch_unwind(program).unwrap_or_else(|_| Kind::Internal.into())
}

fn program() -> ExitCode {
    let arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    if let Some(status) = bedplate_bootstrap::native::run(arguments) {
        return ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX));
    }
    let cli = match Cli::try_parse_from(words()) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let outcome = Context::from_environment(&cli.global).and_then(|context| commands::dispatch(cli.command, &context));
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.report(),
    }
}

/// The command line; called by the name `debootstrap`, it is that command's.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = words.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if name.is_some_and(|name| name == "debootstrap") {
        words.insert(1, "debootstrap".into());
    }
    words
}
