//! Which packages an image holds: variants, wishes, and the selection that they lead to.
//!
//! Variants are mmdebstrap's; debootstrap's names are other names of them.

use std::fmt;
use std::str::FromStr;

use super::crude;
use super::package::Package;
use super::solve::{NONE, Need, PackageId, SolveError, Solver, Universe};
use super::wish::Wish;

/// A named set of packages to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Variant {
    /// Only what is included; nothing is configured.
    Extract,
    /// Only what is included.
    Custom,
    /// What is `Essential: yes`.
    Essential,
    /// The essential packages and apt.
    Apt,
    /// The essential packages, those of priority required, and apt; `minbase`.
    Required,
    /// The same and build-essential.
    Buildd,
    /// `Required` and the packages of priority important; `debootstrap`, `-`. The default, as it is of both tools.
    #[default]
    Important,
    /// The same and binutils; debootstrap's.
    Fakechroot,
    /// `Important` and the packages of priority standard.
    Standard,
}

impl Variant {
    /// Every name of every variant, the first of each being its own.
    pub const NAMES: &'static [(&'static str, Variant)] = &[
        ("extract", Variant::Extract),
        ("custom", Variant::Custom),
        ("essential", Variant::Essential),
        ("apt", Variant::Apt),
        ("required", Variant::Required),
        ("minbase", Variant::Required),
        ("buildd", Variant::Buildd),
        ("important", Variant::Important),
        ("debootstrap", Variant::Important),
        ("-", Variant::Important),
        ("fakechroot", Variant::Fakechroot),
        ("standard", Variant::Standard),
    ];

    /// Its own name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, variant)| *variant == self).map_or("", |(name, _)| name)
    }

    /// Tells whether the essential packages are part of it.
    #[must_use]
    pub fn has_essential(self) -> bool {
        !matches!(self, Self::Extract | Self::Custom)
    }

    /// The wishes that stand for it beside the essential packages, with their role.
    fn base(self) -> &'static [(&'static str, Role)] {
        const APT: (&str, Role) = ("apt", Role::Base);
        const REQUIRED: (&str, Role) = ("?priority(required)", Role::Required);
        const IMPORTANT: (&str, Role) = ("?priority(important)", Role::Base);
        match self {
            Self::Extract | Self::Custom | Self::Essential => &[],
            Self::Apt => &[APT],
            Self::Required => &[REQUIRED, APT],
            Self::Buildd => &[REQUIRED, APT, ("build-essential", Role::Base)],
            Self::Important => &[REQUIRED, APT, IMPORTANT],
            Self::Fakechroot => &[REQUIRED, APT, IMPORTANT, ("binutils", Role::Required)],
            Self::Standard => &[REQUIRED, APT, IMPORTANT, ("?priority(standard)", Role::Base)],
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no variant has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no variant {name:?}; there are: extract, custom, essential, apt, required (minbase), buildd, important (debootstrap, -), fakechroot, standard"
)]
pub struct VariantError {
    /// The name.
    pub name: String,
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(name: &str) -> Result<Self, VariantError> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, variant)| *variant).ok_or_else(|| VariantError { name: name.to_owned() })
    }
}

/// By which rules packages follow from wishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resolver {
    /// Apt's.
    #[default]
    Apt,
    /// Debootstrap's: first alternatives only, no versions, no virtual packages.
    Debootstrap(crude::Rules),
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The set to begin with.
    pub variant: Variant,
    /// What else is wanted.
    pub include: Vec<Wish>,
    /// Names that must not be installed. With apt's rules nothing may need them; with debootstrap's they come back
    /// where something depends on them.
    pub exclude: Vec<String>,
    /// Also install what packages recommend. Not with debootstrap's rules.
    pub recommends: bool,
    /// The suite whose priorities and essential packages make the variant; empty for all of them. Updates of it are
    /// taken from every source anyway.
    pub suite: String,
    /// By which rules.
    pub resolver: Resolver,
}

/// Why a package is in a selection, the strongest reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It is `Essential: yes`, and the variant has those.
    Essential,
    /// The variant has it by its priority required.
    Required,
    /// The variant has it otherwise: apt, build-essential, the other priorities.
    Base,
    /// A wish asked for it.
    Included,
    /// Another package needs it.
    Dependency,
}

/// Who brought a package in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The variant.
    Variant,
    /// The wish of this number in [`Request::include`].
    Wish(usize),
    /// The package of this number in [`Selection::packages`], by a relation of this kind. With debootstrap's rules
    /// a relation may go by a name that is not the package's.
    Package(usize, Need),
}

/// One selected package.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'a> {
    /// The package.
    pub package: &'a Package<'a>,
    /// Its number in the universe.
    pub id: PackageId,
    /// The number of its source in [`Universe::sources`].
    pub source: usize,
    /// Why it is there.
    pub role: Role,
    /// Who brought it in.
    pub why: Why,
}

/// The packages to install, by name and then architecture, the native one first.
///
/// Depends on the packages of the indexes and on the request, not on the order of stanzas or wishes.
#[derive(Debug, Clone, Default)]
pub struct Selection<'a> {
    /// The packages.
    pub packages: Vec<Selected<'a>>,
    /// What debootstrap's rules give: the names in its order, required ones before base ones; empty with apt's.
    pub debootstrap: crude::Names,
    /// The first choices, which are apt's, did not fit together, and others were searched for. Apt's older solver
    /// may find others, or none.
    pub searched: bool,
}

/// Selects packages.
///
/// # Errors
/// A wish names what is not there, or nothing fulfils all wishes; the error says why.
pub fn select<'a>(universe: &Universe<'a>, request: &Request) -> Result<Selection<'a>, SolveError> {
    match &request.resolver {
        Resolver::Apt => apt(universe, request),
        Resolver::Debootstrap(rules) => crude::select(universe, request, rules),
    }
}

fn apt<'a>(universe: &Universe<'a>, request: &Request) -> Result<Selection<'a>, SolveError> {
    let mut solver = Solver::new(universe, request.recommends);
    for name in &request.exclude {
        for slot in universe.slots_of(name) {
            solver.exclude(slot);
        }
    }
    let mut roots: Vec<(u32, Role, Why)> = Vec::new();
    if request.variant.has_essential() {
        let essential = Wish::pattern("?essential")?;
        let entries = essential.of_variant(universe, &solver, &request.suite)?;
        roots.extend(entries.into_iter().map(|entry| (entry, Role::Essential, Why::Variant)));
        let mut wanted: Vec<u32> = roots.iter().map(|root| root.0).collect();
        if request.variant == Variant::Apt {
            // As apt itself does it: to apt, apt is essential, and one run brings both.
            wanted.extend(universe.slots_of("apt").map(|slot| solver.candidate(slot)).find(|entry| *entry != NONE));
        }
        solver.stage(&wanted)?;
    }
    let mut wanted = Vec::new();
    for (text, role) in request.variant.base() {
        let wish: Wish = text.parse()?;
        let entries = match wish.is_pattern() {
            true => wish.of_variant(universe, &solver, &request.suite)?,
            // Excluding apt is allowed, and is no contradiction to the variant.
            false if universe.slots_of(text).any(|slot| solver.is_excluded(slot)) => Vec::new(),
            false => wish.entries(&mut solver)?,
        };
        wanted.extend(&entries);
        roots.extend(entries.into_iter().map(|entry| (entry, *role, Why::Variant)));
    }
    for (number, wish) in request.include.iter().enumerate() {
        let entries = wish.entries(&mut solver)?;
        wanted.extend(&entries);
        roots.extend(entries.into_iter().map(|entry| (entry, Role::Included, Why::Wish(number))));
    }
    // What is on the disk already is not asked for again, unless in another version.
    solver.stage(&wanted)?;
    let searched = solver.searched();
    Ok(Selection { packages: describe(&mut solver, &roots), debootstrap: crude::Names::default(), searched })
}

/// Gives every planned package its role and who brought it in: the shortest way from what was asked for.
fn describe<'a>(solver: &mut Solver<'_, 'a>, roots: &[(u32, Role, Why)]) -> Vec<Selected<'a>> {
    let universe = solver.universe;
    let plan = solver.plan();
    let mut place = vec![usize::MAX; universe.entries.len()];
    for (number, entry) in plan.iter().enumerate() {
        place[*entry as usize] = number;
    }
    let mut found: Vec<Option<(Role, Why)>> = vec![None; plan.len()];
    let mut ring: Vec<usize> = Vec::new();
    for (entry, role, why) in roots {
        let Some(number) = place.get(*entry as usize).copied().filter(|number| *number != usize::MAX) else { continue };
        match &mut found[number] {
            // Roots come with the strongest roles first.
            Some(_) => {}
            none => {
                *none = Some((*role, *why));
                ring.push(number);
            }
        }
    }
    while !ring.is_empty() {
        ring.sort_unstable();
        let mut next = Vec::new();
        for number in ring {
            let needs = solver.book().of(plan[number]);
            for group in &needs.groups {
                for entry in group.all() {
                    let Some(other) = place.get(entry as usize).copied().filter(|other| *other != usize::MAX) else {
                        continue;
                    };
                    if found[other].is_none() {
                        found[other] = Some((Role::Dependency, Why::Package(number, group.need)));
                        next.push(other);
                    }
                }
            }
        }
        ring = next;
    }
    let selected = plan.iter().zip(found).map(|(entry, found)| {
        // What only a suggestion still refers to was brought in by nobody who stayed.
        let (role, why) = found.unwrap_or((Role::Dependency, Why::Variant));
        let id = PackageId(*entry);
        Selected { package: universe.package(id), id, source: universe.source(id), role, why }
    });
    selected.collect()
}
