//! From an image's container config and what the user says to a [`RuntimeConfig`].

use std::path::Path;

use bedplate_oci::ContainerConfig;
use thiserror::Error;

use crate::config::{DEFAULT_PATH, Limit, MASKED_PATHS, Mount, Network, READ_ONLY_PATHS, RuntimeConfig, Seccomp};

/// What a user says about one container, each flag parsed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The words after the image's name.
    pub command: Vec<String>,
    /// `--entrypoint`: an empty one takes the image's away.
    pub entrypoint: Option<String>,
    /// `--env` and the lines of `--env-file`: `NAME=value`, or `NAME` for the host's own value.
    pub env: Vec<String>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--tty`.
    pub terminal: bool,
    /// `--init`.
    pub init: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--network`.
    pub network: Network,
    /// `--privileged`.
    pub privileged: bool,
    /// Names of capabilities.
    pub capabilities: Vec<String>,
    /// `--security-opt no-new-privileges`.
    pub no_new_privileges: bool,
    /// `--security-opt seccomp`.
    pub seccomp: Seccomp,
    /// `--security-opt systempaths=unconfined`.
    pub unmasked: bool,
    /// `--volume`, `--mount`, `--tmpfs`, in their order.
    pub mounts: Vec<Mount>,
    /// `--ulimit`.
    pub limits: Vec<Limit>,
    /// `--shm-size`.
    pub shm_size: Option<u64>,
}

/// What a container takes from the host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The host's name.
    pub hostname: String,
    /// The content of `/etc/hosts`.
    pub hosts: Option<String>,
    /// The content of `/etc/resolv.conf`.
    pub resolv_conf: Option<String>,
    /// Paths of this machine that are to be masked besides the usual ones.
    pub masked_paths: Vec<String>,
}

impl Host {
    /// Looks at this machine.
    pub fn look() -> Self {
        // A machine without these files gives none.
        let read = |path: &str| std::fs::read(path).ok().map(|t| String::from_utf8_lossy(&t).into_owned());
        let mut masked_paths = Vec::new();
        let throttle = |n: usize| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle");
        if Path::new(&throttle(0)).exists() {
            masked_paths.extend((0..).map(throttle).take_while(|p| Path::new(p).exists()));
        }
        Self {
            hostname: bedplate_sys::process::host_name(),
            hosts: read("/etc/hosts"),
            resolv_conf: read("/etc/resolv.conf"),
            masked_paths,
        }
    }
}

/// Why there is no container to be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    /// There is nothing to run.
    #[error("no command: the image has neither ENTRYPOINT nor CMD, and none was given")]
    NoCommand,
    /// The working directory is relative.
    #[error("the working directory {found:?} is not an absolute path")]
    WorkDir {
        /// What was found.
        found: String,
    },
    /// A variable that cannot be.
    #[error("invalid environment variable {found:?}: expected NAME=value or NAME")]
    Variable {
        /// What was found.
        found: String,
    },
}

/// Works out a container. `id` is its ID, whose first twelve digits name it; `variable` gives the caller's own variables.
///
/// # Errors
/// [`ResolveError`].
pub fn resolve(
    image: &ContainerConfig,
    request: &Request,
    host: &Host,
    id: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<RuntimeConfig, ResolveError> {
    let args = words(image, request);
    if args.iter().all(String::is_empty) {
        return Err(ResolveError::NoCommand);
    }
    let own_name = request.hostname.clone();
    let hostname = own_name.clone().unwrap_or_else(|| match request.network {
        // The host's network comes with the name that it answers to there.
        Network::Host => host.hostname.clone(),
        Network::None => id.chars().take(12).collect(),
    });
    let cwd = request.workdir.clone().unwrap_or_else(|| image.working_dir.clone());
    let cwd = if cwd.is_empty() { "/".to_owned() } else { cwd };
    if !cwd.starts_with('/') {
        return Err(ResolveError::WorkDir { found: cwd });
    }
    let unmasked = request.unmasked || request.privileged;
    let paths = |list: &[&str]| -> Vec<String> {
        if unmasked { Vec::new() } else { list.iter().map(|p| (*p).to_owned()).collect() }
    };
    let mut masked_paths = paths(&MASKED_PATHS);
    if !unmasked {
        masked_paths.extend(host.masked_paths.iter().cloned());
    }
    let defaults = RuntimeConfig::default();
    Ok(RuntimeConfig {
        args,
        env: environment(image, request, &hostname, variable)?,
        cwd,
        user: request.user.clone().unwrap_or_else(|| image.user.clone()),
        terminal: request.terminal,
        init: request.init,
        read_only: request.read_only,
        network: request.network,
        privileged: request.privileged,
        capabilities: request.capabilities.clone(),
        no_new_privileges: request.no_new_privileges,
        seccomp: request.seccomp.clone(),
        mounts: request.mounts.clone(),
        masked_paths,
        read_only_paths: paths(&READ_ONLY_PATHS),
        limits: request.limits.clone(),
        shm_size: request.shm_size.unwrap_or(defaults.shm_size),
        hosts: Some(hosts(request.network, host, own_name.as_deref())),
        hostname_file: Some(format!("{hostname}\n")),
        resolv_conf: Some(host.resolv_conf.clone().unwrap_or_default()),
        hostname,
        ..defaults
    })
}

/// The command with its arguments: entry point and words, the image's or the user's.
pub fn words(image: &ContainerConfig, request: &Request) -> Vec<String> {
    let own = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let mut args = match &request.entrypoint {
        Some(program) if program.is_empty() => Vec::new(),
        Some(program) => vec![program.clone()],
        None => own(&image.entrypoint),
    };
    // Another entry point takes the image's CMD away: it was made for the image's own.
    if request.command.is_empty() && request.entrypoint.is_none() {
        args.extend(own(&image.cmd));
    } else {
        args.extend(request.command.iter().cloned());
    }
    args
}

/// Docker's order: PATH, HOSTNAME, TERM, then the image's and the user's, each in the place of one of its name.
fn environment(
    image: &ContainerConfig,
    request: &Request,
    hostname: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ResolveError> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    if request.terminal {
        env.push("TERM=xterm".to_owned());
    }
    let name = |v: &str| v.split('=').next().unwrap_or_default().to_owned();
    let set = |env: &mut Vec<String>, v: String| match env.iter_mut().find(|e| name(e) == name(&v)) {
        Some(e) => *e = v,
        None => env.push(v),
    };
    for v in &image.env {
        set(&mut env, v.clone());
    }
    for v in &request.env {
        if name(v).is_empty() || v.contains('\0') {
            return Err(ResolveError::Variable { found: v.clone() });
        }
        match (v.contains('='), variable(v)) {
            (true, _) => set(&mut env, v.clone()),
            (false, Some(value)) => set(&mut env, format!("{v}={value}")),
            // Named but not set: the image's is taken away.
            (false, None) => env.retain(|e| name(e) != *v),
        }
    }
    Ok(env)
}

fn hosts(network: Network, host: &Host, hostname: Option<&str>) -> String {
    let mut text = match (network, &host.hosts) {
        (Network::Host, Some(hosts)) => hosts.clone(),
        _ => "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
              ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned(),
    };
    if let Some(name) = hostname {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("127.0.1.1\t{name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(s: &[&str]) -> Vec<String> {
        s.iter().map(|s| (*s).to_owned()).collect()
    }

    fn image(entrypoint: &[&str], cmd: &[&str]) -> ContainerConfig {
        let some = |s: &[&str]| (!s.is_empty()).then(|| strings(s));
        ContainerConfig { entrypoint: some(entrypoint), cmd: some(cmd), ..ContainerConfig::default() }
    }

    #[test]
    fn commands() {
        // ENTRYPOINT | CMD | --entrypoint | words | expected
        for (entrypoint, cmd, own, command, expected) in [
            (&[][..], &["sh"][..], None, &[][..], &["sh"][..]),
            (&["/e"], &["c"], None, &[], &["/e", "c"]),
            (&["/e"], &["c"], None, &["x", "y"], &["/e", "x", "y"]),
            (&["/e"], &["c"], Some("/o"), &[], &["/o"]),
            (&["/e"], &["c"], Some("/o"), &["x"], &["/o", "x"]),
            (&["/e"], &["c"], Some(""), &["x"], &["x"]),
            (&["/e"], &["c"], Some(""), &[], &[]),
            (&[], &[], None, &[], &[]),
            (&[], &[], None, &["x"], &["x"]),
        ] {
            let request =
                Request { entrypoint: own.map(str::to_owned), command: strings(command), ..Request::default() };
            let found = resolve(&image(entrypoint, cmd), &request, &Host::default(), "id", &|_| None);
            match found {
                Ok(config) => assert_eq!(config.args, expected),
                Err(e) => assert_eq!((e, expected.len()), (ResolveError::NoCommand, 0)),
            }
        }
    }

    #[test]
    fn variables_in_docker_s_order() {
        let mut image = image(&[], &["sh"]);
        image.env = strings(&["A=image", "PATH=/image", "GONE=1"]);
        let request = Request {
            env: strings(&["B=user", "A=user", "HOST", "MISSING", "GONE", "EMPTY="]),
            terminal: true,
            hostname: Some("box".into()),
            ..Request::default()
        };
        let variable = |name: &str| (name == "HOST").then(|| "value".to_owned());
        let config = resolve(&image, &request, &Host::default(), "id", &variable).unwrap();
        assert_eq!(
            config.env,
            ["PATH=/image", "HOSTNAME=box", "TERM=xterm", "A=user", "B=user", "HOST=value", "EMPTY="]
        );
        let bad = Request { env: strings(&["=x"]), ..request };
        assert_eq!(
            resolve(&image, &bad, &Host::default(), "id", &|_| None),
            Err(ResolveError::Variable { found: "=x".into() })
        );
    }

    #[test]
    fn names_and_places() {
        let host = Host { hostname: "machine".into(), hosts: Some("1.2.3.4 x".into()), ..Host::default() };
        let id = "0123456789abcdef";
        let with = |request: &Request| resolve(&image(&[], &["sh"]), request, &host, id, &|_| None);
        let config = with(&Request::default()).unwrap();
        assert_eq!((config.hostname.as_str(), config.cwd.as_str()), ("machine", "/"));
        assert_eq!(config.hosts.as_deref(), Some("1.2.3.4 x"));
        let none = Request { network: Network::None, ..Request::default() };
        let config = with(&none).unwrap();
        assert_eq!(config.hostname, "0123456789ab");
        assert!(config.hosts.unwrap().starts_with("127.0.0.1\tlocalhost\n"));
        let named = Request { hostname: Some("box".into()), ..Request::default() };
        assert_eq!(with(&named).unwrap().hosts.as_deref(), Some("1.2.3.4 x\n127.0.1.1\tbox\n"));
        let relative = Request { workdir: Some("a/b".into()), ..Request::default() };
        assert_eq!(with(&relative), Err(ResolveError::WorkDir { found: "a/b".into() }));
    }

    #[test]
    fn privileged_sees_all_paths() {
        let host = Host { masked_paths: vec!["/sys/x".into()], ..Host::default() };
        for (privileged, unmasked, masked, read_only) in
            [(false, false, 13, 5), (true, false, 0, 0), (false, true, 0, 0)]
        {
            let request = Request { privileged, unmasked, ..Request::default() };
            let config = resolve(&image(&[], &["sh"]), &request, &host, "id", &|_| None).unwrap();
            assert_eq!((config.masked_paths.len(), config.read_only_paths.len()), (masked, read_only));
        }
    }
}
