//! In which order selected packages are unpacked and configured.
//!
//! ```text
//! wave 0   the essential packages and all they need: unpacked at once, as every bootstrapper does it,
//!          since none of their scripts can run before all of them are there
//! wave n   every package whose Pre-Depends are configured by then; where debootstrap says what comes at once, what others
//!          pre-depend on comes before the rest, one after another, each with all that it needs, as debootstrap installs it
//! ```
//!
//! Spec: Debian Policy 6.5, 7.2; dpkg(1) "--force-depends".

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::super::package::Package;
use super::super::select::Selection;
use super::relations::{Book, Need};
use super::universe::{NONE, Universe};

/// What is configured before all others, where it exists: names of users, the skeleton of directories, dpkg's own
/// database and the C library. The order is debootstrap's; what their scripts need beside is unpacked by then.
const CORE: &[&str] =
    &["base-passwd", "base-files", "dpkg", "libc6", "libc6.1", "libc0.1", "libc0.3", "perl-base", "mawk", "debconf"];

/// Packages that are unpacked together, and what is configured then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wave {
    /// The packages to unpack: numbers in [`Selection::packages`], ascending.
    pub unpack: Vec<usize>,
    /// The packages to configure afterwards, in this order. May hold packages of earlier waves that had to wait for
    /// this one.
    pub configure: Vec<usize>,
    /// The archive contradicts itself: a Pre-Depends of some of these is not configured and never could be, for
    /// instance since two packages pre-depend on each other.
    pub forced: bool,
}

/// The way from an empty root to a configured one. Every selected package is unpacked once and configured once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The waves in their order; as few as Pre-Depends allow.
    pub waves: Vec<Wave>,
}

impl Plan {
    /// All packages in the order in which they are configured.
    pub fn configure_order(&self) -> impl Iterator<Item = usize> + '_ {
        self.waves.iter().flat_map(|wave| wave.configure.iter().copied())
    }
}

/// Plans the waves of a selection.
///
/// `has_postinst` tells, by number in [`Selection::packages`], whether a package has a `postinst`: as with dpkg, a cycle of
/// dependencies is broken at a package without one, then at the first by name. The plan depends on the
/// packages only.
pub fn plan(universe: &Universe<'_>, selection: &Selection<'_>, has_postinst: impl Fn(usize) -> bool) -> Plan {
    let entries: Vec<u32> = selection.packages.iter().map(|selected| selected.id.0).collect();
    let essential = (0..entries.len()).filter(|number| selection.packages[*number].package.essential);
    waves(universe, &entries, essential.collect(), false, &has_postinst)
}

/// Plans the waves of packages that are known without any index, for instance from a lock and their own control files.
///
/// `packages` are best in the order of a [`Selection`]: where nothing else decides, it is theirs. `first` are the numbers of
/// those that are unpacked at once, with all they need; nothing for the essential ones. Numbers are places in `packages`.
pub fn plan_packages(
    native: &str,
    packages: &[Package<'_>],
    first: Option<&[usize]>,
    has_postinst: impl Fn(usize) -> bool,
) -> Plan {
    let universe = Universe::of_packages(native, packages);
    let entries: Vec<u32> = (0u32..).take(packages.len()).collect();
    let essential = || (0..packages.len()).filter(|number| packages[*number].essential).collect();
    let known = |first: &[usize]| first.iter().copied().filter(|number| *number < packages.len()).collect();
    waves(&universe, &entries, first.map_or_else(essential, known), first.is_some(), &has_postinst)
}

/// The waves; `first` begin, and with `hurry` what others pre-depend on comes before the rest.
fn waves(
    universe: &Universe<'_>,
    entries: &[u32],
    first: Vec<usize>,
    hurry: bool,
    has_postinst: &impl Fn(usize) -> bool,
) -> Plan {
    let graph = Graph::new(universe, entries);
    let count = entries.len();
    let mut state = vec![State::Absent; count];
    let mut plan = Plan::default();
    let mut unpack = graph.closure(first);
    if unpack.is_empty() {
        unpack = graph.unpackable(&state);
    }
    let mut left = count;
    while left > 0 {
        let forced = unpack.is_empty();
        if forced {
            unpack = (0..count).filter(|number| state[*number] == State::Absent).collect();
        }
        if unpack.is_empty() {
            // Nothing is left to unpack; what waits, waits for what is not selected.
            let rest: BTreeSet<usize> = (0..count).filter(|number| state[*number] == State::Unpacked).collect();
            let configure = graph.sort(rest, &mut state, has_postinst);
            plan.waves.push(Wave { unpack, configure, forced });
            break;
        }
        for number in &unpack {
            state[*number] = State::Unpacked;
        }
        let ready = graph.configurable(&state);
        let configure = graph.sort(ready, &mut state, has_postinst);
        left -= configure.len();
        plan.waves.push(Wave { unpack, configure, forced });
        unpack = graph.unpackable(&state);
        if hurry {
            let wanted = graph.waited_for(&state);
            let sooner: Vec<usize> = unpack.iter().copied().filter(|number| wanted.contains(number)).collect();
            if !sooner.is_empty() {
                unpack = sooner;
            }
        }
    }
    plan
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Unpacked,
    Configured,
}

/// Who needs whom among the selected packages. Groups that nothing selected satisfies are not in it: debootstrap's
/// rules leave such ones, and they cannot be waited for.
struct Graph<'a> {
    names: Vec<&'a str>,
    pre_depends: Vec<Vec<Vec<usize>>>,
    depends: Vec<Vec<Vec<usize>>>,
}

impl<'a> Graph<'a> {
    fn new(universe: &Universe<'a>, entries: &[u32]) -> Self {
        let mut place = vec![NONE; universe.entries.len()];
        for (number, entry) in (0u32..).zip(entries) {
            place[*entry as usize] = number;
        }
        let mut book = Book::new(universe, false);
        let mut graph = Self {
            names: entries.iter().map(|entry| universe.entries[*entry as usize].package.name).collect(),
            pre_depends: Vec::new(),
            depends: Vec::new(),
        };
        for entry in entries {
            let needs = book.of(*entry);
            let (mut pre_depends, mut depends) = (Vec::new(), Vec::new());
            for group in &needs.groups {
                let among = group.all().map(|entry| place[entry as usize]).filter(|number| *number != NONE);
                let mut among: Vec<usize> = among.map(|number| number as usize).collect();
                among.sort_unstable();
                among.dedup();
                match (among.is_empty(), group.need) {
                    (true, _) => {}
                    (false, Need::PreDepends) => pre_depends.push(among),
                    (false, _) => depends.push(among),
                }
            }
            graph.pre_depends.push(pre_depends);
            graph.depends.push(depends);
        }
        graph
    }

    fn groups(&self, number: usize) -> impl Iterator<Item = &Vec<usize>> {
        self.pre_depends[number].iter().chain(&self.depends[number])
    }

    /// The packages and all that they need, ascending.
    fn closure(&self, mut open: Vec<usize>) -> Vec<usize> {
        let mut found: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(number) = open.pop() {
            for other in self.groups(number).flatten() {
                if found.insert(*other) {
                    open.push(*other);
                }
            }
        }
        found.into_iter().collect()
    }

    /// The absent packages whose Pre-Depends are configured.
    fn unpackable(&self, state: &[State]) -> Vec<usize> {
        let configured = |group: &Vec<usize>| group.iter().any(|other| state[*other] == State::Configured);
        let absent = (0..state.len()).filter(|number| state[*number] == State::Absent);
        absent.filter(|number| self.pre_depends[*number].iter().all(configured)).collect()
    }

    /// What a Pre-Depends of an absent package waits for, and all that it needs: of the first such package in dpkg's table
    /// of names, as `dpkg --predep-package` tells debootstrap; of alternatives the first one.
    fn waited_for(&self, state: &[State]) -> Vec<usize> {
        let is_unmet = |group: &&Vec<usize>| group.iter().all(|other| state[*other] != State::Configured);
        let unmet = |number: usize| self.pre_depends[number].iter().find(is_unmet);
        let absent = (0..state.len()).filter(|number| state[*number] == State::Absent && unmet(*number).is_some());
        let waiting = absent.min_by_key(|number| (bin(self.names[*number]), *number));
        let wanted = waiting.and_then(unmet).and_then(|group| group.first().copied());
        self.closure(wanted.into_iter().collect())
    }

    /// The unpacked packages that need nothing which is still absent.
    fn configurable(&self, state: &[State]) -> BTreeSet<usize> {
        let mut ready: BTreeSet<usize> = (0..state.len()).filter(|number| state[*number] == State::Unpacked).collect();
        loop {
            let met = |group: &Vec<usize>| {
                group.iter().any(|other| state[*other] == State::Configured || ready.contains(other))
            };
            let waiting: Vec<usize> = ready.iter().copied().filter(|number| !self.groups(*number).all(met)).collect();
            if waiting.is_empty() {
                return ready;
            }
            for number in waiting {
                ready.remove(&number);
            }
        }
    }

    /// The order of configuration: the core before all; then that of dpkg, which walks over its table of names and puts
    /// off who still waits. What scripts leave of an order, such as copies of what was before, is the same then.
    fn sort(
        &self,
        mut left: BTreeSet<usize>,
        state: &mut [State],
        has_postinst: &impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut order = Vec::with_capacity(left.len());
        for core in CORE {
            // Numbers ascend by name and architecture: the native one comes first.
            let found: Vec<usize> = left.iter().copied().filter(|number| self.names[*number] == *core).collect();
            for number in found {
                left.remove(&number);
                state[number] = State::Configured;
                order.push(number);
            }
        }
        let mut queue: Vec<usize> = left.iter().copied().collect();
        queue.sort_by_key(|number| (bin(self.names[*number]), *number));
        let mut queue = VecDeque::from(queue);
        let mut put_off = 0;
        while let Some(mut next) = queue.pop_front() {
            if !self.met(next, state) {
                queue.push_back(next);
                put_off += 1;
                if put_off < queue.len() {
                    continue;
                }
                // All of them wait: for each other.
                next = self.breaker(&left, state, has_postinst);
                queue.retain(|number| *number != next);
            }
            put_off = 0;
            left.remove(&next);
            state[next] = State::Configured;
            order.push(next);
        }
        order
    }

    fn met(&self, number: usize, state: &[State]) -> bool {
        self.groups(number).all(|group| group.iter().any(|other| state[*other] == State::Configured))
    }

    /// Where a cycle is broken: in one that waits for nothing but itself.
    fn breaker(&self, left: &BTreeSet<usize>, state: &[State], has_postinst: &impl Fn(usize) -> bool) -> usize {
        let waits = |number: usize| -> Vec<usize> {
            let open = self.groups(number).filter(|group| group.iter().all(|other| state[*other] != State::Configured));
            open.flatten().copied().filter(|other| left.contains(other)).collect()
        };
        let first = left.first().copied().unwrap_or_default();
        let mut cycle = sink(first, waits);
        cycle.sort_unstable();
        cycle.iter().copied().find(|number| !has_postinst(*number)).or(cycle.first().copied()).unwrap_or(first)
    }
}

/// The place of a name in dpkg's table: FNV-1a of 32 bits, in as many bins as dpkg has.
fn bin(name: &str) -> u32 {
    const BINS: u32 = 65521;
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    name.bytes().map(|byte| byte.to_ascii_lowercase()).fold(2_166_136_261, hash) % BINS
}

/// The first strongly connected component that a depth-first way from `first` leaves: nothing leads out of it.
///
/// Tarjan's algorithm up to its first result, with a stack of its own: a chain of packages may be long.
fn sink(first: usize, edges: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut index: HashMap<usize, usize> = HashMap::from([(first, 0)]);
    let mut path = vec![first];
    // Node, lowest index reached from it, its edges, the next edge.
    let mut stack = vec![(first, 0usize, edges(first), 0usize)];
    loop {
        let Some((node, low, next, at)) = stack.last_mut() else { return path };
        if let Some(other) = next.get(*at).copied() {
            *at += 1;
            match index.get(&other) {
                // Nothing was finished yet, so whatever was seen is on the path.
                Some(seen) => *low = (*low).min(*seen),
                None => {
                    let number = index.len();
                    index.insert(other, number);
                    path.push(other);
                    stack.push((other, number, edges(other), 0));
                }
            }
            continue;
        }
        let (node, low) = (*node, *low);
        let own = index.get(&node).copied().unwrap_or_default();
        if low == own {
            let from = path.iter().position(|other| *other == node).unwrap_or_default();
            return path.split_off(from);
        }
        stack.pop();
        if let Some((_, parent, ..)) = stack.last_mut() {
            *parent = (*parent).min(low);
        }
    }
}
