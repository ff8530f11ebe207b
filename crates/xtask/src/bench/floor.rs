//! The least a machine must do for the same work: hash, copy and sync a stream; start a bare process.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::process::Failure;

/// As large as the buffers of the product, so that the floor is not lower by fewer calls.
const BUFFER: usize = 256 * 1024;

/// `bench --floor-copy FROM TO`: one pass with the same hash (SHA-NI where the processor has it), one fsync.
///
/// It runs as a process of its own, as what stands beside it does.
pub(crate) fn copy_command(args: &[String]) -> Result<(), Failure> {
    let [from, to] = args else { return Err(Failure::Usage { found: args.join(" ") }) };
    copy(Path::new(from), Path::new(to)).map(drop)
}

fn copy(from: &Path, to: &Path) -> Result<[u8; 32], Failure> {
    let mut input = File::open(from).map_err(Failure::file("open", from))?;
    let mut output = File::create(to).map_err(Failure::file("make", to))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let got = input.read(&mut buffer).map_err(Failure::file("read", from))?;
        let Some(bytes) = buffer.get(..got).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        output.write_all(bytes).map_err(Failure::file("write", to))?;
    }
    output.sync_all().map_err(Failure::file("sync", to))?;
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_does_the_work() {
        let folder = std::env::temp_dir().join(format!("bedplate-floor-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let (from, to) = (folder.join("from"), folder.join("to"));
        std::fs::write(&from, b"abc").expect("the temporary folder can be written");
        let hash = copy(&from, &to).expect("three bytes can be copied");
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(std::fs::read(&to).expect("the copy is there"), b"abc");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
