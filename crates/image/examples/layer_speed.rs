//! Measures scan, layer writing, tree making and unpacking of a directory: `layer_speed DIRECTORY WORK-DIRECTORY`.
//!
//! WORK-DIRECTORY gets the layer and the unpacked trees; it must not exist and is left for inspection.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use bedplate_image::{ContentSources, Recorded, ScanOptions, UnpackOptions, record, scan, unpack_tree, write_tree};
use bedplate_sys::rooted::Root;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(work)) = (arguments.next(), arguments.next()) else {
        return Err("usage: layer_speed DIRECTORY WORK-DIRECTORY".into());
    };
    std::fs::create_dir(&work)?;
    let layer_path = format!("{work}/layer.tar");

    let mut sources = ContentSources::new();
    let options = ScanOptions { one_file_system: true, ..ScanOptions::default() };
    let tree = timed("scan", || scan(Root::open(&*from)?, &mut sources, &options).map_err(Box::from))?;
    let entries = tree.walk().count();
    let (layer, _) = timed("write layer", || {
        write_tree(&tree, &sources, File::create(&layer_path)?).map_err(Into::<Box<dyn Error>>::into)
    })?;
    println!("{entries} entries, {} MB", layer.size / 1_000_000);
    let tree = timed("layer to tree", || {
        let (tree, _) = bedplate_image::tree_of(std::slice::from_ref(&layer.index))?;
        Ok(tree)
    })?;
    let layers = ContentSources::new().with_streams(|_| Ok(Some(File::open(&layer_path)?)));
    for threads in [1, 2] {
        let directory = format!("{work}/root-{threads}");
        std::fs::create_dir(&directory)?;
        let root = Root::open(&*directory)?;
        let options = UnpackOptions { threads, ..UnpackOptions::default() };
        let name = format!("unpack with {threads} threads");
        timed(&name, || Ok(unpack_tree(&tree, &layers, root.handle(), &options)?))?;
        let _recorded: Recorded = timed("record", || Ok(record(&root)?))?;
    }
    Ok(())
}

/// Runs and says how long it took: wall time, and processor time of all threads.
fn timed<T>(name: &str, run: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let (wall, cpu) = (Instant::now(), cpu_seconds()?);
    let result = run()?;
    println!("{name}: {:.3} s wall, {:.2} s cpu", wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    Ok(result)
}

/// User and system time of this process so far; the kernel counts in ticks of 10 ms.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}
