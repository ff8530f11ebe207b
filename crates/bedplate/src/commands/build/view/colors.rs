//! The colors of the live view: `BUILDKIT_COLORS`, and none where `NO_COLOR` is set.

/// The beginnings of colored text; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Colors {
    pub(super) run: String,
    pub(super) cancel: String,
    pub(super) error: String,
    pub(super) warning: String,
}

impl Colors {
    pub(super) fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        match variable("NO_COLOR") {
            Some(_) => Self::default(),
            None => Self::of(variable("BUILDKIT_COLORS").as_deref().unwrap_or_default()),
        }
    }

    /// Reads `run=green:warning=yellow:error=red:cancel=255,165,0`. What is malformed is passed over: it is only about
    /// looks.
    fn of(text: &str) -> Self {
        let plain = |code: &str| format!("\u{1b}[{code}m");
        let mut colors = Self { run: plain("34"), cancel: plain("33"), error: plain("31"), warning: plain("33") };
        for (name, color) in text.split(':').filter_map(|field| field.split_once('=')) {
            let slot = match name {
                "run" => &mut colors.run,
                "cancel" => &mut colors.cancel,
                "error" => &mut colors.error,
                "warning" => &mut colors.warning,
                _ => continue,
            };
            if let Some(code) = code(color) {
                *slot = plain(&code);
            }
        }
        colors
    }

    /// Text in a color.
    pub(super) fn paint(color: &str, text: &str) -> String {
        if color.is_empty() { text.to_owned() } else { format!("{color}{text}\u{1b}[0m") }
    }
}

/// What selects a color: one of the sixteen by name, or three numbers from 0 to 255.
fn code(color: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
    let (base, name) = match color.strip_prefix("light-") {
        Some(name) => (90, name),
        None => (30, color),
    };
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Some((base + index).to_string());
    }
    let parts: Vec<u8> = color.split(',').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [red, green, blue] => Some(format!("38;2;{red};{green};{blue}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_read_as_buildkit_has_them() {
        let colors = Colors::of("run=green:error=light-red:cancel=255,165,0:warning=pink:more=red");
        assert_eq!(colors.run, "\u{1b}[32m");
        assert_eq!(colors.error, "\u{1b}[91m");
        assert_eq!(colors.cancel, "\u{1b}[38;2;255;165;0m");
        assert_eq!(colors.warning, "\u{1b}[33m", "the default");
        assert_eq!(Colors::paint("", "x"), "x");
    }
}
