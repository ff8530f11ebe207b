//! What is measured, and beside whom.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedplate_testkit::oracle::{Docker, Podman};

use super::peers::{self, UserPodman};
use super::report::{Cell, Memory, Row, Table};
use super::{Rounds, input, measure};
use crate::process::{Failure, is_root, output, tool, which};
use crate::users::{PLAIN, Plain, give};

/// The image of the archive, in every store.
const BASE: &str = "bench-minbase";

/// The image of one static program, in every store.
const HELLO: &str = "bench-hello";

/// Everything the rows share.
#[derive(Debug)]
pub(super) struct Bench {
    bedplate: PathBuf,
    me: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) rounds: Rounds,
    only: Option<String>,
    archive: PathBuf,
    hello: PathBuf,
    pub(super) docker: Option<Docker>,
    podman: Option<Podman>,
    table: Table,
}

/// Measures all rows, or those whose name contains `only`.
pub(crate) fn run(bedplate: &Path, scratch: &Path, rounds: Rounds, only: Option<&str>) -> Result<Table, Failure> {
    let program = input::program();
    // Plain users cannot read every checkout.
    let copy = scratch.join("bedplate");
    std::fs::copy(bedplate, &copy).map_err(Failure::file("copy", bedplate))?;
    // A build may replace the file that this process was started from.
    let (this, me) = (Path::new("/proc/self/exe"), scratch.join("xtask"));
    std::fs::copy(this, &me).map_err(Failure::file("copy", this))?;
    let (archive, hello) = (scratch.join("minbase.tar"), scratch.join("hello"));
    input::archive(&archive, &program, input::ENTRIES, input::TREE_BYTES)?;
    input::hello(&hello, &program)?;
    let mut bench = Bench {
        bedplate: copy,
        me,
        scratch: scratch.to_owned(),
        rounds,
        only: only.map(str::to_owned),
        archive,
        hello,
        docker: absent(Docker::start()),
        podman: absent(Podman::new()),
        table: Table { rounds: (rounds.short, rounds.long), ..Table::default() },
    };
    bench.bootstraps()?;
    bench.imports()?;
    bench.saves()?;
    bench.builds()?;
    bench.runs()?;
    bench.rootless()?;
    bench.memory(&program)?;
    Ok(bench.table)
}

impl Bench {
    pub(super) fn wanted(&self, work: &str) -> bool {
        self.only.as_ref().is_none_or(|only| work.contains(only.as_str()))
    }

    pub(super) fn tell_memory(&mut self, memory: Memory) {
        self.table.memory.push(memory);
    }

    pub(super) fn wants(&self, work: &str) -> bool {
        let wanted = self.wanted(work);
        if wanted {
            eprintln!("==> {work}");
        }
        wanted
    }

    /// bedplate on a store in the scratch folder.
    pub(super) fn bedplate(&self, store: &str, args: &[&str]) -> Command {
        let mut command = tool(&self.bedplate, ["--root"]);
        command.arg(self.scratch.join(store)).args(args).current_dir(&self.scratch);
        command
    }

    /// A store as new, outside the time.
    pub(super) fn fresh(&self, store: &str) -> Result<(), Failure> {
        let path = self.scratch.join(store);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn path<'a>(&self, path: &'a Path) -> &'a str {
        path.to_str().unwrap_or_default()
    }

    /// The image of the archive in every store, for the rows that begin with it.
    fn prepare_base(&self) -> Result<(), Failure> {
        let archive = self.path(&self.archive);
        output("import for the rows", &mut self.bedplate("store", &["import", archive, BASE]))?;
        if let Some(docker) = &self.docker {
            output("docker import", &mut with(docker.command(), ["import", archive, BASE]))?;
        }
        if let Some(podman) = &self.podman {
            output("podman import", &mut with(podman.command(), ["import", "-q", archive, BASE]))?;
        }
        Ok(())
    }

    /// The image of one program in every store.
    fn prepare_hello(&self) -> Result<(), Failure> {
        let hello = self.path(&self.hello);
        output("build for the rows", &mut self.bedplate("store", &["build", "-q", "-t", HELLO, hello]))?;
        if let Some(docker) = &self.docker {
            output("docker build", &mut with(docker.command(), ["build", "-q", "-t", HELLO, hello]))?;
        }
        if let Some(podman) = &self.podman {
            output("podman build", &mut with(podman.command(), ["build", "-q", "-t", HELLO, hello]))?;
        }
        Ok(())
    }

    fn imports(&mut self) -> Result<(), Failure> {
        let rounds = self.rounds.long;
        for (work, cold) in [("import 121 MB", false), ("import 121 MB, cold page cache", true)] {
            if cold && !is_root() || !self.wants(work) {
                continue;
            }
            let archive = self.path(&self.archive).to_owned();
            let ready = || if cold { forget_pages() } else { Ok(()) };
            let copy = self.scratch.join("copy");
            let floor = cell("hash, copy, sync", "one pass: SHA-256 (SHA-NI), write, fsync", || {
                measure::samples("the floor", rounds, |_| {
                    std::fs::remove_file(&copy).ok(); // the first round finds none
                    ready()?;
                    let mut command = tool(&self.me, ["bench", "--floor-copy", &archive]);
                    command.arg(&copy);
                    Ok(command)
                })
            });
            std::fs::remove_file(&copy).ok();
            let ours = cell("bedplate", "bedplate import minbase.tar NAME (a new store)", || {
                measure::samples(work, rounds, |_| {
                    self.fresh("import")?;
                    ready()?;
                    Ok(self.bedplate("import", &["import", &archive, BASE]))
                })
            });
            self.fresh("import")?;
            let mut peers = Vec::new();
            if let Some(docker) = &self.docker {
                peers.push(cell("docker", "docker import minbase.tar (hashes, and unpacks)", || {
                    measure::samples(work, rounds, |_| {
                        drop_dangling(&mut with(docker.command(), ["image", "prune", "-f"]));
                        ready()?;
                        Ok(with(docker.command(), ["import", &archive]))
                    })
                }));
            }
            if let Some(podman) = &self.podman {
                peers.push(cell("podman", "podman import -q minbase.tar (hashes, and unpacks)", || {
                    measure::samples(work, rounds, |_| {
                        drop_dangling(&mut with(podman.command(), ["image", "prune", "-f"]));
                        ready()?;
                        Ok(with(podman.command(), ["import", "-q", &archive]))
                    })
                }));
            }
            if let Some(umoci) = which("umoci") {
                let layout = self.scratch.join("umoci");
                let image = format!("{}:x", layout.display());
                peers.push(cell("umoci", "umoci raw add-layer --image L:x minbase.tar (hashes, and gzips)", || {
                    measure::samples(work, rounds, |_| {
                        self.fresh("umoci")?;
                        output("umoci", tool(&umoci, ["init", "--layout"]).arg(&layout))?;
                        output("umoci", &mut tool(&umoci, ["new", "--image", &image]))?;
                        ready()?;
                        Ok(tool(&umoci, ["raw", "add-layer", "--image", &image, &archive]))
                    })
                }));
                self.fresh("umoci")?;
            }
            self.push(work, "<= 1.5x the floor", Some(floor), ours, peers);
        }
        self.first_run()
    }

    /// docker and podman unpack when they import, bedplate when something runs: this row puts the two together.
    fn first_run(&mut self) -> Result<(), Failure> {
        let work = "import 121 MB and run a program of it";
        if !self.wants(work) {
            return Ok(());
        }
        let rounds = self.rounds.long;
        let archive = self.path(&self.archive).to_owned();
        let both = |import: Command, run: Command| {
            let mut command = tool("sh", ["-c", "\"$@\" && eval \"$SECOND\"", "sh"]);
            command.arg(import.get_program()).args(import.get_args()).env("SECOND", quoted(&run));
            for (name, value) in import.get_envs() {
                command.env(name, value.unwrap_or_default());
            }
            command
        };
        let ours = cell(
            "bedplate",
            "bedplate import minbase.tar NAME && bedplate run --rm --network none NAME /hello",
            || {
                measure::samples(work, rounds, |_| {
                    self.fresh("import")?;
                    let run = self.bedplate("import", &["run", "--rm", "--network", "none", BASE, "/hello"]);
                    Ok(both(self.bedplate("import", &["import", &archive, BASE]), run))
                })
            },
        );
        self.fresh("import")?;
        let mut peers = Vec::new();
        if let Some(docker) = &self.docker {
            peers.push(cell(
                "docker",
                "docker import minbase.tar NAME && docker run --rm --network none NAME /hello",
                || {
                    measure::samples(work, rounds, |_| {
                        drop_dangling(&mut with(docker.command(), ["rmi", "-f", "bench-both"]));
                        let run = with(docker.command(), ["run", "--rm", "--network", "none", "bench-both", "/hello"]);
                        Ok(both(with(docker.command(), ["import", &archive, "bench-both"]), run))
                    })
                },
            ));
        }
        if let Some(podman) = &self.podman {
            peers.push(cell(
                "podman",
                "podman import -q minbase.tar NAME && podman run --rm --network none NAME /hello",
                || {
                    measure::samples(work, rounds, |_| {
                        drop_dangling(&mut with(podman.command(), ["rmi", "-f", "bench-both"]));
                        let run = with(podman.command(), Podman::RUN.iter().copied().chain(["bench-both", "/hello"]));
                        Ok(both(with(podman.command(), ["import", "-q", &archive, "bench-both"]), run))
                    })
                },
            ));
        }
        self.push(work, "–", None, ours, peers);
        Ok(())
    }

    fn saves(&mut self) -> Result<(), Failure> {
        let work = "save 121 MB";
        if !self.wants(work) {
            return Ok(());
        }
        self.prepare_base()?;
        let rounds = self.rounds.long;
        let out = self.scratch.join("saved.tar");
        let file = self.path(&out).to_owned();
        // podman refuses to overwrite; the first round finds nothing to remove.
        let ready = || std::fs::remove_file(&out).ok();
        let ours = cell("bedplate", "bedplate save -o FILE NAME", || {
            measure::samples(work, rounds, |_| {
                ready();
                Ok(self.bedplate("store", &["save", "-o", &file, BASE]))
            })
        });
        let mut peers = Vec::new();
        if let Some(docker) = &self.docker {
            peers.push(cell("docker", "docker save -o FILE NAME", || {
                measure::samples(work, rounds, |_| {
                    ready();
                    Ok(with(docker.command(), ["save", "-o", &file, BASE]))
                })
            }));
        }
        if let Some(podman) = &self.podman {
            peers.push(cell("podman", "podman save -q -o FILE NAME", || {
                measure::samples(work, rounds, |_| {
                    ready();
                    Ok(with(podman.command(), ["save", "-q", "-o", &file, BASE]))
                })
            }));
        }
        ready();
        self.push(work, "–", None, ours, peers);
        Ok(())
    }

    fn bare(&self, rounds: usize) -> Cell {
        let program = self.hello.join("hello");
        cell("bare exec", "./hello", || measure::samples("bare exec", rounds, |_| Ok(tool(&program, [""; 0]))))
    }

    fn runs(&mut self) -> Result<(), Failure> {
        let rounds = self.rounds.short;
        let work = if is_root() { "run --rm hello, root, network none" } else { "run --rm hello, network none" };
        if self.wants(work) {
            self.prepare_hello()?;
            let ours = cell("bedplate", "bedplate run --rm --network none NAME", || {
                measure::samples(work, rounds, |_| {
                    Ok(self.bedplate("store", &["run", "--rm", "--network", "none", HELLO]))
                })
            });
            let peers = self.run_peers(work)?;
            self.push(work, "< 10 ms", Some(self.bare(rounds)), ours, peers);
        }
        let work = "run --rm hello, root, network host";
        if is_root() && self.wants(work) {
            self.prepare_hello()?;
            let ours = cell("bedplate", "bedplate run --rm NAME", || {
                measure::samples(work, rounds, |_| Ok(self.bedplate("store", &["run", "--rm", HELLO])))
            });
            let mut peers = Vec::new();
            if let Some(docker) = &self.docker {
                peers.push(cell("docker", "docker run --rm --network host NAME", || {
                    measure::samples(work, rounds.min(15), |_| {
                        Ok(with(docker.command(), ["run", "--rm", "--network", "host", HELLO]))
                    })
                }));
            }
            self.push(work, "< 10 ms", Some(self.bare(rounds)), ours, peers);
        }
        Ok(())
    }

    fn run_peers(&self, work: &str) -> Result<Vec<Cell>, Failure> {
        let rounds = self.rounds.short;
        let mut peers = Vec::new();
        if let Some(docker) = &self.docker {
            peers.push(cell("docker", "docker run --rm --network none NAME", || {
                measure::samples(work, rounds.min(15), |_| {
                    Ok(with(docker.command(), ["run", "--rm", "--network", "none", HELLO]))
                })
            }));
        }
        if let Some(podman) = &self.podman {
            peers.push(cell("podman", "podman run --rm --network none NAME (runc)", || {
                measure::samples(work, rounds.min(15), |_| {
                    Ok(with(podman.command(), Podman::RUN.iter().copied().chain([HELLO])))
                })
            }));
        }
        let rootfs = self.hello.join("rootfs");
        if let (Some(runc), true) = (which("runc"), is_root()) {
            let (bundle, state) = (self.scratch.join("runc-bundle"), self.scratch.join("runc"));
            peers::bundle("runc", &bundle, &rootfs)?;
            peers.push(cell("runc", "runc run ID (its default bundle, a ready root, no seccomp)", || {
                measure::samples(work, rounds, |round| {
                    let mut command = tool(&runc, ["--root"]);
                    command.arg(&state).args(["run", &format!("bench-{round}")]).current_dir(&bundle);
                    Ok(command)
                })
            }));
        }
        if let (Some(crun), true) = (which("crun"), is_root()) {
            let (bundle, state) = (self.scratch.join("crun-bundle"), self.scratch.join("crun"));
            peers::bundle("crun", &bundle, &rootfs)?;
            let (crun, bundle, state) = (self.path(&crun), self.path(&bundle), self.path(&state));
            // This release refuses hybrid cgroups: the second hierarchy is put out of its sight.
            let setup = "umount /sys/fs/cgroup/unified 2>/dev/null";
            let command = [crun, "--root", state, "run", "--bundle", bundle, "bench-{}"];
            peers.push(cell("crun", "crun run ID (its default bundle, a ready root, no seccomp)", || {
                measure::samples_inside(work, &self.me, &["unshare", "-m"], setup, rounds, &command)
            }));
        }
        Ok(peers)
    }

    fn rootless(&mut self) -> Result<(), Failure> {
        if !is_root() {
            return Ok(());
        }
        let rounds = self.rounds.short;
        let works = ["run --rm hello, rootless with subuid range", "run --rm hello, rootless with one uid"];
        for (user, work) in PLAIN.iter().zip(works) {
            if !self.wants(work) {
                continue;
            }
            let home = user.ensure()?;
            let (uid, gid) = ids(user)?;
            let own = self.scratch.join(user.kind);
            std::fs::create_dir(&own).map_err(Failure::file("make", &own))?;
            give(&own, user)?;
            let as_user = |mut command: Command| {
                command.uid(uid).gid(gid).env("HOME", &home).env("USER", user.name).current_dir(&own);
                command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME");
                command
            };
            let store = format!("{}/store", user.kind);
            let context = self.path(&self.hello);
            output("build as the user", &mut as_user(self.bedplate(&store, &["build", "-q", "-t", HELLO, context])))?;
            let ours = cell("bedplate", "bedplate run --rm --network none NAME", || {
                measure::samples(work, rounds, |_| {
                    Ok(as_user(self.bedplate(&store, &["run", "--rm", "--network", "none", HELLO])))
                })
            });
            let mut peers = Vec::new();
            if let (Some(podman), "subuid") = (UserPodman::new(own.join("podman")), user.kind) {
                let prepared = output(
                    "podman build as the user",
                    &mut as_user(podman.command(["build", "-q", "-t", HELLO, context])),
                );
                peers.push(cell("podman", "podman run --rm --network none NAME (runc)", || {
                    prepared?;
                    measure::samples(work, rounds.min(15), |_| {
                        Ok(as_user(podman.command(Podman::RUN.iter().copied().chain([HELLO]))))
                    })
                }));
            }
            self.push(work, "< 20 ms", Some(self.bare(rounds)), ours, peers);
        }
        Ok(())
    }

    fn memory(&mut self, program: &[u8]) -> Result<(), Failure> {
        if !self.wants("memory") {
            return Ok(());
        }
        let large = self.scratch.join("large.tar");
        input::archive(&large, program, input::ENTRIES, 1 << 30)?;
        let crowded = self.scratch.join("crowded.tar");
        input::archive(&crowded, program, 200_000, 100_000_000)?;
        let archives = [
            (self.archive.clone(), input::ENTRIES, "import 121 MB in 6,675 entries"),
            (large.clone(), input::ENTRIES, "import 1 GiB in 6,675 entries"),
            (crowded.clone(), 200_000, "import 100 MB in 200,000 entries"),
        ];
        self.memory_of_a_build()?;
        for (archive, entries, work) in archives {
            self.fresh("memory")?;
            let peak_kib =
                measure::peak_kib(work, &mut self.bedplate("memory", &["import", self.path(&archive), BASE]))?;
            self.table.memory.push(Memory { work: work.to_owned(), entries: entries as u64, peak_kib });
        }
        self.fresh("memory")?;
        for path in [large, crowded] {
            std::fs::remove_file(&path).map_err(Failure::file("remove", &path))?;
        }
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        work: &'static str,
        aim: &'static str,
        floor: Option<Cell>,
        ours: Cell,
        peers: Vec<Cell>,
    ) {
        for cell in floor.iter().chain([&ours]).chain(&peers) {
            match &cell.result {
                Ok(samples) => eprintln!("    {:<18} {:?} (least {:?})", cell.tool, samples.median(), samples.least()),
                Err(why) => eprintln!("    {:<18} {why}", cell.tool),
            }
        }
        self.table.rows.push(Row { work, aim, floor, ours, peers });
    }
}

/// One tool's part of a row; its failure is shown in the table and hinders no other.
pub(super) fn cell(
    tool: &'static str,
    command: &str,
    measure: impl FnOnce() -> Result<measure::Samples, Failure>,
) -> Cell {
    Cell { tool, command: command.to_owned(), result: measure().map_err(|failure| failure.to_string()) }
}

/// Makes the kernel forget the pages of files, so that reading them waits for the disk.
fn forget_pages() -> Result<(), Failure> {
    output("sync", &mut tool("sync", [""; 0]))?;
    let file = Path::new("/proc/sys/vm/drop_caches");
    std::fs::write(file, "1").map_err(Failure::file("write", file))
}

/// A peer that is not there is said once, and its column stays empty.
pub(super) fn absent<T>(peer: Result<T, String>) -> Option<T> {
    peer.inspect_err(|why| eprintln!("==> without a peer: {why}")).ok()
}

pub(super) fn with<'a>(mut command: Command, args: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(args);
    command
}

/// Cleans a peer's store between rounds; when it does not work, the next round says so.
fn drop_dangling(command: &mut Command) {
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// A command as a line for a shell.
fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ")
}

fn ids(user: &Plain) -> Result<(u32, u32), Failure> {
    let path = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(path).map_err(Failure::file("read", path))?;
    let line = text.lines().find(|line| line.split(':').next() == Some(user.name)).unwrap_or_default();
    let mut fields = line.split(':').skip(2).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(measure::bench(user.kind, "the user has no ids")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_for_a_shell() {
        assert_eq!(quoted(&tool("a b", ["it's", ""])), "'a b' 'it'\\''s' ''");
    }
}
