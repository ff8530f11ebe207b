//! `--root-kind`: how a root for processes is made. Hidden: it is chosen by trying, and a test takes each.

use bedplate_run::RootKind;

/// A way to make a root.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Way {
    Auto,
    Overlay,
    Mount,
    Copy,
}

impl From<Way> for RootKind {
    fn from(way: Way) -> Self {
        match way {
            Way::Auto => RootKind::Auto,
            Way::Overlay => RootKind::OverlayNewApi,
            Way::Mount => RootKind::OverlayClassic,
            Way::Copy => RootKind::Copy,
        }
    }
}
