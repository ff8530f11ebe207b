//! What happens during a bootstrap, for whoever shows it.

use crate::acquire;
use crate::finish::Note;
use crate::install::Step;

/// Something happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Archives were asked.
    Acquire(acquire::Event<'a>),
    /// So many packages were chosen, of so many bytes in their archives.
    Chosen {
        /// How many.
        packages: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The payload of a package is at hand; of so many bytes in the archive.
    Decoded {
        /// The package.
        name: &'a str,
        /// Its bytes.
        bytes: u64,
    },
    /// Packages are being installed.
    Install(Step<'a>),
    /// The root is being made an image's.
    Finished(&'a Note),
    /// People should be told.
    Remark(&'a str),
}

/// Is told what happens; may be called from several threads at once.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

impl<T: Observer + ?Sized> Observer for &T {
    fn event(&self, event: Event<'_>) {
        (**self).event(event);
    }
}

/// Hands on what acquiring tells.
pub(crate) struct Acquiring<'a>(pub(crate) &'a dyn Observer);

impl acquire::Observer for Acquiring<'_> {
    fn event(&self, event: acquire::Event<'_>) {
        self.0.event(Event::Acquire(event));
    }
}
