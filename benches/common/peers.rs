//! Other compressors, as external programs, each given independent blocks.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Failure;

/// The bytes that begin every ZPAQ block.
const ZPAQ_TAG: [u8; 13] = [0x37, 0x6b, 0x53, 0x74, 0xa0, 0x31, 0x83, 0xd3, 0x8c, 0xb2, 0x28, 0xb0, 0xd3];

/// A program that compresses one file at a time.
pub(crate) struct Peer {
    /// Column of the table.
    pub(crate) name: &'static str,
    program: &'static str,
    version: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    /// Compresses `FILE` to its standard output, and back.
    Filter { encode: &'static [&'static str], decode: &'static [&'static str], packed: &'static str },
    /// 7-Zip with PPMd.
    SevenZip,
    /// ZPAQ's journaling archiver.
    Zpaq,
}

/// Those of the table.
pub(crate) const PEERS: [Peer; 5] = [
    Peer {
        name: "zstd -19",
        program: "zstd",
        version: &["--version"],
        kind: Kind::Filter {
            encode: &["-19", "--long", "-q", "-c"],
            decode: &["-d", "--long", "-q", "-c"],
            packed: "out.zst",
        },
    },
    Peer {
        name: "xz -9e",
        program: "xz",
        version: &["--version"],
        kind: Kind::Filter { encode: &["-9e", "-T1", "-k", "-c"], decode: &["-d", "-k", "-c"], packed: "out.xz" },
    },
    Peer {
        name: "brotli",
        program: "brotli",
        version: &["--version"],
        kind: Kind::Filter { encode: &["-q", "11", "-c"], decode: &["-d", "-c"], packed: "out.br" },
    },
    Peer { name: "ppmd", program: "7z", version: &[], kind: Kind::SevenZip },
    Peer { name: "zpaq -m5", program: "zpaq", version: &[], kind: Kind::Zpaq },
];

/// What came of one file or one stretch of work.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Compressed bytes.
    pub(crate) bytes: u64,
    /// Time to encode.
    pub(crate) encode: Duration,
    /// Time to decode.
    pub(crate) decode: Duration,
}

impl Cost {
    /// Adds another one.
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.encode += other.encode;
        self.decode += other.decode;
    }
}

impl Peer {
    /// Name and version, if the program is installed.
    pub(crate) fn version(&self) -> Option<String> {
        let output = Command::new(self.program).args(self.version).stdin(Stdio::null()).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        let number = |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
        let version = words.filter(number).find(|word| word.contains('.')).unwrap_or("?");
        Some(format!("{} {}", self.program, version.trim_start_matches('v')))
    }

    /// Compresses each block by itself, on all cores, one process for each block; times are those of
    /// the processes. Decodes again, and compares.
    ///
    /// # Errors
    /// The program fails, or does not give the block back.
    pub(crate) fn measure(&self, raw: &[u8], block: usize) -> Result<Cost, Failure> {
        let blocks: Vec<&[u8]> = raw.chunks(block.max(1)).collect();
        let (next, total) = (AtomicUsize::new(0), Mutex::new(Ok(Cost::default())));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..cores.min(blocks.len()) {
                scope.spawn(|| {
                    while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let cost = self.block(block);
                        let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        match (&mut *total, cost) {
                            (Ok(total), Ok(cost)) => total.add(cost),
                            (Ok(_), Err(error)) => *total = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn block(&self, raw: &[u8]) -> Result<Cost, Failure> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("raw"), raw)?;
        let (encode_args, packed) = self.encode_command();
        let start = Instant::now();
        self.run(&encode_args, folder.path(), if self.is_filter() { packed } else { "log" })?;
        let encode = start.elapsed();
        let bytes = self.payload(&fs::read(folder.path().join(packed))?);
        let (decode_args, back) = self.decode_command(packed);
        let start = Instant::now();
        self.run(&decode_args, folder.path(), "back")?;
        let decode = start.elapsed();
        if fs::read(folder.path().join(back))? != raw {
            return Err(format!("{} did not give a block of {} bytes back", self.name, raw.len()).into());
        }
        Ok(Cost { bytes, encode, decode })
    }

    fn is_filter(&self) -> bool {
        matches!(self.kind, Kind::Filter { .. })
    }

    /// Arguments that compress `raw`, and the file that is made.
    fn encode_command(&self) -> (Vec<&'static str>, &'static str) {
        match self.kind {
            Kind::Filter { encode, packed, .. } => ([encode, &["raw"]].concat(), packed),
            Kind::SevenZip => {
                let options = ["a", "-t7z", "-m0=PPMd", "-mhc=off", "-mmt=1", "-bso0", "-bsp0"];
                ([&options[..], &["out.7z", "raw"]].concat(), "out.7z")
            }
            Kind::Zpaq => (vec!["a", "out.zpaq", "raw", "-m5", "-t1"], "out.zpaq"),
        }
    }

    /// Arguments that decompress `packed`, and the file that then holds what came back.
    fn decode_command(&self, packed: &'static str) -> (Vec<&'static str>, &'static str) {
        match self.kind {
            Kind::Filter { decode, .. } => ([decode, &[packed]].concat(), "back"),
            Kind::SevenZip => (vec!["e", "-so", "-bsp0", packed], "back"),
            Kind::Zpaq => (vec!["x", packed, "raw", "-to", "again", "-t1"], "again"),
        }
    }

    /// The bytes of the compressed stream alone.
    fn payload(&self, packed: &[u8]) -> u64 {
        match self.kind {
            Kind::Filter { .. } => packed.len() as u64,
            Kind::SevenZip => seven_zip_payload(packed),
            Kind::Zpaq => zpaq_payload(packed),
        }
    }

    fn run(&self, args: &[&str], folder: &Path, out: &str) -> Result<(), Failure> {
        let out = File::create(folder.join(out))?;
        let mut command = Command::new(self.program);
        command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
        let output = command.spawn()?.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{} {} failed: {why}", self.program, args.join(" ")).into())
    }
}

/// The compressed stream in a 7z archive of one file: where the next header stands, behind the first 32 bytes.
fn seven_zip_payload(archive: &[u8]) -> u64 {
    let field = archive.get(12..20).and_then(|bytes| bytes.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}

/// The data blocks of a journaling archive, without those that hold names, dates and digests.
fn zpaq_payload(archive: &[u8]) -> u64 {
    let tag = ZPAQ_TAG.len();
    let mut starts: Vec<usize> =
        archive.windows(tag).enumerate().filter(|(_, at)| *at == ZPAQ_TAG).map(|at| at.0).collect();
    starts.push(archive.len());
    let blocks = starts.windows(2).map(|pair| &archive[pair[0]..pair[1]]);
    // A block's name: "jDC", 14 digits of its date, the kind, 10 digits of its number.
    let is_data = |block: &&[u8]| {
        let name = block.windows(3).position(|at| at == b"jDC");
        name.and_then(|at| block.get(at + 17)) == Some(&b'd')
    };
    blocks.filter(is_data).map(|block| block.len() as u64).sum()
}
