//! Small programs in C: one that says what it sees from inside a container, and a clock for programs that ask theirs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The probe's source: plain C, one file, no library but the compiler's own static libc.
const PROBE: &str = include_str!("probe.c");

/// The clock's source.
const CLOCK: &str = include_str!("clock.c");

/// Compiles the probe once per temporary folder and returns its path.
///
/// # Errors
/// The reason for a skip: no compiler, or no static libc.
pub fn build() -> Result<PathBuf, String> {
    compile("probe", PROBE, &["-static", "-O1", "-s", "-w"])
}

/// Compiles a library that, preloaded, gives programs a clock so many seconds ahead, and returns its path.
///
/// # Errors
/// The reason for a skip: no compiler, or no libc for it.
pub fn clock(ahead: u64) -> Result<PathBuf, String> {
    compile("clock.so", CLOCK, &["-shared", "-fPIC", "-O1", "-s", &format!("-DSHIFT={ahead}")])
}

fn compile(name: &str, source: &str, options: &[&str]) -> Result<PathBuf, String> {
    let compiler = crate::oracle::find("cc").ok_or("no C compiler")?;
    let uid = crate::privilege::ids().0;
    let key = hash(format!("{options:?}{source}").as_bytes());
    let folder = std::env::temp_dir().join(format!("bedplate-probe-{uid}-{key:016x}"));
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let own = tempfile::Builder::new().prefix("new").tempdir_in(&folder).map_err(|error| error.to_string())?;
    let text = own.path().join("source.c");
    let made = own.path().join(name);
    std::fs::write(&text, source).map_err(|error| error.to_string())?;
    let output = Command::new(compiler)
        .args(options)
        .arg("-o")
        .arg(&made)
        .arg(&text)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("cc {options:?} fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::rename(&made, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

/// FNV-1a: a name for a source, no more.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_ids_and_the_like() {
        let program = match build() {
            Ok(program) => program,
            Err(reason) => return crate::skip::note("testkit::probe", &reason),
        };
        let output = Command::new(&program).arg("report").output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        let (uid, gid) = crate::privilege::ids();
        assert!(text.contains(&format!("uid {uid} {uid}\n")), "{text}");
        assert!(text.contains(&format!("gid {gid} {gid}\n")), "{text}");
        for key in [
            "hostname ",
            "cwd ",
            "CapEff ",
            "NoNewPrivs ",
            "Seccomp ",
            "umask ",
            "ns mnt ",
            "rlimit nofile ",
            "interface lo ",
            "mount ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(key)), "no {key:?} in {text}");
        }
        assert_eq!(Command::new(&program).args(["exit", "42"]).status().unwrap().code(), Some(42));
    }

    #[test]
    fn the_clock_is_ahead() {
        let library = match clock(1_000_000_000) {
            Ok(library) => library,
            Err(reason) => return crate::skip::note("testkit::clock", &reason),
        };
        let output = Command::new("date").arg("+%s").env("LD_PRELOAD", library).output().unwrap();
        let shown: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!((now + 999_999_000..=now + 1_000_000_001).contains(&shown), "{shown}");
    }

    #[test]
    fn names_the_answer_of_a_system_call() {
        let Ok(program) = build() else { return };
        let output = Command::new(&program).args(["syscalls", "getpid", "unshare_user"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("getpid 0\nunshare_user "), "{text}");
    }
}
