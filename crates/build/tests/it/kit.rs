//! A store, a context and what a build makes of them.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bedplate_build::{
    BuildContext, BuildError, Built, Event, NamedContexts, Remark, Request, Runner, Surroundings, build,
};
use bedplate_dockerfile::Dockerfile;
use bedplate_dockerfile::ignore::Ignore;
use bedplate_fetch::Fetcher;
use bedplate_image::Contents as _;
use bedplate_oci::{ImageConfig, Platform, Reference};
use bedplate_store::{Image, Lease, OpenOptions, Store};
use bedplate_tree::{EntryKind, Timestamp};
use tempfile::TempDir;

/// A folder with a store and a context; both go when it is dropped.
pub(crate) struct Kit {
    folder: TempDir,
    pub(crate) store: Store,
}

/// How a build is asked for.
#[derive(Default, Clone)]
pub(crate) struct Options<'a> {
    pub(crate) args: Vec<(&'a str, &'a str)>,
    pub(crate) labels: Vec<(&'a str, &'a str)>,
    pub(crate) target: Option<&'a str>,
    pub(crate) names: Vec<&'a str>,
    pub(crate) epoch: Option<i64>,
    pub(crate) no_cache: bool,
    pub(crate) no_cache_filter: &'a [String],
    pub(crate) contexts: Option<&'a dyn NamedContexts>,
    pub(crate) platform: Option<&'a str>,
    pub(crate) ignore: Option<&'a str>,
    pub(crate) fetcher: Option<&'a Fetcher>,
}

/// What a build made, and how many steps the cache had.
pub(crate) struct Outcome {
    pub(crate) image: Image,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) cached: usize,
}

impl Kit {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        Self { folder, store }
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.write_mode(name, bytes, 0o644);
    }

    pub(crate) fn write_mode(&self, name: &str, bytes: impl AsRef<[u8]>, mode: u32) {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: &str) {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub(crate) fn lease(&self) -> Lease {
        self.store.lease().unwrap()
    }

    pub(crate) fn try_build(&self, dockerfile: &str, options: &Options<'_>) -> Result<Outcome, BuildError> {
        let mut context = BuildContext::directory(&self.context()).unwrap();
        if let Some(patterns) = options.ignore {
            context.set_ignore(Ignore::parse(patterns.as_bytes()).unwrap());
        }
        self.try_build_with(&self.lease(), &context, dockerfile, options, None)
    }

    pub(crate) fn try_build_with(
        &self,
        lease: &Lease,
        context: &BuildContext,
        dockerfile: &str,
        options: &Options<'_>,
        runner: Option<&dyn Runner>,
    ) -> Result<Outcome, BuildError> {
        let file = Dockerfile::parse(dockerfile.as_bytes()).unwrap_or_else(|error| panic!("{dockerfile}: {error}"));
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (args, labels) = (owned(&options.args), owned(&options.labels));
        let names: Vec<Reference> = options.names.iter().map(|name| name.parse().unwrap()).collect();
        let request = Request {
            dockerfile: &file,
            target: options.target,
            build_args: &args,
            labels: &labels,
            names: &names,
            platform: options.platform.map(|text| text.parse().unwrap()),
            host: Platform::new("linux", "amd64"),
            epoch: options.epoch.map(Timestamp::from_seconds),
            no_cache: options.no_cache,
            no_cache_filter: options.no_cache_filter,
            listed: true,
            squash: false,
            annotations: &[],
            imports: &[],
            inline_cache: false,
            jobs: 2,
            contexts: options.contexts,
            surroundings: &Surroundings::default(),
            secrets: &[],
            agents: &[],
            fetcher: options.fetcher,
        };
        let mut cached = 0;
        let mut observer = |event: Event<'_>| cached += usize::from(matches!(event, Event::Cached { .. }));
        let Built { image, remarks, .. } = build(lease, context, &request, runner, &mut observer)?;
        Ok(Outcome { image, remarks, cached })
    }

    pub(crate) fn build(&self, dockerfile: &str, options: &Options<'_>) -> Outcome {
        self.try_build(dockerfile, options).unwrap_or_else(|error| panic!("{dockerfile}\n{}", chain(&error)))
    }

    /// Builds and lists the image's tree.
    pub(crate) fn tree(&self, dockerfile: &str) -> Vec<String> {
        self.listing(&self.build(dockerfile, &Options::default()).image)
    }

    /// The message of a build that must fail.
    pub(crate) fn fault(&self, dockerfile: &str) -> String {
        match self.try_build(dockerfile, &Options::default()) {
            Ok(outcome) => panic!("{dockerfile} makes {:?}", self.listing(&outcome.image)),
            Err(error) => chain(&error),
        }
    }

    /// `mode uid:gid path content`, one line for each entry but the root, with the time where it is not 0.
    pub(crate) fn listing(&self, image: &Image) -> Vec<String> {
        let tree = self.store.image_tree(image).unwrap();
        let contents = self.store.contents();
        let mut first = std::collections::HashMap::new();
        let mut lines = Vec::new();
        for (path, id) in tree.walk().skip(1) {
            let inode = tree.inode(id);
            let metadata = &inode.entry.metadata;
            let shared = first.entry(id).or_insert_with(|| path.clone()).clone();
            let what = match &inode.entry.kind {
                _ if shared != path => format!(" == {shared}"),
                EntryKind::Directory => "/".to_owned(),
                EntryKind::Symlink(target) => format!(" -> {}", String::from_utf8_lossy(target)),
                EntryKind::File(content) => {
                    let mut bytes = Vec::new();
                    contents.open(content).unwrap().read_to_end(&mut bytes).unwrap();
                    format!(" {}", String::from_utf8_lossy(&bytes).escape_debug())
                }
                other => format!(" {}", other.describe()),
            };
            let mode = match inode.entry.kind {
                EntryKind::Symlink(_) => "link".to_owned(),
                _ => format!("{:o}", metadata.mode),
            };
            let time = match metadata.mtime {
                Timestamp::ZERO => String::new(),
                time => format!(" @{}", time.seconds),
            };
            lines.push(format!("{mode} {}:{} {path}{what}{time}", metadata.uid, metadata.gid));
        }
        lines
    }
}

/// An error with all its causes, one after the other.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) fn config(outcome: &Outcome) -> &ImageConfig {
    &outcome.image.config
}

/// The words of the history.
pub(crate) fn history(outcome: &Outcome) -> Vec<&str> {
    config(outcome).history.iter().map(|entry| entry.created_by.as_str()).collect()
}

pub(crate) fn same<T: std::fmt::Debug + PartialEq>(found: T, expected: T, what: &str) {
    assert_eq!(found, expected, "{what}");
}

/// Sets the times of a file to another moment.
pub(crate) fn touch(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567)).unwrap();
}
