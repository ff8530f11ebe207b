//! Which packages are unpacked together.
//!
//! The first wave is what every bootstrapper unpacks before any script runs: the essential packages and all that they
//! need. Then comes what pre-depends on nothing that is not configured, and so on: as few waves as that allows.

use std::collections::{HashMap, HashSet};

use bedplate_packages::deb::payload::Payload;

/// Waves of packages by their numbers, each in the order of the packages.
///
/// `required` are the names that debootstrap unpacks before any script runs; empty where its rules were not asked.
pub(crate) fn waves(packages: &[Payload], required: &[String]) -> Vec<Vec<usize>> {
    let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, package) in packages.iter().enumerate() {
        let control = package.control();
        providers.entry(control.name()).or_default().push(number);
    }
    let provided: Vec<(usize, String)> = (packages.iter().enumerate())
        .flat_map(|(number, package)| names(package, "Provides").into_iter().flatten().map(move |name| (number, name)))
        .collect();
    for (number, name) in &provided {
        providers.entry(name).or_default().push(*number);
    }
    let needs = |number: usize, fields: &[&str]| -> Vec<usize> {
        let Some(package) = packages.get(number) else { return Vec::new() };
        let groups = fields.iter().flat_map(|field| names(package, field));
        let all = groups.flatten().filter_map(|name| providers.get(name.as_str()));
        all.flatten().copied().filter(|found| *found != number).collect()
    };
    let mut placed: HashSet<usize> = HashSet::new();
    let mut first: Vec<usize> =
        (0..packages.len()).filter(|n| packages.get(*n).is_some_and(|p| p.control().is_essential())).collect();
    if !required.is_empty() {
        let named =
            |n: &usize| packages.get(*n).is_some_and(|p| required.iter().any(|name| name == p.control().name()));
        first = (0..packages.len()).filter(named).collect();
    }
    // Without anything essential there is nothing to wait for.
    if first.is_empty() {
        first = (0..packages.len()).collect();
    }
    placed.extend(&first);
    let mut ring = first.clone();
    while let Some(number) = ring.pop() {
        for need in needs(number, &["Depends", "Pre-Depends"]) {
            if placed.insert(need) {
                first.push(need);
                ring.push(need);
            }
        }
    }
    first.sort_unstable();
    let mut waves = vec![first];
    while placed.len() < packages.len() {
        let rest: Vec<usize> = (0..packages.len()).filter(|n| !placed.contains(n)).collect();
        let ready = |number: &usize| {
            let Some(package) = packages.get(*number) else { return true };
            // One alternative that is there is enough; one that is nowhere among the packages counts for nothing.
            names(package, "Pre-Depends").into_iter().all(|group| {
                let found: Vec<usize> =
                    group.iter().filter_map(|name| providers.get(name.as_str())).flatten().copied().collect();
                found.is_empty() || found.iter().any(|found| placed.contains(found) || found == number)
            })
        };
        let mut wave: Vec<usize> = rest.iter().copied().filter(|number| ready(number)).collect();
        // Packages that pre-depend on each other come together: dpkg has no better way either.
        if wave.is_empty() {
            wave = rest;
        }
        placed.extend(&wave);
        waves.push(wave);
    }
    waves
}

/// The names in a field of relations, group by group; what cannot be understood is left to dpkg.
fn names(package: &Payload, field: &str) -> Vec<Vec<String>> {
    let relations = package.control().relations(field);
    let groups = relations.groups().filter_map(Result::ok);
    groups
        .map(|group| group.alternatives().filter_map(Result::ok).map(|relation| relation.name.to_owned()).collect())
        .collect()
}
