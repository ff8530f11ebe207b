//! The table for people, and the raw numbers for those who doubt it.

use std::fmt::Write as _;
use std::time::Duration;

use bedplate_testkit::oracle;

use super::measure::Samples;
use crate::process::{Failure, output, root, tool};

/// One tool's times for one piece of work, or why there are none.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// Who did it.
    pub(crate) tool: &'static str,
    /// What was typed.
    pub(crate) command: String,
    /// The times.
    pub(crate) result: Result<Samples, String>,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The work in words.
    pub(crate) work: &'static str,
    /// What the design wants.
    pub(crate) aim: &'static str,
    /// The least the machine must do, if that can be said.
    pub(crate) floor: Option<Cell>,
    /// bedplate.
    pub(crate) ours: Cell,
    /// The others.
    pub(crate) peers: Vec<Cell>,
}

/// One measured peak of memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// The work in words.
    pub(crate) work: String,
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// KiB resident at most.
    pub(crate) peak_kib: u64,
}

/// Everything one run measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) rounds: (usize, usize),
}

/// The straight line through the fewest and the most entries that are imported; bytes do not enter it.
fn formula(measured: &[Memory]) -> Option<String> {
    let imports = || measured.iter().filter(|memory| !memory.work.starts_with("build"));
    let few = imports().min_by_key(|memory| memory.entries)?;
    let many = imports().max_by_key(|memory| memory.entries)?;
    let entries = many.entries.checked_sub(few.entries).filter(|&difference| difference > 0)?;
    let per_entry = many.peak_kib.saturating_sub(few.peak_kib) as f64 * 1024.0 / entries as f64;
    let constant = few.peak_kib as f64 / 1024.0 - per_entry * few.entries as f64 / (1024.0 * 1024.0);
    Some(format!("Importing: peak = {constant:.1} MiB + {per_entry:.0} bytes an entry, whatever the entries hold."))
}

/// Writes `bench/README.md` and `bench/runs/<date>-<machine>/`.
pub(crate) fn write(table: &Table) -> Result<(), Failure> {
    let bench = root().join("bench");
    let readme = bench.join("README.md");
    std::fs::write(&readme, markdown(table)).map_err(Failure::file("write", &readme))?;
    let date = output("read the date", &mut tool("date", ["-u", "+%Y-%m-%d"]))?;
    let run = bench.join("runs").join(format!("{}-{}", date.trim(), slug(&processor())));
    std::fs::create_dir_all(&run).map_err(Failure::file("make", &run))?;
    for (name, text) in [("raw.tsv", raw(table)), ("setup.txt", setup())] {
        let file = run.join(name);
        std::fs::write(&file, text).map_err(Failure::file("write", &file))?;
    }
    eprintln!("==> wrote {} and {}", readme.display(), run.display());
    Ok(())
}

/// The whole page.
pub(crate) fn markdown(table: &Table) -> String {
    let mut page = String::from(
        "# Benchmarks\n\nMade by `cargo xtask bench`; do not edit. Times are of whole processes, from before the start to after the end: the \
         median, and the least in brackets. Ratios are to bedplate's median: `3.0x` took three times as long. Every round starts from the same \
         state; what prepares it is not timed. The raw numbers lie in `runs/`; `setup.txt` there tells which rows were measured again.\n\n",
    );
    let (short, long) = table.rounds;
    let _ = writeln!(
        page,
        "```text\n{}rounds       {short} of what takes milliseconds, {long} of the rest\n```\n",
        setup()
    );
    page.push_str("| work | bedplate | floor | bedplate to floor | peers | aim |\n|---|---|---|---|---|---|\n");
    for row in &table.rows {
        let ours = row.ours.result.as_ref().ok().map(Samples::median);
        let floor = row.floor.as_ref().and_then(|cell| cell.result.as_ref().ok()).map(Samples::median);
        let peers: Vec<String> = row.peers.iter().map(|cell| format!("{} {}", cell.tool, beside(cell, ours))).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            row.work,
            shown(&row.ours),
            row.floor.as_ref().map_or("–".to_owned(), shown),
            ratio(ours, floor).unwrap_or("–".to_owned()),
            if peers.is_empty() { "–".to_owned() } else { peers.join("<br>") },
            row.aim
        );
    }
    if !table.memory.is_empty() {
        page.push_str("\n## Memory\n\nThe most that was resident, by the kernel's high-water mark.\n\n| work | peak |\n|---|---|\n");
        for memory in &table.memory {
            let _ = writeln!(page, "| {} | {:.1} MiB |", memory.work, memory.peak_kib as f64 / 1024.0);
        }
        if let Some(formula) = formula(&table.memory) {
            let _ = writeln!(page, "\n{formula}");
        }
    }
    page.push_str("\n## What was typed\n\n");
    for row in &table.rows {
        let _ = writeln!(page, "**{}**\n", row.work);
        for cell in row.floor.iter().chain([&row.ours]).chain(&row.peers) {
            let _ = writeln!(page, "- {}: `{}`", cell.tool, cell.command);
        }
        page.push('\n');
    }
    page.trim_end().to_owned() + "\n"
}

fn shown(cell: &Cell) -> String {
    match &cell.result {
        Ok(samples) => format!("{} ({})", time(samples.median()), time(samples.least())),
        Err(why) => format!("fails: {}", one_line(why)),
    }
}

fn beside(cell: &Cell, ours: Option<Duration>) -> String {
    let Ok(samples) = &cell.result else { return shown(cell) };
    match ratio(Some(samples.median()), ours) {
        Some(ratio) => format!("{} = {ratio}", time(samples.median())),
        None => time(samples.median()),
    }
}

fn ratio(above: Option<Duration>, below: Option<Duration>) -> Option<String> {
    let (above, below) = (above?.as_secs_f64(), below?.as_secs_f64());
    (below > 0.0).then(|| {
        let ratio = above / below;
        if ratio >= 10.0 { format!("{ratio:.0}x") } else { format!("{ratio:.1}x") }
    })
}

fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        _ if ms < 100.0 => format!("{ms:.1} ms"),
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "/").chars().take(100).collect()
}

/// Every time that was taken, one a line.
pub(crate) fn raw(table: &Table) -> String {
    let mut text = String::from("work\ttool\tround\tnanoseconds\n");
    for row in &table.rows {
        for cell in row.floor.iter().chain([&row.ours]).chain(&row.peers) {
            for (round, took) in cell.result.iter().flat_map(|samples| samples.times.iter().enumerate()) {
                let _ = writeln!(text, "{}\t{}\t{round}\t{}", row.work, cell.tool, took.as_nanos());
            }
        }
    }
    text
}

fn setup() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // Major and minor: what follows names a builder of kernels, not a kernel.
    let release: String = read("/proc/sys/kernel/osrelease").splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let system = read("/etc/os-release");
    let system =
        system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let mut text = format!("machine      {}, {cores} cores, Linux {release}, {system}\n", processor());
    for program in ["dockerd", "podman", "umoci", "runc", "crun", "mmdebstrap", "debootstrap"] {
        let version = oracle::version(program).unwrap_or("not installed".to_owned());
        let _ = writeln!(text, "{program:<12} {version}");
    }
    text
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    model.map_or(std::env::consts::ARCH, |(_, name)| name).trim().to_owned()
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(tool: &'static str, ms: u64) -> Cell {
        let times = vec![Duration::from_millis(ms)];
        Cell { tool, command: format!("{tool} x"), result: Ok(Samples { times }) }
    }

    #[test]
    fn memory_is_a_constant_and_a_price_for_each_entry() {
        let memory = |entries, peak_kib| Memory { work: String::new(), entries, peak_kib };
        let measured = [memory(1024, 3 * 1024), memory(1024, 3 * 1024), memory(3 * 1024, 5 * 1024)];
        let line = "Importing: peak = 2.0 MiB + 1024 bytes an entry, whatever the entries hold.";
        assert_eq!(formula(&measured).as_deref(), Some(line));
        assert_eq!(formula(&measured[..2]), None);
    }

    #[test]
    fn the_table_shows_ratios_and_failures() {
        let broken = Cell { tool: "crun", command: "crun x".into(), result: Err("refused | here\nmore".into()) };
        let row = Row {
            work: "run",
            aim: "< 10 ms",
            floor: Some(cell("bare exec", 1)),
            ours: cell("bedplate", 4),
            peers: vec![cell("docker", 120), broken],
        };
        let page = markdown(&Table { rows: vec![row], ..Table::default() });
        let line = page.lines().find(|line| line.starts_with("| run ")).expect("the row is there");
        assert_eq!(
            line,
            "| run | 4.0 ms (4.0 ms) | 1.0 ms (1.0 ms) | 4.0x | docker 120 ms = 30x<br>crun fails: refused / here | < 10 ms |"
        );
    }

    #[test]
    fn a_machine_is_a_folder_name() {
        assert_eq!(slug("Intel(R) Xeon(R) CPU @ 2.10GHz"), "intel-r-xeon-r-cpu-2-10ghz");
    }
}
