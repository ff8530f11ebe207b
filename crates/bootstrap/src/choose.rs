//! Verified indexes and a request become a list of packages.

use std::collections::HashSet;

use bedplate_packages::deb::crude::{self, Names, Rules, Script};
use bedplate_packages::deb::index::{IndexError, PackagesIndex};
use bedplate_packages::deb::select::{self, Role};
use bedplate_packages::deb::solve::{SolveError, Source as UniverseSource, Universe};
use bedplate_packages::deb::wish::Wish;
use thiserror::Error;

use crate::acquire::{AcquireError, Acquired, Plan, Wanted};
use crate::distribution::{Pocket, Quirk};
use crate::finish::Style;
use crate::lock::LockedRole;
use crate::request::{Request, Resolver};

/// A package that will be in the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The name of the source that it is taken from.
    pub source: String,
    /// Why it is there.
    pub role: LockedRole,
    /// What is to be fetched.
    pub wanted: Wanted,
}

/// No packages can be chosen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChooseError {
    /// An index is malformed.
    #[error("cannot understand the index of {suite} {component}")]
    Index {
        /// The suite.
        suite: String,
        /// The component.
        component: String,
        /// Why.
        #[source]
        source: IndexError,
    },
    /// No set of packages fulfils the request, or the request is none.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A package cannot be fetched.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

/// The packages of a request, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The packages.
    pub packages: Vec<Chosen>,
    /// With debootstrap's rules: its names, in its order.
    pub debootstrap: Names,
    /// For a style that keeps them: the stanzas of the packages as they stand in the indexes, in their order.
    pub stanzas: Vec<Box<[u8]>>,
}

/// Chooses packages; `names` are those of debootstrap where they were chosen before.
///
/// # Errors
/// [`ChooseError`].
pub(crate) fn choose(request: &Request, acquired: &Acquired, names: Option<Names>) -> Result<Choice, ChooseError> {
    let mut parsed = Vec::new();
    for (number, source) in acquired.sources.iter().enumerate() {
        for index in &source.indexes {
            let packages = PackagesIndex::parse(&index.bytes).map_err(|error| ChooseError::Index {
                suite: source.suite.clone(),
                component: index.component.clone(),
                source: error,
            })?;
            parsed.push((number, index.component.as_str(), packages));
        }
    }
    let sources: Vec<UniverseSource<'_>> = parsed
        .iter()
        .filter_map(|(number, component, packages)| {
            let source = acquired.sources.get(*number)?;
            let release = &source.release;
            let suite = release.suite.as_deref().unwrap_or(&source.suite);
            let codename = release.codename.as_deref().unwrap_or(&source.suite);
            let made = UniverseSource::new(packages, suite, codename, component);
            Some(made.automatic(release.not_automatic, release.but_automatic_upgrades))
        })
        .collect();
    let universe = Universe::new(&acquired.plan.architecture, &[], &sources);
    let https = acquired
        .plan
        .sources
        .iter()
        .flat_map(|source| &source.mirrors)
        .any(|url| url.scheme() == bedplate_fetch::Scheme::Https);
    let wishes = request.include.iter().map(|text| text.parse()).collect::<Result<Vec<Wish>, _>>()?;
    // Priorities of the release itself make the variant; updates of its packages come from every pocket.
    let release = acquired.sources.iter().find(|source| source.pocket == Some(Pocket::Release));
    let suite = release
        .map_or_else(String::new, |source| source.release.codename.clone().unwrap_or_else(|| source.suite.clone()));
    let exclude = excluded(request, &acquired.plan, &wishes);
    let wanted = select::Request {
        variant: request.variant,
        include: wishes,
        exclude,
        recommends: request.recommends,
        suite,
        resolver: match request.resolver {
            Resolver::Apt => select::Resolver::Apt,
            Resolver::Debootstrap => {
                let script = if acquired.plan.distribution.name == "ubuntu" { Script::Ubuntu } else { Script::Debian };
                select::Resolver::Debootstrap(Rules {
                    https,
                    printing: request.printing,
                    split_usr: request.merged_usr == Some(false),
                    resolve: !request.no_dependencies,
                    ..Rules::new(script, &acquired.plan.suite.codename)
                })
            }
        },
    };
    let selection = match names {
        Some(names) => crude::select_named(&universe, &wanted, names)?,
        None => select::select(&universe, &wanted)?,
    };
    let mut packages = Vec::with_capacity(selection.packages.len());
    for selected in &selection.packages {
        let Some((source, ..)) = parsed.get(selected.source) else { continue };
        let Some(acquired) = acquired.sources.get(*source) else { continue };
        packages.push(Chosen {
            name: selected.package.name.to_owned(),
            version: selected.package.version.to_string(),
            architecture: selected.package.architecture.to_owned(),
            source: acquired.name.clone(),
            role: match selected.role {
                Role::Essential => LockedRole::Essential,
                Role::Required => LockedRole::Required,
                Role::Base => LockedRole::Base,
                Role::Included => LockedRole::Included,
                Role::Dependency => LockedRole::Dependency,
            },
            wanted: Wanted::of(selected.package, acquired)?,
        });
    }
    let mut stanzas = Vec::new();
    if matches!(request.style, Style::Debuerreotype | Style::Debootstrap) {
        let names: HashSet<&str> = selection.packages.iter().map(|selected| selected.package.name).collect();
        let all = parsed.iter().flat_map(|(.., index)| index.packages());
        stanzas.extend(all.filter(|package| names.contains(package.name)).map(|package| package.stanza.into()));
    }
    Ok(Choice { packages, stanzas, debootstrap: selection.debootstrap })
}

/// What the request excludes, and `usrmerge` where nobody asks for it: a root is merged from the beginning, or never.
///
/// `init-system-helpers` needs `usrmerge | usr-is-merged`. The first one converts a root, with perl; the official images
/// have the second, as debootstrap chooses it.
fn excluded(request: &Request, plan: &Plan, wishes: &[Wish]) -> Vec<String> {
    const CONVERTER: &str = "usrmerge";
    let mut names = request.exclude.clone();
    let asked = wishes.iter().any(|wish| wish.name() == Some(CONVERTER));
    // A root that stays unmerged has a mark for it, so that the second one is content there, too.
    let for_good = plan.merged_usr || request.resolver == Resolver::Apt;
    if plan.suite.has(Quirk::UsrIsMerged) && for_good && !asked {
        names.push(CONVERTER.to_owned());
    }
    names
}
