//! Why a wish cannot be fulfilled, candidate by candidate, in the archive's own words.

use std::collections::BTreeSet;
use std::fmt;

use super::Solver;
use super::relations::{Against, Book, Group, Need};
use super::search::Origin;
use super::universe::{NONE, Universe};

/// The most lines of an explanation: a person reads no more.
const LINES_MAX: usize = 60;
/// How many versions or providers of one name are told.
const TOLD_MAX: usize = 5;

/// One statement; what explains it follows with greater depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplanationLine {
    /// 0 for what was asked for.
    pub depth: usize,
    /// The statement, lower case, without a final period.
    pub text: String,
}

/// Why no set of packages fulfils a wish: a tree of statements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// The statements, each before those that explain it.
    pub lines: Vec<ExplanationLine>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{:indent$}{}", "", line.text, indent = 2 + 2 * line.depth)?;
        }
        Ok(())
    }
}

pub(super) fn explain<'u, 'a>(
    solver: &Solver<'u, 'a>,
    book: &mut Book<'u, 'a>,
    wanted: &[u32],
    origins: &[Origin],
) -> Explanation {
    let mut explainer = Explainer { solver, book, origins, told: BTreeSet::new(), lines: Vec::new() };
    for origin in origins {
        if let Origin::Asked(entry) = origin {
            let reason = if wanted.contains(entry) { "is wanted" } else { "belongs to the essential set" };
            explainer.say(0, format!("{} {reason}", explainer.named(*entry)));
            explainer.entry(*entry, 1);
        }
    }
    Explanation { lines: explainer.lines }
}

struct Explainer<'s, 'b, 'u, 'a> {
    solver: &'s Solver<'u, 'a>,
    book: &'b mut Book<'u, 'a>,
    origins: &'s [Origin],
    told: BTreeSet<u32>,
    lines: Vec<ExplanationLine>,
}

impl<'a> Explainer<'_, '_, '_, 'a> {
    fn universe(&self) -> &Universe<'a> {
        self.solver.universe
    }

    fn say(&mut self, depth: usize, text: String) {
        match self.lines.len() {
            LINES_MAX.. => {}
            last if last + 1 == LINES_MAX => {
                self.lines.push(ExplanationLine { depth: 0, text: "and so on".to_owned() })
            }
            _ => self.lines.push(ExplanationLine { depth, text }),
        }
    }

    /// `curl 7.88.1-10 (bookworm/main)`.
    fn named(&self, entry: u32) -> String {
        let universe = self.universe();
        let it = &universe.entries[entry as usize];
        let source = &universe.sources()[usize::from(it.source)];
        let place = if source.codename.is_empty() { source.suite } else { source.codename };
        let place = [place, source.component].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let name = universe.display_name(it.slot);
        match place.as_str() {
            "" => format!("{name} {}", it.package.version.as_str()),
            place => format!("{name} {} ({place})", it.package.version.as_str()),
        }
    }

    /// `curl 7.88.1-10`.
    fn short(&self, entry: u32) -> String {
        let it = &self.universe().entries[entry as usize];
        format!("{} {}", self.universe().display_name(it.slot), it.package.version.as_str())
    }

    /// What keeps a version out, as far as the contradiction rests on it.
    fn entry(&mut self, entry: u32, depth: usize) {
        // Bounded by the number of lines: a deeper statement would not be printed.
        if self.lines.len() >= LINES_MAX || !self.told.insert(entry) {
            return;
        }
        let needs = self.book.of(entry);
        for origin in self.origins {
            match *origin {
                Origin::Malformed(own) if own == entry => {
                    if let Some((field, error)) = &needs.malformed {
                        self.say(depth, format!("its {field} cannot be read: {error}"));
                    }
                }
                Origin::Group(own, number) if own == entry => {
                    if let Some(group) = needs.groups.get(number as usize) {
                        self.group(entry, group, depth);
                    }
                }
                Origin::Conflict(own, number, other) if own == entry => {
                    if let Some(conflict) = needs.conflicts.get(number as usize) {
                        let text = match conflict.against {
                            Against::Conflicts => {
                                format!("it conflicts with {:?}: {}", conflict.text, self.named(other))
                            }
                            Against::Breaks => format!("it breaks {:?}: {}", conflict.text, self.named(other)),
                            Against::Sibling => format!("it cannot be beside {}", self.named(other)),
                        };
                        self.say(depth, text);
                    }
                }
                Origin::Conflict(other, number, own) if own == entry => {
                    let against = self.book.of(other);
                    if let Some(conflict) = against.conflicts.get(number as usize) {
                        let text = match conflict.against {
                            Against::Conflicts => format!("{} conflicts with {:?}", self.named(other), conflict.text),
                            Against::Breaks => format!("{} breaks {:?}", self.named(other), conflict.text),
                            Against::Sibling => format!("{} cannot be beside it", self.named(other)),
                        };
                        self.say(depth, text);
                    }
                }
                _ => {}
            }
        }
    }

    fn group(&mut self, entry: u32, group: &Group<'a>, depth: usize) {
        let verb = match group.need {
            Need::PreDepends => "pre-depends on",
            Need::Depends => "depends on",
            Need::Recommends => "recommends",
        };
        let text = format!("{} {verb} {:?}", self.short(entry), group.text);
        self.say(depth, text);
        let candidate = |entry: &u32| self.solver.candidate(self.universe().entries[*entry as usize].slot) == *entry;
        let candidates: Vec<u32> = group.all().filter(candidate).collect();
        let mut said: BTreeSet<u32> = BTreeSet::new();
        for alternative in &group.alternatives {
            let relation = alternative.relation;
            if alternative.entries.is_empty() {
                self.unsatisfied(relation.name, depth + 1);
            }
            // A version beside a candidate that would do explains nothing.
            let told = |entry: &u32| {
                let slot = self.universe().entries[*entry as usize].slot;
                let best = self.solver.candidate(slot);
                (best == *entry || !candidates.contains(&best)) && said.insert(*entry)
            };
            let entries: Vec<u32> = alternative.entries.iter().copied().filter(told).collect();
            for other in entries.iter().take(TOLD_MAX) {
                let slot = self.universe().entries[*other as usize].slot;
                let candidate = self.solver.candidate(slot);
                if self.solver.is_excluded(slot) {
                    self.say(depth + 1, format!("{} is excluded", self.named(*other)));
                } else if candidate == NONE {
                    self.say(depth + 1, format!("{} may not be taken: its source has no priority", self.named(*other)));
                } else if candidate != *other {
                    let text = format!("{} is not the candidate, {} is", self.named(*other), self.short(candidate));
                    self.say(depth + 1, text);
                } else {
                    let again = self.told.contains(other);
                    let text = match again {
                        true => format!("{} is rejected as said above", self.short(*other)),
                        false => format!("{} would do, but", self.named(*other)),
                    };
                    let before = self.lines.len();
                    self.say(depth + 1, text);
                    self.entry(*other, depth + 2);
                    if !again && self.lines.len() == before + 1 {
                        // Nothing of its own is against it: what is wrong is told elsewhere in the tree.
                        let text = format!("{} would do", self.named(*other));
                        if let Some(line) = self.lines.last_mut().filter(|line| line.depth == depth + 1) {
                            line.text = text;
                        }
                    }
                }
            }
            if entries.len() > TOLD_MAX {
                self.say(depth + 1, format!("and {} more, likewise", entries.len() - TOLD_MAX));
            }
        }
    }

    fn unsatisfied(&mut self, name: &str, depth: usize) {
        let versions: Vec<u32> = self.universe().versions(name).map(|id| id.0).take(TOLD_MAX).collect();
        for entry in &versions {
            self.say(depth, format!("{} is another version", self.named(*entry)));
        }
        if versions.is_empty() {
            let near = self.universe().near(name);
            let text = match (self.universe().knows(name), near.as_slice()) {
                (true, _) => format!("no package is named {name:?}, and none provides it in this version"),
                (false, []) => format!("no package is named {name:?}"),
                (false, near) => format!("no package is named {name:?}; near: {}", near.join(", ")),
            };
            self.say(depth, text);
        }
    }
}
