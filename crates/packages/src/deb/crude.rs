//! Debootstrap's rules: which packages it takes, and in which order it prints them.
//!
//! They are crude on purpose, and people rely on them: only the first alternative of a group counts, versions and
//! architectures of relations are not looked at, names that no package has are dropped, and of several stanzas of a
//! name the last one of the first index that has it is taken, whatever its version.
//!
//! Spec: debootstrap(8); observed on debootstrap 1.0.128.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::package::{Package, Priority};
use super::relation::Relations;
use super::select::{Request, Role, Selected, Selection, Variant, Why};
use super::solve::{Need, PackageId, SolveError, Universe};

/// Which of debootstrap's suite scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Script {
    /// Debian and what is made like it.
    #[default]
    Debian,
    /// Ubuntu.
    Ubuntu,
}

/// What debootstrap's rules depend on beside the packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The script.
    pub script: Script,
    /// The suite's codename: some have rules of their own.
    pub codename: String,
    /// The mirror is asked by https, so the image gets what apt needs for it.
    pub https: bool,
    /// The list is only printed: for newer Ubuntus the printed list has `usrmerge`, the installed one has not.
    pub printing: bool,
    /// A split /usr is forced.
    pub split_usr: bool,
    /// Dependencies are followed; `--no-resolve-deps` turns it off.
    pub resolve: bool,
}

impl Rules {
    /// The rules for a suite as debootstrap has them when nothing is said.
    #[must_use]
    pub fn new(script: Script, codename: &str) -> Self {
        Self { script, codename: codename.to_owned(), https: false, printing: false, split_usr: false, resolve: true }
    }
}

/// The names that debootstrap takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The required ones and what they need, sorted.
    pub required: Vec<String>,
    /// The others, sorted.
    pub base: Vec<String>,
}

impl Names {
    /// All of them in the order in which `--print-debs` prints them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.required.iter().chain(&self.base).map(String::as_str)
    }
}

/// Codenames up to the last one that has a rule, oldest first; a codename that is not listed is newer.
const DEBIAN: &[&str] = &["etch", "lenny", "squeeze", "wheezy", "jessie", "stretch", "buster", "bullseye", "bookworm"];
const UBUNTU: &[&str] = &[
    "gutsy", "hardy", "intrepid", "jaunty", "karmic", "lucid", "maverick", "natty", "oneiric", "precise", "quantal",
    "raring", "saucy", "trusty", "utopic", "vivid", "wily", "xenial", "yakkety", "zesty", "artful", "bionic", "cosmic",
    "disco", "eoan", "focal", "groovy", "hirsute",
];

/// Tells whether `codename` is `last` or older. Suites such as `jessie-kfreebsd` go with their first word.
fn until(list: &[&str], codename: &str, last: &str) -> bool {
    let place = |name: &str| {
        list.iter()
            .position(|known| *known == name || name.strip_prefix(known).is_some_and(|rest| rest.starts_with('-')))
    };
    place(codename).is_some_and(|at| Some(at) <= place(last))
}

/// The names that a request means by these rules. Names that no package has stay among those that were asked for.
///
/// # Errors
/// The variant is none of debootstrap's, or a wish is not a plain name.
pub fn names(universe: &Universe<'_>, request: &Request, rules: &Rules) -> Result<Names, SolveError> {
    let book = Book::new(universe);
    let codename = rules.codename.as_str();
    let mut required = book.of_priority(Priority::Required);
    let mut base: BTreeSet<&str> = match request.variant {
        Variant::Important | Variant::Fakechroot => book.of_priority(Priority::Important),
        Variant::Buildd => ["apt", "build-essential"].into(),
        Variant::Required => ["apt"].into(),
        other => {
            let reason = "debootstrap's variants are -, minbase, buildd and fakechroot".to_owned();
            return Err(SolveError::Wish { wish: other.as_str().to_owned(), reason });
        }
    };
    if request.variant == Variant::Fakechroot {
        required.insert("binutils");
    }
    let (list, last_transport) = match rules.script {
        Script::Debian => (DEBIAN, "stretch"),
        Script::Ubuntu => (UBUNTU, "zesty"),
    };
    if rules.https {
        base.insert("ca-certificates");
        // Debian's script knows no etch here; nobody has https for it.
        if until(list, codename, last_transport) {
            base.insert("apt-transport-https");
        }
    }
    let mut unfollowed: BTreeSet<&str> = BTreeSet::new();
    match rules.script {
        Script::Debian => {
            // Where /usr is merged by the bootstrap, the package that would merge it stays out, with its perl.
            if codename == "bookworm" {
                required.insert("usr-is-merged");
            }
            if !until(list, codename, "bullseye") {
                unfollowed.insert("usrmerge");
            }
        }
        Script::Ubuntu => {
            let split = rules.split_usr || codename == "hirsute" && request.variant == Variant::Buildd;
            if rules.printing && !split && !until(list, codename, "groovy") {
                base.insert("usrmerge");
            }
        }
    }
    for wish in &request.include {
        let plain = wish.name().filter(|name| *name == wish.as_str());
        base.insert(plain.ok_or_else(|| SolveError::Wish {
            wish: wish.as_str().to_owned(),
            reason: "debootstrap's rules take plain names only".to_owned(),
        })?);
    }
    for name in &request.exclude {
        required.remove(name.as_str());
        base.remove(name.as_str());
    }
    if rules.resolve {
        required = book.close(required, &unfollowed);
        base = book.close(base, &unfollowed);
        base.retain(|name| !required.contains(name));
    }
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    Ok(Names { required: owned(required), base: owned(base) })
}

/// Selects by these rules.
///
/// # Errors
/// As [`names`]; and a name that was asked for and no package has.
pub fn select<'a>(universe: &Universe<'a>, request: &Request, rules: &Rules) -> Result<Selection<'a>, SolveError> {
    let names = names(universe, request, rules)?;
    let book = Book::new(universe);
    let mut found: BTreeMap<&'a str, u32> = BTreeMap::new();
    for name in names.iter() {
        match book.taken(name) {
            Some((name, entry)) => found.insert(name, entry),
            None => {
                let near = universe.near(name).into_iter().map(str::to_owned).collect();
                return Err(SolveError::UnknownPackage { name: name.to_owned(), near });
            }
        };
    }
    let place: HashMap<&str, usize> = found.keys().enumerate().map(|(number, name)| (*name, number)).collect();
    let roles = roles(&book, &found, &place, request);
    let packages = found.values().zip(roles).map(|(entry, (role, why))| {
        let id = PackageId(*entry);
        Selected { package: universe.package(id), id, source: universe.source(id), role, why }
    });
    Ok(Selection { packages: packages.collect(), debootstrap: names, searched: false })
}

/// The role of every package and the first one, by name, that needs it.
fn roles(
    book: &Book<'_, '_>,
    found: &BTreeMap<&str, u32>,
    place: &HashMap<&str, usize>,
    request: &Request,
) -> Vec<(Role, Why)> {
    let mut needed: Vec<Option<(usize, Need)>> = vec![None; found.len()];
    for (number, name) in found.keys().enumerate() {
        for (dependency, need) in book.dependencies(name) {
            if let Some(place) = place.get(dependency).map(|other| &mut needed[*other]) {
                place.get_or_insert((number, need));
            }
        }
    }
    let roles = found.iter().zip(needed).map(|((name, entry), needed)| {
        let package = book.universe.package(PackageId(*entry));
        let wish = request.include.iter().position(|wish| wish.as_str() == *name);
        match (package.priority, wish, needed) {
            _ if package.essential => (Role::Essential, Why::Variant),
            (Priority::Required, ..) => (Role::Required, Why::Variant),
            (_, Some(wish), _) => (Role::Included, Why::Wish(wish)),
            (Priority::Important, ..) if matches!(request.variant, Variant::Important | Variant::Fakechroot) => {
                (Role::Base, Why::Variant)
            }
            _ if *name == "apt" || *name == "build-essential" => (Role::Base, Why::Variant),
            (_, None, Some((number, need))) => (Role::Dependency, Why::Package(number, need)),
            (_, None, None) => (Role::Base, Why::Variant),
        }
    });
    roles.collect()
}

/// The stanzas of the native architecture, as debootstrap greps them.
struct Book<'u, 'a> {
    universe: &'u Universe<'a>,
}

impl<'u, 'a> Book<'u, 'a> {
    fn new(universe: &'u Universe<'a>) -> Self {
        Self { universe }
    }

    /// The names of a priority. Of stanzas of one name in a row only the last counts.
    fn of_priority<'s>(&self, priority: Priority) -> BTreeSet<&'s str>
    where
        'a: 's,
    {
        let mut names = BTreeSet::new();
        for source in self.universe.sources() {
            let native: Vec<&Package<'a>> =
                source.index.packages().iter().filter(|package| package.runs_on(self.universe.native())).collect();
            for row in native.chunk_by(|left, right| left.name == right.name) {
                names.extend(row.last().filter(|package| package.priority == priority).map(|package| package.name));
            }
        }
        names
    }

    fn entries(&self, name: &str) -> impl Iterator<Item = u32> + 'u {
        let universe = self.universe;
        let slot = universe.slots_of(name).find(|slot| universe.slots[*slot as usize].architecture == 0);
        slot.into_iter().flat_map(|slot| universe.entries_of(slot))
    }

    /// The stanza that is taken for a name: the last one of the first source that has it.
    fn taken(&self, name: &str) -> Option<(&'a str, u32)> {
        let universe = self.universe;
        let taken = self.entries(name).min_by_key(|entry| (universe.entries[*entry as usize].source, Reverse(*entry)));
        taken.map(|entry| (universe.entries[entry as usize].package.name, entry))
    }

    /// The first alternatives of all stanzas of a name, real or not.
    fn dependencies(&self, name: &str) -> impl Iterator<Item = (&'a str, Need)> + 'u {
        let universe = self.universe;
        self.entries(name).flat_map(move |entry| {
            let package = universe.entries[entry as usize].package;
            let first = |need: Need| move |name| (name, need);
            firsts(package.pre_depends)
                .map(first(Need::PreDepends))
                .chain(firsts(package.depends).map(first(Need::Depends)))
        })
    }

    /// Adds what the names need, as far as there is such a package.
    fn close<'s>(&self, mut names: BTreeSet<&'s str>, unfollowed: &BTreeSet<&str>) -> BTreeSet<&'s str>
    where
        'a: 's,
    {
        let mut open: Vec<&'s str> = names.iter().copied().collect();
        while let Some(name) = open.pop() {
            for (dependency, _) in self.dependencies(name) {
                let real = || self.entries(dependency).next().is_some();
                if !unfollowed.contains(dependency) && !names.contains(dependency) && real() {
                    names.insert(dependency);
                    open.push(dependency);
                }
            }
        }
        names
    }
}

/// The name of the first alternative of each group, with nothing of what stands behind it.
fn firsts<'a>(relations: Relations<'a>) -> impl Iterator<Item = &'a str> {
    relations.as_str().split(',').map(|group| {
        let end = group.find(['|', '(', ':']).unwrap_or(group.len());
        group.get(..end).unwrap_or_default().trim_ascii()
    })
}
