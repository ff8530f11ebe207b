//! Which packages are unpacked together: the solver's plan, made of the packages' own control files.
//!
//! So a lock, which knows no index, leads to the same waves as the archive did.

use bedplate_packages::deb::package::{Package, PackageError};
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::solve::order::{Wave, plan_packages};

/// Waves of packages by their numbers, each in the order of the packages; every one unpacks something.
///
/// `required` are the names that debootstrap unpacks before any script runs; empty where its rules were not asked, and
/// the essential packages come first.
///
/// # Errors
/// A package whose control file speaks of impossible things.
pub(crate) fn waves(native: &str, payloads: &[Payload], required: &[String]) -> Result<Vec<Wave>, PackageError> {
    let paragraphs: Vec<_> = payloads.iter().map(|payload| payload.control().paragraph()).collect();
    let packages = paragraphs.iter().map(Package::parse).collect::<Result<Vec<_>, _>>()?;
    let named =
        |(number, package): (usize, &Package<'_>)| required.iter().any(|name| name == package.name).then_some(number);
    let first: Option<Vec<usize>> =
        (!required.is_empty()).then(|| packages.iter().enumerate().filter_map(named).collect());
    let has_postinst = |number: usize| payloads.get(number).is_some_and(|p| p.control_file("postinst").is_some());
    let plan = plan_packages(native, &packages, first.as_deref(), has_postinst);
    let mut waves: Vec<Wave> = Vec::new();
    for wave in plan.waves {
        match waves.last_mut() {
            // It only ends what waited.
            Some(last) if wave.unpack.is_empty() => last.configure.extend(wave.configure),
            _ => waves.push(wave),
        }
    }
    Ok(waves)
}
