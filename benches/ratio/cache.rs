//! What other compressors made of a file does not change, so it is measured once: a table in a text file, one line a
//! measurement, added to as they come.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::common::peers::{Cost, Peer};
use super::common::{Arguments, Failure};

/// Peers' results.
pub(crate) struct Cache {
    known: HashMap<String, Cost>,
    file: File,
}

impl Cache {
    /// The one in `--cache DIR`, or below `target/`. `--fresh`: as if it were empty.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub(crate) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ratio-cache");
        let folder = arguments.get("cache").map_or(default, PathBuf::from);
        let path = folder.join("peers.tsv");
        fs::create_dir_all(&folder)?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut known = HashMap::new();
        if !arguments.has("fresh") {
            known.extend(fs::read_to_string(&path)?.lines().filter_map(entry));
        }
        Ok(Self { known, file })
    }

    /// What is known, or else what is measured now. Times are as of when it was measured.
    ///
    /// # Errors
    /// The peer's; the file cannot be written.
    pub(crate) fn measure(
        &mut self,
        peer: &Peer,
        version: &str,
        raw: &[u8],
        block: Option<usize>,
        decode: bool,
    ) -> Result<Cost, Failure> {
        // A block as long as the file is the file.
        let block = block.unwrap_or(usize::MAX).min(raw.len());
        let digest = blake3::hash(raw).to_hex();
        let key = format!("{digest}\t{}\t{version}\t{block}", peer.name);
        let decode = decode && peer.media().is_none();
        if let Some(&cost) = self.known.get(&key).filter(|cost| !decode || cost.decode.is_some()) {
            return Ok(cost);
        }
        let cost = peer.measure(raw, block, decode)?;
        let seconds = |time: Option<Duration>| time.map_or("-".into(), |time| format!("{:.2}", time.as_secs_f64()));
        let line = format!("{key}\t{}\t{}\t{}\n", cost.bytes, seconds(cost.encode), seconds(cost.decode));
        self.file.write_all(line.as_bytes())?;
        self.known.insert(key, cost);
        Ok(cost)
    }
}

/// Key and value of a line; none where it was cut short.
fn entry(line: &str) -> Option<(String, Cost)> {
    let mut fields = line.rsplitn(4, '\t');
    let (decode, encode) = (fields.next()?, fields.next()?);
    let bytes = fields.next()?.parse().ok()?;
    let key = fields.next().filter(|key| key.split('\t').count() == 4)?.to_owned();
    let time = |text: &str| text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some((key, Cost { bytes, encode: time(encode), decode: time(decode) }))
}
