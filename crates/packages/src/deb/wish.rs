//! What a person asks for: a package, one version or suite of it, or a pattern over packages.
//!
//! Spec: apt-get(8) "install", apt-patterns(7), mmdebstrap(1) `--include`.

use std::fmt;
use std::str::FromStr;

use super::package::Priority;
use super::solve::{NONE, SolveError, Solver, Universe};
use super::version::DebVersion;

/// The longest wish; mmdebstrap's own patterns have some 200 bytes.
const WISH_MAX: usize = 4096;
/// How deep patterns may be nested.
const DEPTH_MAX: usize = 32;

/// One wish: `name`, `name:architecture`, `name=version`, `name/suite`, or a pattern such as `?priority(required)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Package { name: String, architecture: Option<String>, pick: Pick },
    Pattern(Pattern),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pick {
    Candidate,
    Version(String),
    Suite(String),
}

/// A pattern over versions of packages. As in apt, what it matches is installed in the candidate version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    All(Vec<Pattern>),
    Any(Vec<Pattern>),
    Not(Box<Pattern>),
    True,
    False,
    Essential,
    Priority(Priority),
    ExactName(String),
    Name(Match),
    Section(Match),
    Suite(Match),
    Codename(Match),
    Architecture(String),
}

/// A part of a text, or its begin, its end, or all of it: `x`, `^x`, `x$`, `^x$`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Match {
    text: String,
    begin: bool,
    end: bool,
}

impl Match {
    fn of(&self, text: &str) -> bool {
        match (self.begin, self.end) {
            (true, true) => text == self.text,
            (true, false) => text.starts_with(&self.text),
            (false, true) => text.ends_with(&self.text),
            (false, false) => text.contains(&self.text),
        }
    }
}

impl Wish {
    /// The wishes of a list as `--include` takes it: apart by commas or blanks outside of parentheses.
    ///
    /// # Errors
    /// The first one that is none.
    pub fn list(text: &str) -> Result<Vec<Self>, SolveError> {
        let mut depth = 0usize;
        let apart = |c: char| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && (c == ',' || c.is_ascii_whitespace())
        };
        text.split(apart).filter(|wish| !wish.is_empty()).map(str::parse).collect()
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether it is a pattern.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        matches!(self.kind, Kind::Pattern(_))
    }

    /// The name, where it is not a pattern.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Package { name, .. } => Some(name),
            Kind::Pattern(_) => None,
        }
    }

    pub(crate) fn pattern(text: &str) -> Result<Self, SolveError> {
        text.parse()
    }

    /// The candidates of what a variant's pattern matches: native packages, by the fields that `suite` gives them.
    ///
    /// What is excluded is left out.
    pub(crate) fn of_variant(
        &self,
        universe: &Universe<'_>,
        solver: &Solver<'_, '_>,
        suite: &str,
    ) -> Result<Vec<u32>, SolveError> {
        let Kind::Pattern(pattern) = &self.kind else { return Ok(Vec::new()) };
        let in_suite = |entry: u32| {
            suite.is_empty() || universe.sources()[usize::from(universe.entries[entry as usize].source)].is_suite(suite)
        };
        let native = (0u32..).zip(&universe.slots).filter(|(_, slot)| slot.architecture == 0).map(|(number, _)| number);
        let matching = native
            .filter(|slot| universe.entries_of(*slot).any(|entry| in_suite(entry) && pattern.matches(universe, entry)));
        Ok(matching.map(|slot| solver.candidate(slot)).filter(|entry| *entry != NONE).collect())
    }

    /// The versions that fulfil it, one of each package; their candidates are set as apt would set them.
    ///
    /// # Errors
    /// There is no such package, version, suite or architecture.
    pub(crate) fn entries(&self, solver: &mut Solver<'_, '_>) -> Result<Vec<u32>, SolveError> {
        let universe = solver.universe;
        match &self.kind {
            Kind::Pattern(pattern) => {
                let matching = (0..universe.slots.len() as u32)
                    .filter(|slot| universe.entries_of(*slot).any(|entry| pattern.matches(universe, entry)));
                // As with apt, a pattern that matches nothing asks for nothing.
                Ok(matching.map(|slot| solver.candidate(slot)).filter(|entry| *entry != NONE).collect())
            }
            Kind::Package { name, architecture, pick } => {
                let slot = slot(solver, name, architecture.as_deref())?;
                let entry = match pick {
                    Pick::Candidate => solver.candidate(slot),
                    Pick::Version(version) => version_of(universe, slot, name, version)?,
                    Pick::Suite(suite) => {
                        let entry = in_suite(universe, slot, name, suite)?;
                        follow_suite(solver, entry, suite);
                        entry
                    }
                };
                if solver.is_excluded(slot) {
                    return Err(SolveError::Forbidden { name: name.clone(), reason: "it is excluded, too" });
                }
                if entry == NONE {
                    let reason = "no source that has it has a priority by which it may be taken";
                    return Err(SolveError::Forbidden { name: name.clone(), reason });
                }
                solver.prefer(entry);
                Ok(vec![entry])
            }
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Wish {
    type Err = SolveError;

    fn from_str(text: &str) -> Result<Self, SolveError> {
        let error =
            |reason: &str| SolveError::Wish { wish: text.chars().take(200).collect(), reason: reason.to_owned() };
        if text.len() > WISH_MAX {
            return Err(error("it is too long"));
        }
        if text.starts_with(['?', '~', '!', '(']) {
            let mut reader = Reader { text, at: 0 };
            let pattern = reader.any(0).map_err(|reason| error(&reason))?;
            if reader.at < text.len() {
                return Err(error(&format!("column {}: something stands after the end of the pattern", reader.at + 1)));
            }
            return Ok(Self { text: text.to_owned(), kind: Kind::Pattern(pattern) });
        }
        let (rest, pick) = match text.find(['=', '/']) {
            None => (text, Pick::Candidate),
            Some(at) => {
                let value = text[at + 1..].to_owned();
                if value.is_empty() {
                    return Err(error("nothing follows the sign at its end"));
                }
                (&text[..at], if text[at..].starts_with('=') { Pick::Version(value) } else { Pick::Suite(value) })
            }
        };
        let (name, architecture) = match rest.split_once(':') {
            None => (rest, None),
            Some((name, architecture)) => (name, Some(architecture.to_owned())),
        };
        if !super::package::is_name(name) {
            return Err(error("it is neither the name of a package nor a pattern"));
        }
        Ok(Self { text: text.to_owned(), kind: Kind::Package { name: name.to_owned(), architecture, pick } })
    }
}

fn slot(solver: &Solver<'_, '_>, name: &str, architecture: Option<&str>) -> Result<u32, SolveError> {
    let universe = solver.universe;
    let slots: Vec<u32> = universe.slots_of(name).collect();
    if slots.is_empty() {
        return provided(solver, name);
    }
    match architecture {
        None => {
            let usable = slots.iter().copied().find(|slot| solver.candidate(*slot) != NONE);
            Ok(usable.unwrap_or(slots[0]))
        }
        Some(wanted) => {
            let number = universe.architecture_number(wanted);
            let found = slots.iter().copied().find(|slot| Some(universe.slots[*slot as usize].architecture) == number);
            found.ok_or_else(|| SolveError::UnknownArchitecture {
                name: name.to_owned(),
                architecture: wanted.to_owned(),
                available: slots.iter().map(|slot| universe.slot_architecture(*slot).to_owned()).collect(),
            })
        }
    }
}

/// As apt: a name that one package provides stands for that package.
fn provided(solver: &Solver<'_, '_>, name: &str) -> Result<u32, SolveError> {
    let universe = solver.universe;
    let unknown = || SolveError::UnknownPackage {
        name: name.to_owned(),
        near: universe.near(name).into_iter().map(str::to_owned).collect(),
    };
    let relation = super::relation::Relation::parse(name).map_err(|_| unknown())?;
    let mut slots: Vec<u32> = universe
        .satisfying(&relation, 0)
        .into_iter()
        .map(|entry| (entry, universe.entries[entry as usize].slot))
        .filter(|(entry, slot)| solver.candidate(*slot) == *entry)
        .map(|(_, slot)| slot)
        .collect();
    slots.sort_by_key(|slot| (universe.slot_name(*slot), universe.slots[*slot as usize].architecture));
    slots.dedup();
    match slots.as_slice() {
        [] => Err(unknown()),
        [slot] => Ok(*slot),
        several => {
            let providers = several.iter().map(|slot| universe.display_name(*slot)).collect();
            Err(SolveError::VirtualPackage { name: name.to_owned(), providers })
        }
    }
}

fn version_of(universe: &Universe<'_>, slot: u32, name: &str, version: &str) -> Result<u32, SolveError> {
    let text = |entry: &u32| universe.entries[*entry as usize].package.version;
    let exact = universe.entries_of(slot).find(|entry| text(entry).as_str() == version);
    let wanted = DebVersion::parse_lax(version).ok();
    let equal = || universe.entries_of(slot).find(|entry| wanted == Some(text(entry)));
    exact.or_else(equal).ok_or_else(|| SolveError::UnknownVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        available: universe.entries_of(slot).map(|entry| text(&entry).as_str().to_owned()).collect(),
    })
}

fn in_suite(universe: &Universe<'_>, slot: u32, name: &str, suite: &str) -> Result<u32, SolveError> {
    let source = |entry: u32| &universe.sources()[usize::from(universe.entries[entry as usize].source)];
    universe.entries_of(slot).find(|entry| source(*entry).is_suite(suite)).ok_or_else(|| {
        let mut available: Vec<String> =
            universe.entries_of(slot).map(|entry| source(entry).suite.to_owned()).collect();
        available.dedup();
        SolveError::NotInSuite { name: name.to_owned(), suite: suite.to_owned(), available }
    })
}

/// What a version of a suite needs and no candidate can give comes from that suite, too.
fn follow_suite(solver: &mut Solver<'_, '_>, entry: u32, suite: &str) {
    let universe = solver.universe;
    let mut open = vec![entry];
    let mut seen = std::collections::HashSet::from([entry]);
    while let Some(entry) = open.pop() {
        solver.prefer(entry);
        let needs = solver.book().of(entry);
        for group in needs.groups.iter().filter(|group| group.need != super::solve::Need::Recommends) {
            let slot = |entry: u32| universe.entries[entry as usize].slot;
            if group.all().any(|other| solver.candidate(slot(other)) == other) {
                continue;
            }
            let of_suite = group.all().find(|other| {
                let it = &universe.entries[*other as usize];
                universe.sources()[usize::from(it.source)].is_suite(suite) && !solver.is_excluded(it.slot)
            });
            open.extend(of_suite.filter(|other| seen.insert(*other)));
        }
    }
}

impl Pattern {
    fn matches(&self, universe: &Universe<'_>, entry: u32) -> bool {
        let it = &universe.entries[entry as usize];
        let source = &universe.sources()[usize::from(it.source)];
        match self {
            Self::All(all) => all.iter().all(|pattern| pattern.matches(universe, entry)),
            Self::Any(any) => any.iter().any(|pattern| pattern.matches(universe, entry)),
            Self::Not(pattern) => !pattern.matches(universe, entry),
            Self::True => true,
            Self::False => false,
            Self::Essential => universe.slots[it.slot as usize].essential,
            Self::Priority(priority) => it.priority == *priority,
            Self::ExactName(name) => it.package.name == name,
            Self::Name(part) => part.of(it.package.name),
            Self::Section(part) => part.of(it.package.section),
            Self::Suite(part) => part.of(source.suite),
            Self::Codename(part) => part.of(source.codename),
            Self::Architecture(wanted) => match wanted.as_str() {
                "foreign" => universe.slots[it.slot as usize].architecture != 0,
                wanted => universe.architecture_number(wanted) == Some(universe.slots[it.slot as usize].architecture),
            },
        }
    }
}

/// Reads a pattern; errors are said with columns from one.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_ascii_start().len();
    }

    fn eat(&mut self, sign: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn word(&mut self, end: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let word = &rest[..rest.find(end).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    /// `a | b`
    fn any(&mut self, depth: usize) -> Result<Pattern, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let mut any = vec![self.all(depth)?];
        while self.eat('|') {
            any.push(self.all(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Pattern::Any(any) })
    }

    /// `a b`
    fn all(&mut self, depth: usize) -> Result<Pattern, String> {
        let mut all = vec![self.one(depth)?];
        loop {
            self.blanks();
            if !self.rest().starts_with(['?', '~', '!', '(']) {
                break;
            }
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Pattern::All(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Pattern, String> {
        let mut not = false;
        while self.eat('!') {
            not = !not;
        }
        let pattern = self.plain(depth)?;
        Ok(if not { Pattern::Not(Box::new(pattern)) } else { pattern })
    }

    fn plain(&mut self, depth: usize) -> Result<Pattern, String> {
        if self.eat('(') {
            let pattern = self.any(depth + 1)?;
            return if self.eat(')') { Ok(pattern) } else { Err(self.expected("a closing parenthesis")) };
        }
        if self.eat('~') {
            let Some(letter) = self.rest().chars().next() else { return Err(self.expected("a letter")) };
            self.at += letter.len_utf8();
            let name = match letter {
                'E' => return Ok(Pattern::Essential),
                'A' => "archive",
                'n' => "name",
                'p' => "priority",
                'r' => "architecture",
                's' => "section",
                other => return Err(format!("~{other} is not known here; known are: ~A ~E ~n ~p ~r ~s")),
            };
            let value = self.word(|c: char| c.is_ascii_whitespace() || ",()|!~?".contains(c));
            return term(name, value);
        }
        if !self.eat('?') {
            return Err(self.expected("a pattern"));
        }
        let name = self.word(|c: char| !c.is_ascii_lowercase() && c != '-');
        if !self.rest().starts_with('(') {
            return match name {
                "essential" => Ok(Pattern::Essential),
                "true" => Ok(Pattern::True),
                "false" => Ok(Pattern::False),
                other => Err(format!("?{other} is not known here, or needs a value in parentheses")),
            };
        }
        self.at += 1;
        let pattern = match name {
            "and" | "or" | "narrow" | "not" => {
                let mut list = vec![self.any(depth + 1)?];
                while self.eat(',') {
                    list.push(self.any(depth + 1)?);
                }
                match (name, list.len()) {
                    ("or", _) => Pattern::Any(list),
                    ("not", 1) => Pattern::Not(Box::new(list.remove(0))),
                    ("not", _) => return Err("?not takes one pattern".to_owned()),
                    // Patterns are judged for one version at a time, which is what ?narrow asks for.
                    _ => Pattern::All(list),
                }
            }
            name => term(name, self.word(|c: char| c == ')' || c == '(').trim_ascii())?,
        };
        if self.eat(')') { Ok(pattern) } else { Err(self.expected("a closing parenthesis")) }
    }

    fn expected(&self, what: &str) -> String {
        format!("column {}: expected {what}", self.at + 1)
    }
}

fn term(name: &str, value: &str) -> Result<Pattern, String> {
    Ok(match name {
        "priority" => match Priority::parse(value) {
            Priority::Unknown => return Err(format!("no priority {value:?}")),
            priority => Pattern::Priority(priority),
        },
        "exact-name" => Pattern::ExactName(value.to_owned()),
        "architecture" => Pattern::Architecture(value.to_owned()),
        "name" => Pattern::Name(part(value)?),
        "section" => Pattern::Section(part(value)?),
        "archive" => Pattern::Suite(part(value)?),
        "codename" => Pattern::Codename(part(value)?),
        other => return Err(format!("?{other} is not known here")),
    })
}

/// Apt takes regular expressions; of those only the anchors are understood here.
fn part(value: &str) -> Result<Match, String> {
    let text = value.strip_prefix('^').unwrap_or(value);
    let text = text.strip_suffix('$').unwrap_or(text);
    match text.chars().find(|c| r"^$\[]{}*?".contains(*c)) {
        Some(sign) => Err(format!("{value:?} has {sign:?}; of regular expressions only ^ and $ are known here")),
        None => Ok(Match { text: text.to_owned(), begin: value.starts_with('^'), end: value.ends_with('$') }),
    }
}
