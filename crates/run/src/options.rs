//! What a user says about a container, in Docker's spelling: volumes, mounts, limits, capabilities, variables.
//!
//! Each function parses the value of one flag. Nothing is looked up on the host here.

use std::path::PathBuf;

use bedplate_sys::caps::LinuxCapability;
use bedplate_sys::process::Resource;
use thiserror::Error;

use crate::config::{DEFAULT_CAPABILITIES, Limit, Mount};

/// Largest file of variables that is read, in bytes: an environment beyond two megabytes cannot be passed to a program.
pub const LARGEST_ENV_FILE: usize = 4 << 20;

/// Why the value of a flag cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("invalid value {value:?} for {flag}: {why}")]
pub struct OptionError {
    /// The flag with its dashes.
    pub flag: &'static str,
    /// What was given.
    pub value: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

fn invalid(flag: &'static str, value: &str, why: impl Into<String>) -> OptionError {
    OptionError { flag, value: value.to_owned(), why: why.into() }
}

fn target(flag: &'static str, value: &str, path: &str) -> Result<String, OptionError> {
    if !path.starts_with('/') {
        return Err(invalid(flag, value, format!("the path in the container, {path:?}, is not absolute")));
    }
    if path.split('/').all(|part| matches!(part, "" | ".")) {
        return Err(invalid(flag, value, "nothing can be mounted upon \"/\""));
    }
    Ok(path.to_owned())
}

/// Parses `--volume SOURCE:TARGET[:OPTIONS]`.
///
/// `here` is the directory that a source beginning with `.` is relative to.
///
/// # Errors
/// A relative target, a source that is the name of a volume, unknown options.
pub fn volume(value: &str, here: &std::path::Path) -> Result<Mount, OptionError> {
    const FLAG: &str = "--volume";
    let fields: Vec<&str> = value.split(':').collect();
    let (source, path, options) = match fields.as_slice() {
        [_] => {
            let why = "anonymous volumes are not supported; use SOURCE:TARGET, or --tmpfs for what may be forgotten";
            return Err(invalid(FLAG, value, why));
        }
        [source, path] => (*source, *path, ""),
        [source, path, options] => (*source, *path, *options),
        _ => return Err(invalid(FLAG, value, "expected SOURCE:TARGET or SOURCE:TARGET:OPTIONS")),
    };
    let source = if source.starts_with('/') {
        PathBuf::from(source)
    } else if source == "." || source == ".." || source.starts_with("./") || source.starts_with("../") {
        here.join(source)
    } else {
        let why = format!("named volumes are not supported; for a directory write \"./{source}\"");
        return Err(invalid(FLAG, value, why));
    };
    let mut read_only = false;
    let mut recursive = true;
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" | "readonly" => read_only = true,
            "rbind" => recursive = true,
            "bind" => recursive = false,
            // Labels of SELinux, hints of Docker Desktop, and propagation, of which there is none: a container's mounts
            // are its own.
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" | "private" | "rprivate" => {}
            "slave" | "rslave" | "shared" | "rshared" => {
                return Err(invalid(FLAG, value, format!("propagation {option:?} is not supported")));
            }
            _ => return Err(invalid(FLAG, value, format!("unknown option {option:?}; known are ro and rw"))),
        }
    }
    Ok(Mount::Bind { source, target: target(FLAG, value, path)?, read_only, recursive })
}

/// Parses `--mount type=bind|tmpfs,KEY=VALUE,…`; fields may be quoted as in CSV.
///
/// # Errors
/// Unknown types and keys, missing ones, relative paths.
pub fn mount(value: &str, here: &std::path::Path) -> Result<Mount, OptionError> {
    const FLAG: &str = "--mount";
    let fail = |why: String| invalid(FLAG, value, why);
    let (mut kind, mut source, mut path) = ("volume".to_owned(), None, None);
    let (mut read_only, mut recursive) = (false, true);
    let (mut size, mut mode) = (None, None);
    for field in csv(value).map_err(|why| fail(why.to_owned()))? {
        let (key, text) = match field.split_once('=') {
            Some((key, text)) => (key.to_ascii_lowercase(), text),
            None => (field.to_ascii_lowercase(), "true"),
        };
        let flag = || match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(fail(format!("{key} is {text:?}; expected true or false"))),
        };
        match key.as_str() {
            "type" => kind = text.to_ascii_lowercase(),
            "source" | "src" => source = Some(text.to_owned()),
            "target" | "destination" | "dst" => path = Some(text.to_owned()),
            "readonly" | "ro" => read_only = flag()?,
            "rw" => read_only = !flag()?,
            "bind-nonrecursive" => recursive = !flag()?,
            "bind-recursive" => recursive = text != "disabled",
            "bind-propagation" if matches!(text, "private" | "rprivate") => {}
            "consistency" => {}
            "tmpfs-size" => size = Some(bytes(text).ok_or_else(|| fail(format!("{text:?} is no size")))?),
            "tmpfs-mode" => {
                let digits = u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777);
                mode = Some(digits.ok_or_else(|| fail(format!("{text:?} is no octal mode")))?);
            }
            _ => return Err(fail(format!("unknown key {key:?}"))),
        }
    }
    let path = path.ok_or_else(|| fail("target is missing".to_owned()))?;
    let target = target(FLAG, value, &path)?;
    match kind.as_str() {
        "bind" => {
            let source = source.ok_or_else(|| fail("source is missing".to_owned()))?;
            Ok(Mount::Bind { source: here.join(source), target, read_only, recursive })
        }
        "tmpfs" if source.is_some() => Err(fail("a tmpfs has no source".to_owned())),
        "tmpfs" => {
            let mut options = Vec::new();
            options.extend(size.map(|s| format!("size={s}")));
            options.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
            let options = options.join(",");
            Ok(Mount::Tmpfs { target, read_only, exec: false, suid: false, dev: false, options })
        }
        "volume" => Err(fail("volumes are not supported; use type=bind or type=tmpfs".to_owned())),
        other => Err(fail(format!("unknown type {other:?}; known are bind and tmpfs"))),
    }
}

/// Splits at commas; a field in double quotes may hold them, and `""` for a quote.
///
/// # Errors
/// A quote that is not closed.
pub fn csv(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let at_start = fields.last().is_some_and(String::is_empty);
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if at_start => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted { Err("a quote is not closed") } else { Ok(fields) }
}

/// Parses a size: a number of bytes, or one with `k`, `m`, `g`, `t` (powers of 1024), and maybe `b`.
pub fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, shift) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 10),
        'm' => (&lower[..lower.len() - 1], 20),
        'g' => (&lower[..lower.len() - 1], 30),
        't' => (&lower[..lower.len() - 1], 40),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Parses `--tmpfs TARGET[:OPTIONS]`.
///
/// # Errors
/// A relative path, unknown options.
pub fn tmpfs(value: &str) -> Result<Mount, OptionError> {
    const FLAG: &str = "--tmpfs";
    let (path, words) = value.split_once(':').unwrap_or((value, ""));
    let (mut read_only, mut exec, mut suid, mut dev) = (false, false, false, false);
    let mut options = Vec::new();
    for word in words.split(',').filter(|w| !w.is_empty()) {
        match word {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "exec" => exec = true,
            "noexec" => exec = false,
            "suid" => suid = true,
            "nosuid" => suid = false,
            "dev" => dev = true,
            "nodev" => dev = false,
            "relatime" | "noatime" | "strictatime" | "nodiratime" | "async" | "private" | "rprivate" => {}
            _ => {
                let key = word.split('=').next().unwrap_or_default();
                let known = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
                if !word.contains('=') || !known.contains(&key) {
                    return Err(invalid(FLAG, value, format!("unknown option {word:?}")));
                }
                options.push(word.to_owned());
            }
        }
    }
    let options = options.join(",");
    Ok(Mount::Tmpfs { target: target(FLAG, value, path)?, read_only, exec, suid, dev, options })
}

/// Parses `--ulimit NAME=SOFT[:HARD]`; -1 is no limit.
///
/// # Errors
/// Unknown names, numbers that are none, a soft limit above the hard one.
pub fn ulimit(value: &str) -> Result<Limit, OptionError> {
    const FLAG: &str = "--ulimit";
    let fail = |why: String| invalid(FLAG, value, why);
    let (name, limits) =
        value.split_once('=').ok_or_else(|| fail("expected NAME=SOFT or NAME=SOFT:HARD".to_owned()))?;
    if Resource::by_name(name).is_none() {
        let known: Vec<&str> = Resource::NAMES.iter().map(|(n, _)| *n).collect();
        return Err(fail(format!("unknown limit {name:?}; known are {}", known.join(", "))));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        _ => text.parse::<u64>().map(Some).map_err(|_| fail(format!("{text:?} is no limit"))),
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err(fail("the soft limit is above the hard one".to_owned()));
    }
    Ok(Limit { name: name.to_owned(), soft, hard })
}

/// Works out the capabilities from Docker's 14, `--cap-add` and `--cap-drop`; `ALL` is all there are.
///
/// # Errors
/// Unknown names.
pub fn capabilities(add: &[String], drop: &[String]) -> Result<Vec<String>, OptionError> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("all");
    let known = |flag, names: &[String]| -> Result<Vec<&'static str>, OptionError> {
        let known = |name: &String| {
            LinuxCapability::by_name(name)
                .map(LinuxCapability::name)
                .ok_or_else(|| invalid(flag, name, "unknown capability"))
        };
        names.iter().filter(|n| !is_all(n)).map(known).collect()
    };
    let (added, dropped) = (known("--cap-add", add)?, known("--cap-drop", drop)?);
    let (all_added, all_dropped) = (add.iter().any(is_all), drop.iter().any(is_all));
    let every = || LinuxCapability::all().map(LinuxCapability::name);
    let base: Vec<&str> = match (all_added, all_dropped) {
        (true, _) => every().filter(|c| !dropped.contains(c)).collect(),
        (false, true) => added,
        (false, false) => DEFAULT_CAPABILITIES
            .iter()
            .copied()
            .filter(|c| !dropped.contains(c))
            .chain(added.iter().copied().filter(|c| !DEFAULT_CAPABILITIES.contains(c)))
            .collect(),
    };
    Ok(base.into_iter().map(str::to_owned).collect())
}

/// What a `--security-opt` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    /// Programs that would change the user do not, or do.
    NoNewPrivileges(bool),
    /// All system calls.
    SeccompUnconfined,
    /// The built-in list of system calls.
    SeccompDefault,
    /// The list in this file.
    SeccompFile(PathBuf),
    /// No masked and read-only paths.
    SystemPathsUnconfined,
    /// Nothing: the kernel's labels are left as they are.
    Nothing,
}

/// Parses `--security-opt`.
///
/// # Errors
/// Unknown options, and profiles of AppArmor and SELinux, which are not set here.
pub fn security(value: &str) -> Result<SecurityOption, OptionError> {
    const FLAG: &str = "--security-opt";
    let (key, text) = value.split_once(['=', ':']).unwrap_or((value, ""));
    Ok(match (key, text) {
        ("no-new-privileges", "" | "true") => SecurityOption::NoNewPrivileges(true),
        ("no-new-privileges", "false") => SecurityOption::NoNewPrivileges(false),
        ("seccomp", "unconfined") => SecurityOption::SeccompUnconfined,
        ("seccomp", "builtin") => SecurityOption::SeccompDefault,
        ("seccomp", file) if !file.is_empty() => SecurityOption::SeccompFile(file.into()),
        ("systempaths", "unconfined") => SecurityOption::SystemPathsUnconfined,
        ("apparmor", "unconfined") | ("label", "disable") => SecurityOption::Nothing,
        ("apparmor" | "label", _) => {
            return Err(invalid(
                FLAG,
                value,
                "profiles of AppArmor and SELinux are not set; they stay the caller's own",
            ));
        }
        _ => {
            let why = "known are no-new-privileges, seccomp=unconfined|builtin|FILE and systempaths=unconfined";
            return Err(invalid(FLAG, value, why));
        }
    })
}

/// Parses the lines of an `--env-file`: `NAME=value`, or `NAME` for the caller's own value.
///
/// # Errors
/// Names with white space, a file beyond [`LARGEST_ENV_FILE`] or not in UTF-8.
pub fn env_file(text: &[u8]) -> Result<Vec<String>, OptionError> {
    const FLAG: &str = "--env-file";
    if text.len() > LARGEST_ENV_FILE {
        return Err(invalid(
            FLAG,
            "",
            format!("the file has {} bytes; at most {LARGEST_ENV_FILE} are read", text.len()),
        ));
    }
    let text = std::str::from_utf8(text).map_err(|e| {
        let line = text[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        invalid(FLAG, "", format!("line {line} is not valid UTF-8"))
    })?;
    let mut found = Vec::new();
    for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(invalid(FLAG, line, format!("line {} has no name before \"=\"", number + 1)));
        }
        if name.contains(char::is_whitespace) {
            return Err(invalid(FLAG, line, format!("line {} has white space in the name {name:?}", number + 1)));
        }
        found.push(line.to_owned());
    }
    Ok(found)
}

/// Checks the value of `--hostname`.
///
/// # Errors
/// Names that are empty, longer than the kernel takes, or of other characters than letters, digits, `-`, `_` and `.`.
pub fn hostname(value: &str) -> Result<String, OptionError> {
    /// `__NEW_UTS_LEN`.
    const LONGEST: usize = 64;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if value.is_empty() || value.len() > LONGEST || !value.chars().all(good) || value.starts_with('-') {
        let why = format!(
            "a host name has 1 to {LONGEST} letters, digits, \"-\", \"_\" and \".\", and does not begin with \"-\""
        );
        return Err(invalid("--hostname", value, why));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn here() -> &'static Path {
        Path::new("/home/anna")
    }

    #[test]
    fn volumes() {
        let bind = |source: &str, target: &str, read_only| {
            Some(Mount::Bind { source: source.into(), target: target.into(), read_only, recursive: true })
        };
        for (value, expected) in [
            ("/a:/b", bind("/a", "/b", false)),
            ("/a:/b:ro", bind("/a", "/b", true)),
            ("/a:/b:rw,z", bind("/a", "/b", false)),
            (".:/b", bind("/home/anna/.", "/b", false)),
            ("./x:/b:ro", bind("/home/anna/./x", "/b", true)),
            ("../x:/b", bind("/home/anna/../x", "/b", false)),
            ("name:/b", None),
            ("/b", None),
            ("/a:b", None),
            ("/a:/", None),
            ("/a:/./", None),
            ("/a:/b:rshared", None),
            ("/a:/b:nonsense", None),
            ("/a:/b:ro:x", None),
            ("", None),
        ] {
            assert_eq!(volume(value, here()).ok(), expected, "{value}");
        }
        assert_eq!(
            volume("name:/b", here()).unwrap_err().to_string(),
            "invalid value \"name:/b\" for --volume: named volumes are not supported; for a directory write \"./name\""
        );
    }

    #[test]
    fn mounts() {
        let bind = |source: &str, target: &str, read_only, recursive| {
            Some(Mount::Bind { source: source.into(), target: target.into(), read_only, recursive })
        };
        let tmpfs = |target: &str, options: &str| {
            Some(Mount::Tmpfs {
                target: target.into(),
                read_only: false,
                exec: false,
                suid: false,
                dev: false,
                options: options.into(),
            })
        };
        for (value, expected) in [
            ("type=bind,source=/a,target=/b", bind("/a", "/b", false, true)),
            ("type=bind,src=/a,dst=/b,readonly", bind("/a", "/b", true, true)),
            ("type=bind,src=/a,dst=/b,ro=false", bind("/a", "/b", false, true)),
            ("type=bind,src=a,dst=/b,bind-nonrecursive=true", bind("/home/anna/a", "/b", false, false)),
            ("type=bind,\"src=/with,comma\",dst=/b", bind("/with,comma", "/b", false, true)),
            ("type=tmpfs,target=/t", tmpfs("/t", "mode=1777")),
            ("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=700", tmpfs("/t", "size=67108864,mode=700")),
            ("type=tmpfs,source=/a,target=/t", None),
            ("type=tmpfs,target=/t,tmpfs-mode=9", None),
            ("type=bind,target=/b", None),
            ("type=bind,source=/a", None),
            ("source=v,target=/b", None),
            ("type=bind,source=/a,target=/b,nonsense=1", None),
            ("type=bind,source=/a,target=/b,readonly=maybe", None),
            ("type=bind,\"src=/a", None),
            ("type=npipe,source=/a,target=/b", None),
        ] {
            assert_eq!(mount(value, here()).ok(), expected, "{value}");
        }
    }

    #[test]
    fn tmpfs_limits_and_sizes() {
        let t = tmpfs("/run:rw,exec,size=1m,mode=755").unwrap();
        let expected = Mount::Tmpfs {
            target: "/run".into(),
            read_only: false,
            exec: true,
            suid: false,
            dev: false,
            options: "size=1m,mode=755".into(),
        };
        assert_eq!(t, expected);
        for bad in ["run", "/", "/run:nonsense", "/run:huge=always", "/run:size"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
        for (value, expected) in [
            ("nofile=10", Some((Some(10), Some(10)))),
            ("nofile=10:20", Some((Some(10), Some(20)))),
            ("core=-1", Some((None, None))),
            ("core=0:unlimited", Some((Some(0), None))),
            ("nofile=20:10", None),
            ("nofile=-1:10", None),
            ("nofile", None),
            ("nofile=x", None),
            ("nonsense=1", None),
        ] {
            assert_eq!(ulimit(value).ok().map(|l| (l.soft, l.hard)), expected, "{value}");
        }
        for (text, expected) in [
            ("0", Some(0)),
            ("1k", Some(1024)),
            ("64M", Some(64 << 20)),
            ("2gb", Some(2 << 30)),
            ("1GiB", Some(1 << 30)),
            ("1t", Some(1 << 40)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("18446744073709551615k", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn capability_arithmetic() {
        let caps = |add: &[&str], drop: &[&str]| {
            let own = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            capabilities(&own(add), &own(drop)).map(|c| c.join(" "))
        };
        let default = DEFAULT_CAPABILITIES.join(" ");
        assert_eq!(caps(&[], &[]).unwrap(), default);
        assert_eq!(caps(&["CHOWN"], &[]).unwrap(), default);
        assert_eq!(caps(&["cap_sys_admin"], &[]).unwrap(), format!("{default} SYS_ADMIN"));
        assert_eq!(caps(&[], &["ALL"]).unwrap(), "");
        assert_eq!(caps(&["NET_RAW"], &["all"]).unwrap(), "NET_RAW");
        assert_eq!(caps(&["ALL"], &["SYS_ADMIN"]).unwrap().split(' ').count(), 40);
        assert!(!caps(&[], &["MKNOD"]).unwrap().contains("MKNOD"));
        assert_eq!(
            caps(&["NONSENSE"], &[]).unwrap_err().to_string(),
            "invalid value \"NONSENSE\" for --cap-add: unknown capability"
        );
    }

    #[test]
    fn security_options() {
        use SecurityOption as S;
        for (value, expected) in [
            ("no-new-privileges", Some(S::NoNewPrivileges(true))),
            ("no-new-privileges:true", Some(S::NoNewPrivileges(true))),
            ("no-new-privileges=false", Some(S::NoNewPrivileges(false))),
            ("seccomp=unconfined", Some(S::SeccompUnconfined)),
            ("seccomp:unconfined", Some(S::SeccompUnconfined)),
            ("seccomp=/x.json", Some(S::SeccompFile("/x.json".into()))),
            ("systempaths=unconfined", Some(S::SystemPathsUnconfined)),
            ("apparmor=unconfined", Some(S::Nothing)),
            ("apparmor=strict", None),
            ("label=type:x", None),
            ("nonsense", None),
            ("seccomp=", None),
        ] {
            assert_eq!(security(value).ok(), expected, "{value}");
        }
    }

    #[test]
    fn files_of_variables() {
        assert_eq!(
            env_file(b"\xef\xbb\xbfA=1\n# comment\n\n  B = 2\nC\nD=x y \r\n").unwrap_err().to_string(),
            "invalid value \"B = 2\" for --env-file: line 4 has white space in the name \"B \""
        );
        assert_eq!(
            env_file(b"\xef\xbb\xbfA=1\n# comment\n\n  B=2\nC\nD=x y \n").unwrap(),
            ["A=1", "B=2", "C", "D=x y "]
        );
        assert!(env_file(b"=x").is_err());
        assert!(env_file(b"A=1\nB=\xff").unwrap_err().to_string().contains("line 2"));
        assert!(env_file(&vec![b'#'; LARGEST_ENV_FILE]).is_ok());
        assert!(env_file(&vec![b'#'; LARGEST_ENV_FILE + 1]).is_err());
    }

    #[test]
    fn host_names() {
        for (name, good) in [("box", true), ("a.b-c", true), ("", false), ("-x", false), ("a b", false), ("ä", false)]
        {
            assert_eq!(hostname(name).is_ok(), good, "{name}");
        }
        assert!(hostname(&"a".repeat(64)).is_ok() && hostname(&"a".repeat(65)).is_err());
    }
}
