#!/bin/sh
# Builds bedplate, bootstraps Debian 13 from the archive that this machine is set to (or Debian's own) and runs a process in it.
# Needs a Rust toolchain and a network; no root, where the user has a range in /etc/subuid and /etc/subgid; no daemon.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --package bedplate
bedplate=$(ls -t "${CARGO_TARGET_DIR:-target}"/*-linux-*/release/bedplate | head -n 1)
"$bedplate" bootstrap debian:trixie --tag trixie
"$bedplate" run --rm trixie cat /etc/os-release
