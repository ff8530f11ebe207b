//! The account that `dpkg --configure` keeps: how far each package is, and which triggers wait.
//!
//! ```text
//! unpacked ─begin─▶ half-configured ─end─▶ installed            nobody is waited for
//!                                      └─▶ triggers-awaited     until who was triggered has run
//! installed ─a trigger─▶ triggers-pending ─triggered─▶ half-configured ─end─▶ installed
//! ```
//!
//! Nothing runs here: the caller runs a `postinst` between [`Configuring::begin`] and [`Configuring::end`], and hands in
//! what `dpkg-trigger` wrote down meanwhile. Spec: deb-triggers(5), dpkg's triggers.txt, dpkg(1).

use std::collections::{HashMap, VecDeque};

use super::DatabaseError;
use super::status::{self, PackageState};
use super::triggers::{self, Directive, TriggerName};
use crate::deb::payload::Payload;

/// How often one package may be triggered: more often, two of them trigger each other for ever.
pub const MAX_TRIGGERED: u32 = 100;

/// A package and its place in the account.
#[derive(Debug)]
struct Member {
    /// The stem of its files in the database.
    name: String,
    /// Its stanza before `Status`, what somebody wants of it, and the stanza after.
    text: [Vec<u8>; 3],
    state: PackageState,
    /// Triggers it has to handle, the newest first.
    pending: Vec<Box<[u8]>>,
    /// Packages that it waits for.
    awaited: Vec<usize>,
    directives: Vec<Directive>,
    triggered: u32,
}

/// The account of one root.
#[derive(Debug)]
pub struct Configuring {
    members: Vec<Member>,
    by_name: HashMap<String, usize>,
    /// Who is interested in a trigger, and whether who activates it waits.
    interests: HashMap<Box<[u8]>, Vec<(usize, bool)>>,
    queue: VecDeque<usize>,
}

/// Two packages trigger each other for ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("package \"{package}\" was triggered more than {MAX_TRIGGERED} times, the last time by {triggers}")]
pub struct TriggerLoop {
    /// One of them.
    pub package: String,
    /// What it was told last.
    pub triggers: String,
}

/// A package whose `postinst triggered` is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    /// The stem of its files in the database.
    pub package: String,
    /// The triggers, with blanks between them: the second argument of its `postinst`.
    pub triggers: String,
}

impl Configuring {
    /// The account of a root with this `status`, in which these packages were unpacked, in this order.
    ///
    /// # Errors
    /// [`DatabaseError`]: of `status`, or of a package's `triggers`.
    pub fn new<'p>(status: &[u8], payloads: impl IntoIterator<Item = &'p Payload>) -> Result<Self, DatabaseError> {
        let stanzas = status::parse(status).map_err(|source| DatabaseError::Status { source })?;
        let mut places = HashMap::new();
        let mut members = Vec::with_capacity(stanzas.len());
        for stanza in stanzas {
            places.insert((stanza.name, stanza.architecture), members.len());
            let raw = stanza.paragraph.raw();
            members.push(Member {
                name: stanza.name.to_owned(),
                text: parts(raw),
                state: stanza.state,
                pending: Vec::new(),
                awaited: Vec::new(),
                directives: Vec::new(),
                triggered: 0,
            });
        }
        let (mut by_name, mut interests) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for payload in payloads {
            let control = payload.control();
            let Some(place) = places.get(&(control.name(), control.architecture())) else { continue };
            by_name.insert(control.info_name(), *place);
            let text = payload.control_file("triggers").unwrap_or_default();
            let directives = triggers::parse_directives(text)
                .map_err(|source| DatabaseError::Triggers { package: control.info_name(), source })?;
            for directive in directives.iter().filter(|directive| directive.interest) {
                let who = interests.entry(key(&directive.name)).or_default();
                who.retain(|(there, _)| there != place);
                who.push((*place, directive.awaits));
            }
            members[*place].name = control.info_name();
            members[*place].directives = directives;
        }
        Ok(Self { members, by_name, interests, queue: VecDeque::new() })
    }

    /// The bytes of `status` as it is now.
    #[must_use]
    pub fn status(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for member in &self.members {
            let [before, want, after] = &member.text;
            for part in [before, b"Status: ".as_slice(), want, b" ", member.state.as_str().as_bytes(), b"\n", after] {
                out.extend_from_slice(part);
            }
            if !member.pending.is_empty() {
                out.extend_from_slice(&[b"Triggers-Pending: ", &*member.pending.join(&b' '), b"\n"].concat());
            }
            if !member.awaited.is_empty() {
                let names: Vec<&str> = member.awaited.iter().map(|place| self.members[*place].name.as_str()).collect();
                out.extend_from_slice(format!("Triggers-Awaited: {}\n", names.join(" ")).as_bytes());
            }
            // An empty line ends every stanza, the last one, too.
            out.push(b'\n');
        }
        out
    }

    /// The `postinst configure` of a package is about to run, or would be if it had one. `package` is the stem of its
    /// files in the database.
    pub fn begin(&mut self, package: &str) {
        let Some(place) = self.by_name.get(package).copied() else { return };
        let activated: Vec<(Box<[u8]>, bool)> = (self.members[place].directives.iter())
            .filter(|directive| !directive.interest)
            .map(|directive| (key(&directive.name), directive.awaits))
            .collect();
        for (trigger, awaits) in activated {
            self.activate(&trigger, awaits.then_some(place));
        }
        self.set(place, PackageState::HalfConfigured);
    }

    /// It has run; what `dpkg-trigger` wrote into `triggers/Unincorp` meanwhile comes afterwards: a package may trigger
    /// itself.
    pub fn end(&mut self, package: &str, unincorporated: &[u8]) {
        if let Some(place) = self.by_name.get(package).copied() {
            let waits = !self.members[place].awaited.is_empty();
            self.set(place, if waits { PackageState::TriggersAwaited } else { PackageState::Installed });
        }
        self.incorporate(unincorporated);
    }

    /// Takes over lines of `triggers/Unincorp`: a trigger, and who waits for it, `-` for nobody.
    pub fn incorporate(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let Some(trigger) = words.next() else { continue };
            for who in words {
                let who = std::str::from_utf8(who).ok().and_then(|name| self.by_name.get(name).copied());
                self.activate(trigger, who);
            }
        }
    }

    /// The next package that has triggers to handle, if there is one; it is half configured from now on, to be ended as
    /// any other.
    ///
    /// # Errors
    /// [`TriggerLoop`].
    pub fn triggered(&mut self) -> Result<Option<Triggered>, TriggerLoop> {
        while let Some(place) = self.queue.pop_front() {
            let member = &mut self.members[place];
            if member.pending.is_empty() {
                continue;
            }
            let triggers = String::from_utf8_lossy(&member.pending.join(&b' ')).into_owned();
            member.triggered += 1;
            let package = member.name.clone();
            if member.triggered > MAX_TRIGGERED {
                return Err(TriggerLoop { package, triggers });
            }
            self.set(place, PackageState::HalfConfigured);
            return Ok(Some(Triggered { package, triggers }));
        }
        Ok(None)
    }

    fn activate(&mut self, trigger: &[u8], awaiting: Option<usize>) {
        let Some(interested) = self.interests.get(trigger) else { return };
        for (place, awaits) in interested {
            let member = &mut self.members[*place];
            // What is not configured yet sees all when it is.
            if member.state < PackageState::TriggersAwaited {
                continue;
            }
            if !member.pending.iter().any(|there| **there == *trigger) {
                member.pending.insert(0, trigger.into());
                member.state = match member.awaited.is_empty() {
                    true => PackageState::TriggersPending,
                    false => PackageState::TriggersAwaited,
                };
            }
            if !self.queue.contains(place) {
                self.queue.push_back(*place);
            }
            let Some(waiting) = awaiting.filter(|_| *awaits) else { continue };
            let waiting = &mut self.members[waiting];
            if !waiting.awaited.contains(place) {
                waiting.awaited.push(*place);
                waiting.state = waiting.state.min(PackageState::TriggersAwaited);
            }
        }
    }

    fn set(&mut self, place: usize, state: PackageState) {
        let member = &mut self.members[place];
        member.state = state;
        if !matches!(state, PackageState::TriggersPending | PackageState::TriggersAwaited) {
            member.pending.clear();
        }
        if !member.pending.is_empty() {
            return;
        }
        for waiting in &mut self.members {
            let before = waiting.awaited.len();
            waiting.awaited.retain(|there| *there != place);
            if waiting.awaited.is_empty() && before > 0 && waiting.state == PackageState::TriggersAwaited {
                waiting.state = match waiting.pending.is_empty() {
                    true => PackageState::Installed,
                    false => PackageState::TriggersPending,
                };
            }
        }
    }
}

fn key(name: &TriggerName) -> Box<[u8]> {
    match name {
        TriggerName::File(path) => [b"/", path.as_bytes()].concat().into(),
        TriggerName::Explicit(name) => name.as_bytes().into(),
    }
}

/// A stanza without its state: what comes before `Status`, the first two words of `Status`, what comes after.
fn parts(raw: &[u8]) -> [Vec<u8>; 3] {
    let mut parts = [Vec::new(), b"install ok".to_vec(), Vec::new()];
    let mut now = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n") {
        if let Some(text) = line.strip_prefix(b"Status:") {
            let words: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            parts[1] = words.get(..2).unwrap_or_default().join(&b' ');
            now = 2;
        } else if !line.starts_with(b"Triggers-Pending:") && !line.starts_with(b"Triggers-Awaited:") {
            parts[now].extend_from_slice(line);
            if !line.ends_with(b"\n") {
                parts[now].push(b'\n');
            }
        }
    }
    parts
}
