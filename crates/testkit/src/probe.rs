//! A small static program that says what it sees from inside a container.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Its source: plain C, one file, no library but the compiler's own static libc.
const SOURCE: &str = include_str!("probe.c");

/// Compiles the probe once per temporary folder and returns its path.
///
/// # Errors
/// The reason for a skip: no compiler, or no static libc.
pub fn build() -> Result<PathBuf, String> {
    let compiler = crate::oracle::find("cc").ok_or("no C compiler")?;
    let uid = crate::privilege::ids().0;
    let folder = std::env::temp_dir().join(format!("bedplate-probe-{uid}-{:016x}", hash(SOURCE.as_bytes())));
    let program = folder.join("probe");
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let own = tempfile::Builder::new().prefix("new").tempdir_in(&folder).map_err(|error| error.to_string())?;
    let source = own.path().join("probe.c");
    let made = own.path().join("probe");
    std::fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
    let output = Command::new(compiler)
        .args(["-static", "-O1", "-s", "-w", "-o"])
        .arg(&made)
        .arg(&source)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("cc -static fails: {}", String::from_utf8_lossy(&output.stderr)));
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
    fn names_the_answer_of_a_system_call() {
        let Ok(program) = build() else { return };
        let output = Command::new(&program).args(["syscalls", "getpid", "unshare_user"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("getpid 0\nunshare_user "), "{text}");
    }
}
