//! Builds of Dockerfiles, beside the builders of Debian 12 and 13.

use std::path::{Path, PathBuf};
use std::process::Command;

use bedplate_testkit::builders::{Builder, Builders, Serving};
use bedplate_testkit::debian::host::mirror;
use bedplate_testkit::generate;

use super::cases::{Bench, absent, cell, with};
use super::report::Memory;
use super::{input, measure};
use crate::process::{Failure, output, tool};

/// The image that steps with processes begin with, by a name that every tool takes for the same.
const BOX: &str = "docker.io/library/bench-box:latest";

/// Rounds of peers at most, where ours has more.
const PEER_ROUNDS: usize = 15;

/// A context of five GiB: files of 64 MiB without a hole.
const LARGE_FILES: usize = 80;

/// What is built.
struct Case {
    work: &'static str,
    aim: &'static str,
    /// The context, by its name in the scratch folder.
    context: &'static str,
    no_cache: bool,
    /// Whether its steps run processes.
    runs: bool,
    short: bool,
}

const CASES: [Case; 7] = [
    Case { work: "build hello, no cache", aim: "< 15 ms", context: "hello", no_cache: true, runs: false, short: true },
    Case { work: "build hello, cached", aim: "< 10 ms", context: "hello", no_cache: false, runs: false, short: true },
    Case {
        work: "build 20,000 files, no cache", aim: "–", context: "many", no_cache: true, runs: false, short: false
    },
    Case {
        work: "build 20,000 files, cached",
        aim: "bounded by stat",
        context: "many",
        no_cache: false,
        runs: false,
        short: false,
    },
    Case {
        work: "build ten RUN steps, no cache", aim: "–", context: "ten", no_cache: true, runs: true, short: false
    },
    Case { work: "build ten RUN steps, cached", aim: "–", context: "ten", no_cache: false, runs: true, short: false },
    Case { work: "build four stages, no cache", aim: "–", context: "four", no_cache: true, runs: true, short: false },
];

/// The builders of Debian 13, and their versions.
struct Modern {
    serving: Serving,
    buildkit: String,
    buildah: String,
}

impl Modern {
    fn serve(builders: &Builders, scratch: &Path) -> Result<Self, String> {
        let serving = builders.serve(scratch)?;
        let [buildkit, buildah] = [Builder::BuildKit, Builder::Buildah].map(|builder| builders.versions(builder));
        Ok(Self { serving, buildkit, buildah })
    }

    fn command(&self, builder: Builder) -> Command {
        self.serving.command(builder)
    }
}

/// Ten steps that do next to nothing.
fn ten() -> String {
    let steps: String = (0..10).map(|number| format!("RUN echo {number} > /file{number}\n")).collect();
    format!("FROM {BOX}\n{steps}")
}

/// Four stages that need no other, each with some work for a processor.
fn four() -> String {
    let stage = |number: usize| {
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        format!("FROM {BOX} AS s{number}\nRUN {work}; echo {number} > /s{number}\n")
    };
    let stages: String = (0..4).map(stage).collect();
    let copies: String = (0..4).map(|number| format!("COPY --from=s{number} /s{number} /\n")).collect();
    format!("{stages}FROM scratch\n{copies}")
}

impl Bench {
    /// A context with nothing but a Dockerfile.
    fn dockerfile(&self, name: &str, text: &str) -> Result<(), Failure> {
        let folder = self.scratch.join(name);
        std::fs::create_dir_all(&folder).map_err(Failure::file("make", &folder))?;
        let path = folder.join("Dockerfile");
        std::fs::write(&path, text).map_err(Failure::file("write", &path))
    }

    pub(super) fn builds(&mut self) -> Result<(), Failure> {
        let cases: Vec<&Case> = CASES.iter().filter(|case| self.wanted(case.work)).collect();
        if cases.is_empty() {
            return Ok(());
        }
        if cases.iter().any(|case| case.context == "many") {
            input::context(&self.scratch.join("many"), 20_000)?;
        }
        self.dockerfile("ten", &ten())?;
        self.dockerfile("four", &four())?;
        let builders = absent(Builders::open(mirror("bookworm").as_deref()));
        let modern = builders.and_then(|builders| absent(Modern::serve(&builders, &self.scratch)));
        let has_box = self.prepare_box(modern.as_ref())?;
        for case in cases {
            if self.wants(case.work) && (has_box || !case.runs) {
                self.build(case, modern.as_ref())?;
            }
        }
        Ok(())
    }

    /// The image of a shell in every store; tells whether there is one.
    fn prepare_box(&self, modern: Option<&Modern>) -> Result<bool, Failure> {
        let Some(archive) = generate::busybox() else { return Ok(false) };
        let (layer, saved) = (self.scratch.join("box-layer.tar"), self.scratch.join("box.tar"));
        std::fs::write(&layer, archive).map_err(Failure::file("write", &layer))?;
        let layer = self.path(&layer);
        output("import", &mut self.bedplate("store", &["import", "-c", "ENV PATH=/bin", layer, BOX]))?;
        output("save", &mut self.bedplate("store", &["save", "-o", self.path(&saved), BOX]))?;
        if let Some(docker) = &self.docker {
            output("docker load", &mut with(docker.command(), ["load", "-q", "-i", self.path(&saved)]))?;
        }
        if let Some(modern) = modern {
            output("docker load", modern.command(Builder::BuildKit).args(["load", "-q", "-i", "/mnt/box.tar"]))?;
            let mut pull = modern.command(Builder::Buildah);
            let pulled = output("buildah pull", pull.args(["pull", "-q", "docker-archive:/mnt/box.tar"]))?;
            output("buildah tag", modern.command(Builder::Buildah).args(["tag", pulled.trim(), BOX]))?;
        }
        Ok(true)
    }

    fn build(&mut self, case: &Case, modern: Option<&Modern>) -> Result<(), Failure> {
        let &Case { work, aim, context, no_cache, runs, short } = case;
        let rounds = if short { self.rounds.short } else { self.rounds.long };
        let folder = self.scratch.join(context);
        let mut args = vec!["build", "-q", "-t", "bench-built"];
        args.extend(no_cache.then_some("--no-cache"));
        // The peers' daemons have no networks here.
        args.extend(runs.then_some("--network=none"));
        let typed = args.join(" ").replace("bench-built", "NAME");
        let floor = (!no_cache && context == "many").then(|| {
            cell("stat of each file", "find CONTEXT -type f -size +1G", || {
                measure::samples("find", rounds, |_| {
                    Ok(tool("find", [self.path(&folder), "-type", "f", "-size", "+1G"]))
                })
            })
        });
        let ours = cell("bedplate", &format!("bedplate {typed} ."), || {
            let args = [&args[..], &[self.path(&folder)]].concat();
            measure::samples(work, rounds, |_| Ok(self.bedplate("store", &args)))
        });
        let mut peers = Vec::new();
        let mut peer = |name: &'static str, typed: String, command: &dyn Fn() -> Command| {
            peers.push(cell(name, &typed, || measure::samples(work, rounds.min(PEER_ROUNDS), |_| Ok(command()))));
        };
        if let Some(modern) = modern {
            let inside = format!("/mnt/{context}");
            peer("BuildKit", format!("docker buildx {typed} . ({})", modern.buildkit), &|| {
                let mut command = modern.command(Builder::BuildKit);
                command.arg("buildx").args(&args).arg(&inside);
                command
            });
            let limits = "--isolation=chroot --ulimit nofile=1024:20000 --ulimit nproc=1024:2048 --pull=never";
            let layers = if no_cache { "--no-cache" } else { "--layers" };
            let typed = format!("buildah build -q -t NAME {layers} {limits} --network=host . ({})", modern.buildah);
            peer("buildah", typed, &|| {
                let mut command = modern.command(Builder::Buildah);
                command.args(["build", "-q", "-t", "bench-built", layers]).args(limits.split(' '));
                command.arg("--network=host").arg(&inside);
                command
            });
        }
        if let Some(docker) = &self.docker {
            peer("docker, legacy", format!("DOCKER_BUILDKIT=0 docker {typed} ."), &|| {
                with(docker.command(), args.iter().copied().chain([self.path(&folder)]))
            });
        }
        self.push(work, aim, floor, ours, peers);
        Ok(())
    }

    /// The most that a build has resident with a large context.
    pub(super) fn memory_of_a_build(&mut self) -> Result<(), Failure> {
        let folder = self.scratch.join("large");
        let source = folder.join("src");
        std::fs::create_dir_all(&source).map_err(Failure::file("make", &source))?;
        self.dockerfile("large", "FROM scratch\nCOPY src /src\n")?;
        fill(&source)?;
        self.fresh("memory")?;
        let work = "build with a context of 5 GiB in 80 files";
        let peak_kib = measure::peak_kib(work, &mut self.bedplate("memory", &["build", "-q", self.path(&folder)]))?;
        self.tell_memory(Memory { work: work.to_owned(), entries: LARGE_FILES as u64, peak_kib });
        std::fs::remove_dir_all(&folder).map_err(Failure::file("remove", &folder))?;
        self.fresh("memory")
    }
}

/// Files of 64 MiB that differ.
fn fill(folder: &Path) -> Result<(), Failure> {
    let block: Vec<u8> = (0..64_usize << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for number in 0..LARGE_FILES {
        let path: PathBuf = folder.join(format!("file-{number:02}"));
        let mut bytes = block.clone();
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        std::fs::write(&path, bytes).map_err(Failure::file("write", &path))?;
    }
    Ok(())
}
