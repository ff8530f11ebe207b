//! What is given to a build beside its context: secrets and SSH agents.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use bedplate_build::{Agent, Secret};
use bedplate_run::{Bytes, options};

use crate::failure::{Failure, Kind};

/// The largest secret, as BuildKit has it.
const MAX_SECRET: u64 = 500 * 1024;

/// Where a shell's agent listens.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// The fields of a flag's value, keys in lower case: `type=tar,"dest=a,b"`.
pub(super) fn fields(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut fields = Vec::new();
    let all = options::csv(text).map_err(|why| Failure::new(Kind::User, why))?;
    for field in all {
        let (key, value) =
            field.split_once('=').ok_or_else(|| Failure::new(Kind::User, format!("{field:?} is no KEY=VALUE")))?;
        fields.push((key.trim().to_ascii_lowercase(), value.to_owned()));
    }
    Ok(fields)
}

/// Reads `id=ID[,src=FILE|env=NAME][,type=file|env]`.
///
/// Without a source it is the variable of that name, or else the file.
pub(super) fn secret(text: &str) -> Result<Secret, Failure> {
    let failed = |why: &str| {
        Failure::new(Kind::User, format!("--secret {text}: {why}"))
            .hint("write --secret id=ID,src=FILE or id=ID,env=NAME")
    };
    let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
    for (key, value) in fields(text).map_err(|failure| failure.context(format!("--secret {text}")))? {
        let slot = match key.as_str() {
            "id" => &mut id,
            "src" | "source" => &mut source,
            "env" => &mut variable,
            "type" => &mut kind,
            _ => return Err(failed(&format!("there is no option {key:?}"))),
        };
        *slot = Some(value);
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| failed("it has no id"))?;
    match kind.as_deref() {
        None | Some("file") => {}
        Some("env") => variable = variable.or(source.take()).or_else(|| Some(id.clone())),
        Some(other) => return Err(failed(&format!("{other:?} is no type: file and env are"))),
    }
    if variable.is_some() && source.is_some() {
        return Err(failed("it is a file or a variable, not both"));
    }
    let (given, from) = match (variable, source) {
        (Some(name), _) => (std::env::var_os(&name), format!("the variable {name}")),
        (None, Some(path)) => (None, path),
        (None, None) => (std::env::var_os(&id), id.clone()),
    };
    let content = match given {
        Some(value) => OsString::into_vec(value),
        None if from.starts_with("the variable ") => return Err(failed(&format!("{from} is not set"))),
        None => {
            read(&from).map_err(|error| Failure::from(error).context(format!("cannot read the secret {from:?}")))?
        }
    };
    if content.len() as u64 > MAX_SECRET {
        return Err(failed(&format!("it has more than {MAX_SECRET} bytes")));
    }
    Ok(Secret { id, content: Bytes(content) })
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_SECRET + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Reads `ID[=SOCKET]`.
pub(super) fn agent(text: &str) -> Result<Agent, Failure> {
    let failed = |why: String| Failure::new(Kind::User, format!("--ssh {text}: {why}"));
    let (id, socket) = match text.split_once('=') {
        Some((id, socket)) => (id, PathBuf::from(socket)),
        None => {
            let socket = std::env::var_os(AGENT_VARIABLE).filter(|socket| !socket.is_empty());
            let socket = socket.ok_or_else(|| {
                failed(format!("{AGENT_VARIABLE} is not set")).hint("start an agent: eval \"$(ssh-agent)\" && ssh-add")
            })?;
            (text, socket.into())
        }
    };
    let id = if id.is_empty() { "default" } else { id };
    let found = std::fs::metadata(&socket)
        .map_err(|error| Failure::from(error).context(format!("cannot use the SSH agent at {socket:?}")))?;
    if !found.file_type().is_socket() {
        return Err(failed(format!("{socket:?} is no socket"))
            .hint("keys are given to an agent: eval \"$(ssh-agent)\" && ssh-add KEY"));
    }
    Ok(Agent { id: id.to_owned(), socket })
}

/// Reads `NAME:ADDRESS` or `NAME=ADDRESS` as a line of a hosts file; `host-gateway` is this machine.
pub(super) fn host(text: &str) -> Result<String, Failure> {
    let failed = || Failure::new(Kind::User, format!("--add-host {text:?}: expected NAME:ADDRESS"));
    let (name, address) = text.split_once(['=', ':']).ok_or_else(failed)?;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let address = match bare {
        // Steps have the network of this machine.
        "host-gateway" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        bare => bare.parse().map_err(|_| failed())?,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(failed());
    }
    Ok(format!("{address}\t{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_dockers() {
        let table = [
            ("a:1.2.3.4", Some("1.2.3.4\ta")),
            ("a.b-c=::1", Some("::1\ta.b-c")),
            ("a:[fe80::1]", Some("fe80::1\ta")),
            ("gate:host-gateway", Some("127.0.0.1\tgate")),
            ("a", None),
            ("a:nowhere", None),
            ("a b:1.2.3.4", None),
            (":1.2.3.4", None),
        ];
        for (text, expected) in table {
            assert_eq!(host(text).ok().as_deref(), expected, "{text}");
        }
    }
}
