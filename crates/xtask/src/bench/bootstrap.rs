//! Bootstraps of a real suite, from a mirror on the loopback device that everyone asks.

use std::path::Path;
use std::process::Command;

use bedplate_testkit::Http;
use bedplate_testkit::debian::host::mirror;

use super::cases::{Bench, cell};
use super::measure;
use crate::process::{Failure, is_root, output, tool, which};

/// What is bootstrapped: a suite of which all three tools choose the same packages.
const SUITE: &str = "trixie";

/// The suite of the machine itself, whose archive has the other one too.
const HOST: &str = "bookworm";

/// The suite's packages on a server of our own.
#[derive(Debug)]
struct Mirror {
    http: Http,
}

impl Mirror {
    /// Fetches from the archive that the machine's apt is set to what minbase needs; nothing where there is none.
    fn new(bench: &Bench) -> Result<Option<Self>, Failure> {
        let Some(archive) = mirror(HOST) else { return Ok(None) };
        let folder = bench.scratch.join("mirror");
        let lock = bench.scratch.join("bench.lock");
        let (tar, lock_text) = (bench.scratch.join("first.tar"), lock.display().to_string());
        let words =
            ["bootstrap", SUITE, "-q", "--pockets", "release", "--mirror", &archive, "--lock", &lock_text, "-o"];
        let mut first = bench.bedplate("bootstrap", &words);
        output("bootstrap for the mirror", first.arg(&tar))?;
        let text = std::fs::read_to_string(&lock).map_err(Failure::file("read", &lock))?;
        let values = |key: &str| -> Vec<String> {
            let start = format!("{key} = \"");
            text.lines().filter_map(|line| Some(line.strip_prefix(&start)?.trim_end_matches('"').to_owned())).collect()
        };
        let packages = bench.scratch.join("bootstrap/cache/packages");
        // The first digests of a lock are those of indexes.
        let (paths, digests) = (values("path"), values("digest"));
        for (path, digest) in paths.iter().zip(&digests[digests.len() - paths.len()..]) {
            let target = folder.join(path);
            let from = packages.join(format!("{}.deb", digest.trim_start_matches("sha256:")));
            make_parent(&target)?;
            std::fs::copy(&from, &target).map_err(Failure::file("copy", &from))?;
        }
        for file in ["InRelease", "main/binary-amd64/Packages.xz"] {
            let path = format!("dists/{SUITE}/{file}");
            let target = folder.join(&path);
            make_parent(&target)?;
            let url = format!("{archive}/{path}");
            output("fetch an index", tool("curl", ["-fsSL", "-o"]).arg(&target).arg(url))?;
        }
        let http = Http::start();
        http.serve_folder("/debian", &folder);
        Ok(Some(Self { http }))
    }

    fn url(&self) -> String {
        self.http.url("/debian")
    }
}

fn make_parent(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(Failure::file("make", parent))
}

/// A command and a sync of what it wrote, as one.
fn synced(command: &Command, written: &Path) -> Command {
    let mut both = tool("sh", ["-c", "out=$1; shift; \"$@\" > /dev/null && sync \"$out\"", "sh"]);
    both.arg(written).arg(command.get_program()).args(command.get_args());
    both
}

impl Bench {
    /// The rows of bootstraps; none where the machine's archive does not have the suite.
    pub(super) fn bootstraps(&mut self) -> Result<(), Failure> {
        const WORKS: [(&str, &str); 3] = [
            ("bootstrap minbase to a tar, payloads decoded", "< 2 s, then < 1 s; 10x mmdebstrap"),
            ("bootstrap minbase to a tar, packages local", "4x mmdebstrap"),
            ("bootstrap minbase to a tar, nothing local", "the download beside it"),
        ];
        const XZ: &str = "bootstrap minbase to a tar.xz, payloads decoded";
        const AGAIN: &str = "bootstrap by the same lock again: an image that is there";
        let works = WORKS.iter().map(|(work, _)| *work).chain([XZ, AGAIN]);
        if !is_root() || works.filter(|work| self.wants(work)).count() == 0 {
            return Ok(());
        }
        let Some(mirror) = Mirror::new(self)? else { return Ok(()) };
        let url = mirror.url();
        let out = self.scratch.join("out.tar");
        let words = ["bootstrap", SUITE, "-q", "--pockets", "release", "--mirror", &url, "-o"];
        // Before the peers, whose thousands of deleted files slow down whoever makes files next.
        let ours = WORKS.map(|(work, _)| {
            cell("bedplate", "bedplate bootstrap trixie --pockets release --mirror MIRROR -o out.tar", || {
                measure::samples(work, self.rounds.long, |_| {
                    match work {
                        work if work.ends_with("nothing local") => self.fresh("bootstrap")?,
                        work if work.ends_with("packages local") => {
                            self.fresh("bootstrap/cache/payloads")?;
                            self.fresh("bootstrap/snapshots")?;
                        }
                        _ => {}
                    }
                    let mut command = self.bedplate("bootstrap", &words);
                    command.arg(&out);
                    Ok(synced(&command, &out))
                })
            })
        });
        let mut peers = Vec::new();
        let rounds = self.rounds.long.min(3);
        if let Some(mmdebstrap) = which("mmdebstrap") {
            peers.push(cell("mmdebstrap", "mmdebstrap --variant=minbase trixie out.tar MIRROR, synced", || {
                measure::samples("mmdebstrap", rounds, |_| {
                    let mut command = tool(&mmdebstrap, ["--variant=minbase", "-q", SUITE]);
                    command.arg(&out).arg(format!("deb {url} {SUITE} main"));
                    Ok(synced(&command, &out))
                })
            }));
        }
        if let Some(debootstrap) = which("debootstrap") {
            let root = self.scratch.join("debootstrap");
            peers.push(cell("debootstrap", "debootstrap --variant=minbase trixie DIR MIRROR && tar, synced", || {
                measure::samples("debootstrap", rounds, |_| {
                    self.fresh("debootstrap")?;
                    let line = "\"$1\" --variant=minbase \"$2\" \"$3\" \"$4\" && tar -C \"$3\" -cf \"$5\" .";
                    let mut command = tool("sh", ["-c", line, "sh"]);
                    command.arg(&debootstrap).args([SUITE]).arg(&root).arg(&url).arg(&out);
                    Ok(synced(&command, &out))
                })
            }));
            self.fresh("debootstrap")?;
        }
        for ((work, aim), ours) in WORKS.into_iter().zip(ours) {
            self.push(work, aim, None, ours, peers.clone());
        }
        let packed = self.scratch.join("out.tar.xz");
        let few = rounds.min(2);
        let floor = cell("xz of the tar alone", "xz -6 -T0 -c out.tar > out.tar.xz, synced", || {
            measure::samples(XZ, few, |_| {
                let mut command = tool("sh", ["-c", "xz -6 -T0 -c \"$1\" > \"$2\"", "sh"]);
                command.arg(&out).arg(&packed);
                Ok(synced(&command, &packed))
            })
        });
        let ours =
            cell("bedplate", "bedplate bootstrap trixie --pockets release --mirror MIRROR -o out.tar.xz", || {
                measure::samples(XZ, few, |_| {
                    let mut command = self.bedplate("bootstrap", &words);
                    command.arg(&packed);
                    Ok(synced(&command, &packed))
                })
            });
        self.push(XZ, "<= 1.1x the floor", Some(floor), ours, Vec::new());
        // The lock that the mirror was filled by.
        let lock = self.scratch.join("bench.lock").display().to_string();
        let words = ["bootstrap", "--locked", &lock, "-q", "--mirror", &url, "-t", "again"];
        output("the image that will be there", &mut self.bedplate("bootstrap", &words))?;
        let ours = cell("bedplate", "bedplate bootstrap --locked FILE -t NAME, a second time", || {
            measure::samples(AGAIN, self.rounds.short, |_| Ok(self.bedplate("bootstrap", &words)))
        });
        self.push(AGAIN, "< 50 ms", None, ours, Vec::new());
        Ok(())
    }
}
