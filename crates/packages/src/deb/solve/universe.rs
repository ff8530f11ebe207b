//! All packages that could be installed: several indexes, the architectures in use, and which version of each is the
//! candidate.
//!
//! Spec: apt_preferences(5) "How APT Interprets Priorities", Debian Policy 7, deb-control(5) "Multi-Arch".

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use super::super::index::PackagesIndex;
use super::super::package::{MultiArch, Package, Priority};
use super::super::relation::{Operator, Relation};

/// The priority of packages of an ordinary source.
pub const PIN_DEFAULT: i16 = 500;
/// The priority of a source whose Release says `NotAutomatic: yes`: taken only where nothing else has the package.
pub const PIN_NOT_AUTOMATIC: i16 = 1;
/// The same, with `ButAutomaticUpgrades: yes`, as backports are.
pub const PIN_AUTOMATIC_UPGRADES: i16 = 100;

/// Marks the end of a chain of numbers.
pub(crate) const NONE: u32 = u32::MAX;

/// One index, and what its Release says of it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The packages.
    pub index: &'a PackagesIndex<'a>,
    /// `Suite:` of the Release, what apt calls the archive: `stable`, `oldstable-security`.
    pub suite: &'a str,
    /// `Codename:` of the Release.
    pub codename: &'a str,
    /// The component: `main`.
    pub component: &'a str,
    /// The priority of its packages.
    pub pin: i16,
}

impl<'a> Source<'a> {
    /// A source whose packages are taken without being asked for.
    #[must_use]
    pub fn new(index: &'a PackagesIndex<'a>, suite: &'a str, codename: &'a str, component: &'a str) -> Self {
        Self { index, suite, codename, component, pin: PIN_DEFAULT }
    }

    /// The priority that apt gives by the Release's fields `NotAutomatic` and `ButAutomaticUpgrades`.
    #[must_use]
    pub fn automatic(mut self, not_automatic: bool, but_automatic_upgrades: bool) -> Self {
        self.pin = match (not_automatic, but_automatic_upgrades) {
            (false, _) => PIN_DEFAULT,
            (true, false) => PIN_NOT_AUTOMATIC,
            (true, true) => PIN_AUTOMATIC_UPGRADES,
        };
        self
    }

    /// Tells whether `name` is the suite's name or codename.
    #[must_use]
    pub fn is_suite(&self, name: &str) -> bool {
        self.suite == name || self.codename == name
    }
}

/// The number of one version of a package in a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub(crate) u32);

/// What apt calls a package: a name on an architecture, with its versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) name: u32,
    /// 0 is the native architecture; then the foreign ones.
    pub(crate) architecture: u16,
    /// The version that apt would take; [`NONE`] where none may be taken.
    pub(crate) candidate: u32,
    /// The highest version; the others follow by [`Entry::lower`].
    pub(crate) first: u32,
    /// The slot of the same name on another architecture.
    pub(crate) sibling: u32,
    /// Some version is `Essential: yes`.
    pub(crate) essential: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) package: &'a Package<'a>,
    pub(crate) source: u16,
    pub(crate) slot: u32,
    pub(crate) lower: u32,
    /// The package's, to look at all without touching their stanzas.
    pub(crate) priority: Priority,
}

#[derive(Debug, Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    slot: u32,
    provider: u32,
    /// How many versions have or provide it: what a look at it costs.
    weight: u32,
}

/// An entry of another name that answers to this one.
#[derive(Debug, Clone, Copy)]
struct Provider<'a> {
    entry: u32,
    next: u32,
    /// The relation, not read yet: of a hundred thousand a solver looks at some hundreds.
    text: &'a str,
}

/// The packages of several sources, found by name, with the candidate of each chosen as apt chooses it.
///
/// Borrows the indexes; built in one pass over them. Packages of other architectures than the ones in use are not
/// in it.
#[derive(Debug)]
pub struct Universe<'a> {
    architectures: Vec<&'a str>,
    sources: Vec<Source<'a>>,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) slots: Vec<Slot>,
    names: Vec<Name<'a>>,
    providers: Vec<Provider<'a>>,
    by_name: HashMap<&'a str, u32, Seed>,
}

impl<'a> Universe<'a> {
    /// Takes the sources in the order of preference among equal versions.
    #[must_use]
    pub fn new(native: &'a str, foreign: &[&'a str], sources: &[Source<'a>]) -> Self {
        let count: usize = sources.iter().map(|source| source.index.packages().len()).sum();
        let mut universe = Self {
            architectures: std::iter::once(native)
                .chain(foreign.iter().copied().filter(|arch| *arch != native))
                .collect(),
            sources: sources.to_vec(),
            entries: Vec::with_capacity(count),
            slots: Vec::with_capacity(count),
            names: Vec::with_capacity(count * 2),
            providers: Vec::new(),
            by_name: HashMap::with_capacity_and_hasher(count * 2, Seed::new()),
        };
        for (number, source) in sources.iter().enumerate() {
            for package in source.index.packages() {
                universe.add(package, u16::try_from(number).unwrap_or(u16::MAX));
            }
        }
        for number in 0..universe.slots.len() {
            let candidate = universe.choose(universe.slots[number].first);
            universe.slots[number].candidate = candidate;
        }
        universe
    }

    /// Packages that are all there is, whatever their sources: the number of each is its place. None is a candidate.
    pub(crate) fn of_packages(native: &'a str, packages: &'a [Package<'a>]) -> Self {
        let mut foreign: Vec<&'a str> = packages.iter().map(|package| package.architecture).collect();
        foreign.retain(|architecture| *architecture != "all");
        foreign.sort_unstable();
        foreign.dedup();
        let mut universe = Self::new(native, &foreign, &[]);
        for package in packages {
            universe.add(package, 0);
        }
        universe
    }

    /// The architecture of the system; packages for `all` count as it.
    #[must_use]
    pub fn native(&self) -> &'a str {
        self.architectures.first().copied().unwrap_or_default()
    }

    /// The sources in their order.
    #[must_use]
    pub fn sources(&self) -> &[Source<'a>] {
        &self.sources
    }

    /// The package of a number.
    #[must_use]
    pub fn package(&self, id: PackageId) -> &'a Package<'a> {
        self.entries[id.0 as usize].package
    }

    /// The place in [`sources`](Self::sources) of the source that a package comes from.
    #[must_use]
    pub fn source(&self, id: PackageId) -> usize {
        usize::from(self.entries[id.0 as usize].source)
    }

    /// The version that apt would install, of the native architecture, else of the first foreign one that has it.
    #[must_use]
    pub fn candidate(&self, name: &str) -> Option<PackageId> {
        self.slots_of(name).map(|slot| self.slots[slot as usize].candidate).find(|id| *id != NONE).map(PackageId)
    }

    /// All versions of a package on all architectures in use: native first, then high to low.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = PackageId> + '_ {
        self.slots_of(name).flat_map(|slot| self.entries_of(slot)).map(PackageId)
    }

    /// The number of package versions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is nothing to install.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tells whether some package has this name or provides it.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The real packages whose names are nearest to a misspelt one, nearest first, five at most.
    #[must_use]
    pub fn near(&self, name: &str) -> Vec<&'a str> {
        super::near::nearest(name, self.names.iter().filter(|near| near.slot != NONE).map(|near| near.text))
    }

    fn add(&mut self, package: &'a Package<'a>, source: u16) {
        let architecture = match package.architecture {
            "all" => 0,
            other => match self.architectures.iter().position(|arch| *arch == other) {
                Some(position) => u16::try_from(position).unwrap_or(u16::MAX),
                None => return,
            },
        };
        let name = self.name(package.name);
        self.names[name as usize].weight += 1;
        let slot = self.slot(name, architecture);
        let entry = self.entries.len() as u32;
        // High versions first; of equal ones the source that came first.
        let mut before = NONE;
        let mut after = self.slots[slot as usize].first;
        while after != NONE && self.entries[after as usize].package.version >= package.version {
            before = after;
            after = self.entries[after as usize].lower;
        }
        self.entries.push(Entry { package, source, slot, lower: after, priority: package.priority });
        match before {
            NONE => self.slots[slot as usize].first = entry,
            before => self.entries[before as usize].lower = entry,
        }
        self.slots[slot as usize].essential |= package.essential;
        for text in package.provides.as_str().split(',').map(str::trim_ascii) {
            let end = text.find(|c: char| c.is_ascii_whitespace() || "(:[<|".contains(c)).unwrap_or(text.len());
            let provided = text.get(..end).unwrap_or_default();
            if !provided.is_empty() {
                let name = self.name(provided) as usize;
                self.names[name].weight += 1;
                let next = std::mem::replace(&mut self.names[name].provider, self.providers.len() as u32);
                self.providers.push(Provider { entry, next, text });
            }
        }
    }

    fn name(&mut self, text: &'a str) -> u32 {
        let new = self.names.len() as u32;
        let number = *self.by_name.entry(text).or_insert(new);
        if number == new {
            self.names.push(Name { text, slot: NONE, provider: NONE, weight: 0 });
        }
        number
    }

    fn slot(&mut self, name: u32, architecture: u16) -> u32 {
        let mut before = NONE;
        let mut slot = self.names[name as usize].slot;
        while slot != NONE && self.slots[slot as usize].architecture < architecture {
            before = slot;
            slot = self.slots[slot as usize].sibling;
        }
        if slot != NONE && self.slots[slot as usize].architecture == architecture {
            return slot;
        }
        let new = self.slots.len() as u32;
        self.slots.push(Slot { name, architecture, candidate: NONE, first: NONE, sibling: slot, essential: false });
        match before {
            NONE => self.names[name as usize].slot = new,
            before => self.slots[before as usize].sibling = new,
        }
        new
    }

    /// The highest of the versions with the highest priority; none where all are forbidden.
    fn choose(&self, first: u32) -> u32 {
        let best = self.chain(first).min_by_key(|entry| Reverse(self.pin(*entry)));
        best.filter(|entry| self.pin(*entry) > 0).unwrap_or(NONE)
    }

    fn pin(&self, entry: u32) -> i16 {
        self.sources[usize::from(self.entries[entry as usize].source)].pin
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = first;
        std::iter::from_fn(move || {
            let entry = at;
            at = self.entries.get(at as usize)?.lower;
            Some(entry)
        })
    }

    /// The versions of a slot from high to low.
    pub(crate) fn entries_of(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.chain(self.slots[slot as usize].first)
    }

    /// The slots of a name, the native architecture's first.
    pub(crate) fn slots_of(&self, name: &str) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.by_name.get(name).map_or(NONE, |number| self.names[*number as usize].slot);
        std::iter::from_fn(move || {
            let slot = at;
            at = self.slots.get(at as usize)?.sibling;
            Some(slot)
        })
    }

    pub(crate) fn slot_name(&self, slot: u32) -> &'a str {
        self.names[self.slots[slot as usize].name as usize].text
    }

    pub(crate) fn slot_architecture(&self, slot: u32) -> &'a str {
        self.architectures[usize::from(self.slots[slot as usize].architecture)]
    }

    pub(crate) fn architecture_number(&self, architecture: &str) -> Option<u16> {
        match architecture {
            "all" | "native" => Some(0),
            other => self.architectures.iter().position(|arch| *arch == other).map(|number| number as u16),
        }
    }

    /// The name as a person writes it: with the architecture where it is a foreign one.
    pub(crate) fn display_name(&self, slot: u32) -> String {
        match self.slots[slot as usize].architecture {
            0 => self.slot_name(slot).to_owned(),
            _ => format!("{}:{}", self.slot_name(slot), self.slot_architecture(slot)),
        }
    }

    /// How many versions have or provide a name.
    pub(crate) fn weight(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(1, |number| self.names[*number as usize].weight as usize)
    }

    /// Every version that satisfies a relation of a package on `architecture`, candidates or not: real packages
    /// first, then providers.
    pub(crate) fn satisfying(&self, relation: &Relation<'_>, architecture: u16) -> Vec<u32> {
        let Some(name) = self.by_name.get(relation.name) else { return Vec::new() };
        let any = relation.qualifier == Some("any");
        let wanted = match relation.qualifier {
            None => architecture,
            Some("any") => architecture,
            Some(other) => match self.architecture_number(other) {
                Some(number) => number,
                None => return Vec::new(),
            },
        };
        let serves = |entry: &Entry<'_>| {
            let multi_arch = entry.package.multi_arch;
            let own = self.slots[entry.slot as usize].architecture;
            match relation.qualifier {
                None => own == wanted || multi_arch == MultiArch::Foreign,
                Some("any") => multi_arch == MultiArch::Allowed,
                Some(_) => own == wanted,
            }
        };
        let mut found = Vec::new();
        for slot in self.slots_of(relation.name) {
            for entry in self.entries_of(slot) {
                let it = &self.entries[entry as usize];
                if serves(it) && relation.admits(it.package.version) {
                    found.push(entry);
                }
            }
        }
        let real = found.len();
        self.each_provider(*name, |entry, it, provided| {
            let serves = match provided.qualifier {
                None => serves(it),
                Some("any") => any,
                Some(qualifier) => !any && self.architecture_number(qualifier) == Some(wanted),
            };
            if serves && admits(relation, provided) {
                push_provider(&mut found, real, self.slots[it.slot as usize].name == *name, entry);
            }
        });
        found
    }

    /// Every version that a `Conflicts` or `Breaks` of a version in `slot` is against.
    ///
    /// Never the package itself, also not by way of what it provides; on every architecture, unless one is named.
    pub(crate) fn conflicting(&self, relation: &Relation<'_>, slot: u32) -> Vec<u32> {
        let Some(name) = self.by_name.get(relation.name) else { return Vec::new() };
        let own = self.slots[slot as usize].name;
        let wanted = match relation.qualifier {
            None | Some("any") => None,
            Some(other) => match self.architecture_number(other) {
                Some(number) => Some(number),
                None => return Vec::new(),
            },
        };
        let serves = |it: &Entry<'_>| wanted.is_none_or(|wanted| self.slots[it.slot as usize].architecture == wanted);
        let mut found = Vec::new();
        for other in self.slots_of(relation.name) {
            for entry in self.entries_of(other) {
                let it = &self.entries[entry as usize];
                let ignored = it.slot == slot
                    || self.slots[it.slot as usize].name == own && it.package.multi_arch == MultiArch::Same;
                if !ignored && serves(it) && relation.admits(it.package.version) {
                    found.push(entry);
                }
            }
        }
        let real = found.len();
        self.each_provider(*name, |entry, it, provided| {
            let other = self.slots[it.slot as usize].name;
            if other != own && serves(it) && admits(relation, provided) {
                push_provider(&mut found, real, other == *name, entry);
            }
        });
        found
    }

    /// Every version that provides a name, and how. What does not parse is passed over: what nobody can read is provided
    /// to nobody.
    fn each_provider(&self, name: u32, mut take: impl FnMut(u32, &Entry<'a>, &Relation<'a>)) {
        let mut at = self.names[name as usize].provider;
        while let Some(provider) = self.providers.get(at as usize) {
            if let Ok(relation) = Relation::parse(provider.text) {
                take(provider.entry, &self.entries[provider.entry as usize], &relation);
            }
            at = provider.next;
        }
    }
}

/// Adds a provider unless it is there: as the `real` package of the name, or by having provided it twice.
fn push_provider(found: &mut Vec<u32>, real: usize, same_name: bool, entry: u32) {
    let twice = found.last() == Some(&entry) || same_name && found[..real].contains(&entry);
    if !twice {
        found.push(entry);
    }
}

/// Tells whether a provided name satisfies a relation of that name.
///
/// Without a version it never satisfies a relation with one; as in apt, anything but `=` provides nothing.
///
/// Spec: Debian Policy 7.5.
fn admits(relation: &Relation<'_>, provided: &Relation<'_>) -> bool {
    match provided.version {
        None => relation.version.is_none(),
        Some((Operator::Equal, version)) => relation.admits(version),
        Some(_) => false,
    }
}

/// Hashes names by folded multiplication from a seed that no archive can know: the names of an index are many, short,
/// and foreign.
#[derive(Debug, Clone, Copy)]
struct Seed(u64);

impl Seed {
    fn new() -> Self {
        Self(std::hash::RandomState::new().hash_one(0u8))
    }
}

impl BuildHasher for Seed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

#[derive(Debug)]
struct Folded(u64);

impl Folded {
    fn fold(&mut self, word: u64) {
        // The fraction of the golden ratio: its bits have no pattern that names could follow.
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
