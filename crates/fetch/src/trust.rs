//! Whose certificates are believed.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ureq::tls::{ClientCert, PemItem, PrivateKey, RootCerts, parse_pem};

use crate::error::FetchError;
use crate::fetcher::ClientFiles;

/// Where distributions keep their bundle; the first that has certificates is taken.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL without the link above
    "/etc/ssl/cert.pem",                  // Alpine without ca-certificates
    "/etc/pki/tls/cacert.pem",            // OpenELEC
];

/// Longest bundle that is read, in bytes; Mozilla's list has 250 KB.
const MAX_BUNDLE: u64 = 16 * 1024 * 1024;

/// The roots of `bundle`, else of this machine, else Mozilla's list as compiled in.
///
/// # Errors
/// [`FetchError::CaBundle`] for a given bundle that cannot be read or holds no certificate.
pub(crate) fn roots(bundle: Option<&Path>) -> Result<RootCerts, FetchError> {
    if let Some(path) = bundle {
        let unusable = |reason: String| FetchError::CaBundle { path: path.to_owned(), reason };
        return match certificates(path) {
            Ok(Some(roots)) => Ok(roots),
            Ok(None) => Err(unusable("it holds no certificate in PEM form".to_owned())),
            Err(error) => Err(unusable(error.to_string())),
        };
    }
    let found = BUNDLES.iter().map(PathBuf::from).find_map(|path| certificates(&path).ok().flatten());
    Ok(found.unwrap_or(RootCerts::WebPki))
}

/// The certificate that servers are shown, with its key.
///
/// # Errors
/// [`FetchError::ClientCertificate`].
pub(crate) fn client(files: &ClientFiles) -> Result<ClientCert, FetchError> {
    let unusable = |path: &Path, reason: String| FetchError::ClientCertificate { path: path.to_owned(), reason };
    let read = |path: &Path| read(path).map_err(|error| unusable(path, error.to_string()));
    let key_file = files.key.as_deref().unwrap_or(&files.certificate);
    let (pem, key) = (read(&files.certificate)?, read(key_file)?);
    let key = PrivateKey::from_pem(&key).map_err(|error| unusable(key_file, error.to_string()))?;
    let chain: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            // The key may stand beside it.
            _ => None,
        })
        .collect();
    if chain.is_empty() {
        return Err(unusable(&files.certificate, "it holds no certificate in PEM form".to_owned()));
    }
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)?.take(MAX_BUNDLE).read_to_end(&mut pem)?;
    Ok(pem)
}

fn certificates(path: &Path) -> io::Result<Option<RootCerts>> {
    let pem = read(path)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            // Bundles carry comments and other items between the certificates.
            _ => None,
        })
        .collect();
    Ok((!certificates.is_empty()).then(|| RootCerts::from(certificates)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_bundle_must_hold_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        let failure = |path: &Path| roots(Some(path)).map(|_| ()).unwrap_err().to_string();
        assert!(failure(&path).contains("No such file"), "{}", failure(&path));
        std::fs::write(&path, "no certificate\n").unwrap();
        assert!(failure(&path).contains("holds no certificate"), "{}", failure(&path));
    }

    #[test]
    fn there_are_roots_on_every_machine() {
        match roots(None).unwrap() {
            RootCerts::Specific(certificates) => assert!(!certificates.is_empty()),
            RootCerts::WebPki => {}
            other => panic!("no roots of our own: {other:?}"),
        }
    }
}
