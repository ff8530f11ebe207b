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

/// Tells whether a root of this suite whose `/usr` is not merged needs a mark against being converted.
#[must_use]
pub fn marks_split_usr(codename: &str) -> bool {
    !until(DEBIAN, codename, "bullseye")
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
            // debootstrap names it where no index has it, too: that list could not be fetched.
            if rules.printing && !split && !until(list, codename, "groovy") && book.taken("usrmerge").is_some() {
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
    select_named(universe, request, names(universe, request, rules)?)
}

/// Selects names that these rules gave before.
///
/// # Errors
/// A name that no package has.
pub fn select_named<'a>(universe: &Universe<'a>, request: &Request, names: Names) -> Result<Selection<'a>, SolveError> {
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

#[cfg(test)]
mod tests {
    use super::super::index::PackagesIndex;
    use super::super::solve::Source;
    use super::super::wish::Wish;
    use super::*;

    const SMALL: &[&str] = &[
        "apt 1; Priority: important; Depends: libapt (>= 9), gpgv | sqv, virtual",
        "base-files 1; Priority: required; Essential: yes; Pre-Depends: awk",
        "binutils 1",
        "build-essential 1; Depends: gcc:any [amd64], dpkg-dev | virtual",
        "ca-certificates 1",
        "apt-transport-https 1",
        "dpkg-dev 1",
        "gcc 1",
        "gpgv 1",
        "init-system-helpers 1; Priority: required; Depends: usrmerge | usr-is-merged",
        "libapt 1; Depends: libc6",
        "libc6 1",
        "mawk 1; Priority: required; Provides: awk",
        "perl 1",
        "sqv 1",
        "usr-is-merged 1",
        "usrmerge 1; Depends: perl",
        "vim 1; Priority: important; Depends: vim-common, missing",
        "vim-common 1",
        "virtual-owner 1; Provides: virtual",
        "web 1; Depends: web-data",
        "web 2; Priority: required",
        "web-data 1",
    ];

    fn stanza(line: &str) -> String {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let fields: Vec<&str> = parts.collect();
        format!("Package: {name}\nVersion: {version}\nArchitecture: all\n{}\n\n", fields.join("\n"))
            .replace("\n\n\n", "\n\n")
    }

    fn with<T>(sources: &[&[&str]], take: impl FnOnce(&Universe<'_>) -> T) -> T {
        let texts: Vec<String> = sources.iter().map(|lines| lines.iter().map(|line| stanza(line)).collect()).collect();
        let indexes: Vec<PackagesIndex<'_>> =
            texts.iter().map(|text| PackagesIndex::parse(text.as_bytes()).unwrap()).collect();
        let sources: Vec<Source<'_>> = indexes.iter().map(|index| Source::new(index, "s", "s", "main")).collect();
        take(&Universe::new("amd64", &[], &sources))
    }

    fn request(variant: &str, include: &str, exclude: &str) -> Request {
        Request {
            variant: variant.parse().unwrap(),
            include: Wish::list(include).unwrap(),
            exclude: exclude.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            ..Request::default()
        }
    }

    fn listed(request: &Request, rules: &Rules) -> String {
        with(&[SMALL], |universe| {
            let names = names(universe, request, rules).unwrap();
            format!("{} + {}", names.required.join(" "), names.base.join(" "))
        })
    }

    #[test]
    fn rules_of_debian() {
        // Variant, include, exclude, codename: required, then base.
        for (variant, include, exclude, codename, expected) in [
            (
                "minbase",
                "",
                "",
                "bookworm",
                "base-files init-system-helpers mawk usr-is-merged web web-data + apt gpgv libapt libc6",
            ),
            // Later suites leave usrmerge out, too; older ones follow it.
            ("minbase", "", "", "trixie", "base-files init-system-helpers mawk web web-data + apt gpgv libapt libc6"),
            ("minbase", "", "", "sid", "base-files init-system-helpers mawk web web-data + apt gpgv libapt libc6"),
            (
                "minbase",
                "",
                "",
                "bullseye",
                "base-files init-system-helpers mawk perl usrmerge web web-data + apt gpgv libapt libc6",
            ),
            (
                "-",
                "",
                "",
                "trixie",
                "base-files init-system-helpers mawk web web-data + apt gpgv libapt libc6 vim vim-common",
            ),
            (
                "fakechroot",
                "",
                "",
                "trixie",
                "base-files binutils init-system-helpers mawk web web-data + apt gpgv libapt libc6 vim vim-common",
            ),
            (
                "buildd",
                "",
                "",
                "trixie",
                "base-files init-system-helpers mawk web web-data + apt build-essential dpkg-dev gcc gpgv libapt libc6",
            ),
            // What is asked for stays though nobody has it; what is excluded comes back where something needs it.
            (
                "minbase",
                "sqv,nobody",
                "mawk,libapt,web",
                "trixie",
                "base-files init-system-helpers + apt gpgv libapt libc6 nobody sqv",
            ),
        ] {
            let found = listed(&request(variant, include, exclude), &Rules::new(Script::Debian, codename));
            assert_eq!(found, expected, "{variant} {codename}");
        }
    }

    #[test]
    fn rules_by_mirror_and_script() {
        let base = |rules: Rules| {
            let list = listed(&request("minbase", "", ""), &rules);
            list.split_once(" + ").unwrap().1.replace("apt gpgv libapt libc6", "-")
        };
        let https = |script, codename: &str| base(Rules { https: true, ..Rules::new(script, codename) });
        let printing = |codename: &str| base(Rules { printing: true, ..Rules::new(Script::Ubuntu, codename) });
        for (found, expected) in [
            (https(Script::Debian, "trixie"), "apt ca-certificates gpgv libapt libc6"),
            (https(Script::Debian, "buster"), "apt ca-certificates gpgv libapt libc6"),
            (https(Script::Debian, "stretch"), "apt apt-transport-https ca-certificates gpgv libapt libc6"),
            (https(Script::Debian, "jessie-kfreebsd"), "apt apt-transport-https ca-certificates gpgv libapt libc6"),
            (https(Script::Ubuntu, "xenial"), "apt apt-transport-https ca-certificates gpgv libapt libc6"),
            (https(Script::Ubuntu, "bionic"), "apt ca-certificates gpgv libapt libc6"),
            // Ubuntu's script follows usrmerge, so it is there by init-system-helpers already.
            (printing("focal"), "-"),
            (printing("noble"), "-"),
        ] {
            assert_eq!(found, expected);
        }
        let noble = |split_usr, printing| {
            let rules = Rules { printing, split_usr, ..Rules::new(Script::Ubuntu, "noble") };
            with(&[&["apt 1", "usrmerge 1"]], |universe| {
                names(universe, &request("minbase", "", ""), &rules).unwrap().base.join(" ")
            })
        };
        assert_eq!(
            (noble(false, true), noble(false, false), noble(true, true)),
            ("apt usrmerge".into(), "apt".into(), "apt".into())
        );
    }

    #[test]
    fn the_last_stanza_of_the_first_source_is_taken() {
        let sources: &[&[&str]] = &[&["apt 1", "lib 3", "lib 2"], &["apt 9", "lib 9", "new 1; Priority: required"]];
        let taken = with(sources, |universe| {
            let request = request("minbase", "lib", "");
            let selection = select(universe, &request, &Rules::new(Script::Debian, "trixie")).unwrap();
            let one = |it: &Selected<'_>| format!("{}={}:{:?}", it.package.name, it.package.version.as_str(), it.role);
            selection.packages.iter().map(one).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(taken, "apt=1:Base lib=2:Included new=1:Required");
    }

    #[test]
    fn what_these_rules_cannot() {
        let rules = Rules::new(Script::Debian, "trixie");
        for (request, expected) in [
            (
                request("essential", "", ""),
                "cannot understand \"essential\": debootstrap's variants are -, minbase, buildd and fakechroot",
            ),
            (request("minbase", "sqv=1", ""), "cannot understand \"sqv=1\": debootstrap's rules take plain names only"),
            (
                request("minbase", "?essential", ""),
                "cannot understand \"?essential\": debootstrap's rules take plain names only",
            ),
            (request("minbase", "gpgw", ""), "no package \"gpgw\"; near: gpgv"),
            (request("minbase", "virtual", ""), "no package \"virtual\""),
        ] {
            let error = with(&[SMALL], |universe| select(universe, &request, &rules).unwrap_err().to_string());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
