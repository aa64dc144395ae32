//! Other compressors, as external programs, each given independent blocks.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::classes::Class;
use super::parallel::side_by_side;
use super::{Failure, times};

/// The bytes that begin every ZPAQ block.
const ZPAQ_TAG: [u8; 13] = [0x37, 0x6b, 0x53, 0x74, 0xa0, 0x31, 0x83, 0xd3, 0x8c, 0xb2, 0x28, 0xb0, 0xd3];

/// A program that compresses one file at a time.
pub(crate) struct Peer {
    /// Column of the table. States the options, because results are kept under this name.
    pub(crate) name: &'static str,
    program: &'static str,
    version: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    /// Compresses `FILE` to its standard output, and back.
    Filter { encode: &'static [&'static str], decode: &'static [&'static str], packed: &'static str },
    /// bzip3, with blocks no larger than need be: it clears the memory for a whole one.
    Bzip3,
    /// 7-Zip with PPMd.
    SevenZip,
    /// ZPAQ's journaling archiver.
    Zpaq,
    /// A format for one kind of media: takes whole files of this class alone.
    Media { class: Class, script: &'static str, packed: &'static str },
}

/// A picture as PNG: deflate at its best, with no filter of lines or the best for each line. What `optipng` does not
/// read goes through PNM; byte 16 of a TGA file is 32 where it has transparency.
const PNG: &str = "
best() { optipng -quiet -zc9 -zm8,9 -zs0,1 -f0,5 -out out.png $1; }
best raw && exit
if tifftopnm raw >pnm; then
    pnmtopng pnm >plain.png
elif [ $(od -An -tu1 -j16 -N1 raw) = 32 ]; then
    tgatoppm -alphaout=alpha raw >pnm && pnmtopng -alpha=alpha pnm >plain.png
else
    tgatoppm raw >pnm && pnmtopng pnm >plain.png
fi && best plain.png";

/// Those of the table. paq8px, lpaq and cmix come in no package, so they are missing; PAQ's family is represented by
/// paq9a, which is in one for Python.
pub(crate) const PEERS: [Peer; 9] = [
    Peer {
        name: "zstd -19",
        program: "zstd",
        version: &["--version"],
        kind: Kind::Filter {
            encode: &["-19", "--long", "-q", "-c", "raw"],
            decode: &["-d", "--long", "-q", "-c", "out.zst"],
            packed: "out.zst",
        },
    },
    Peer {
        name: "xz -9e",
        program: "xz",
        version: &["--version"],
        kind: Kind::Filter {
            encode: &["-9e", "-T1", "-k", "-c", "raw"],
            decode: &["-d", "-k", "-c", "out.xz"],
            packed: "out.xz",
        },
    },
    Peer {
        name: "brotli -q11",
        program: "brotli",
        version: &["--version"],
        kind: Kind::Filter { encode: &["-q", "11", "-c", "raw"], decode: &["-d", "-c", "out.br"], packed: "out.br" },
    },
    Peer { name: "bzip3", program: "bzip3", version: &["--version"], kind: Kind::Bzip3 },
    Peer { name: "7z ppmd", program: "7z", version: &[], kind: Kind::SevenZip },
    Peer {
        name: "paq9a",
        // Debian's Python: its package is no other's.
        program: "/usr/bin/python3",
        version: &["-c", "import paq, importlib.metadata as m; print(m.version('paq'))"],
        kind: Kind::Filter {
            encode: &["-c", "import paq, sys; sys.stdout.buffer.write(paq.compress(open('raw', 'rb').read()))"],
            decode: &["-c", "import paq, sys; sys.stdout.buffer.write(paq.decompress(open('out.paq', 'rb').read()))"],
            packed: "out.paq",
        },
    },
    Peer { name: "zpaq -m5", program: "zpaq", version: &[], kind: Kind::Zpaq },
    Peer {
        name: "png -9",
        program: "optipng",
        version: &["--version"],
        kind: Kind::Media { class: Class::Images, script: PNG, packed: "out.png" },
    },
    Peer {
        name: "flac -8",
        program: "flac",
        version: &["--version"],
        kind: Kind::Media {
            class: Class::Audio,
            script: "flac -8 -s --no-padding --no-seektable -o out.flac raw",
            packed: "out.flac",
        },
    },
];

/// What came of one file in blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Compressed bytes.
    pub(crate) bytes: u64,
    /// Processor time to encode, where the system tells.
    pub(crate) encode: Option<Duration>,
    /// Processor time to decode, where that was done.
    pub(crate) decode: Option<Duration>,
}

impl Peer {
    /// Name and version, if the program is installed.
    pub(crate) fn version(&self) -> Option<String> {
        let output = Command::new(self.program).args(self.version).stdin(Stdio::null()).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = text.split(|c: char| c.is_whitespace() || c == ',').map(|word| word.trim_start_matches('v'));
        let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        let version = words.map(|word| word.trim_end_matches('.')).find(number)?;
        Some(format!("{} {version}", self.name.split(' ').next().unwrap_or(self.program)))
    }

    /// The class of media that it is for; `None`: for everything.
    pub(crate) fn media(&self) -> Option<Class> {
        match self.kind {
            Kind::Media { class, .. } => Some(class),
            _ => None,
        }
    }

    /// Compresses each block by itself, on all cores, one process for each block. Decodes again where that is
    /// wanted and possible, and compares.
    ///
    /// # Errors
    /// The program fails, or does not give a block back.
    pub(crate) fn measure(&self, raw: &[u8], block: usize, decode: bool) -> Result<Cost, Failure> {
        let blocks: Vec<&[u8]> = raw.chunks(block.max(1)).collect();
        let folder = tempfile::tempdir()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for (number, block) in blocks.iter().enumerate() {
            let place = folder.path().join(number.to_string());
            fs::create_dir(&place)?;
            fs::write(place.join("raw"), block)?;
        }
        let place = |number: usize| folder.path().join(number.to_string());
        let before = times::children();
        let bytes = side_by_side(blocks.len(), cores, |number| self.encode(&place(number)))?;
        let encode = since(before);
        let decode = if decode && self.media().is_none() {
            let before = times::children();
            side_by_side(blocks.len(), cores, |number| self.decode(&place(number), blocks[number]))?;
            since(before)
        } else {
            None
        };
        Ok(Cost { bytes: bytes.iter().sum(), encode, decode })
    }

    /// Compresses the file `raw` in `place`; how long it became.
    fn encode(&self, place: &Path) -> Result<u64, Failure> {
        let log = "log";
        let packed = match self.kind {
            Kind::Filter { encode, packed, .. } => {
                run(self.program, encode, place, packed)?;
                packed
            }
            Kind::Media { script, packed, .. } => {
                run("sh", &["-c", script], place, log)?;
                packed
            }
            Kind::Bzip3 => {
                let mebibytes = fs::metadata(place.join("raw"))?.len().div_ceil(1 << 20).clamp(1, 511);
                run(self.program, &["-e", "-k", "-c", "-b", &mebibytes.to_string(), "raw"], place, "out.bz3")?;
                "out.bz3"
            }
            Kind::SevenZip => {
                let options = ["a", "-t7z", "-m0=PPMd", "-mhc=off", "-mmt=1", "-bso0", "-bsp0", "out.7z", "raw"];
                run(self.program, &options, place, log)?;
                "out.7z"
            }
            Kind::Zpaq => {
                run(self.program, &["a", "out.zpaq", "raw", "-m5", "-t1"], place, log)?;
                "out.zpaq"
            }
        };
        let packed = fs::read(place.join(packed))?;
        Ok(match self.kind {
            Kind::Filter { .. } | Kind::Bzip3 | Kind::Media { .. } => packed.len() as u64,
            Kind::SevenZip => seven_zip_payload(&packed),
            Kind::Zpaq => zpaq_payload(&packed),
        })
    }

    /// Decompresses what [`encode`](Self::encode) left in `place`.
    fn decode(&self, place: &Path, raw: &[u8]) -> Result<(), Failure> {
        let back = match self.kind {
            Kind::Media { .. } => return Ok(()),
            Kind::Filter { decode, .. } => {
                run(self.program, decode, place, "back")?;
                "back"
            }
            Kind::Bzip3 => {
                run(self.program, &["-d", "-k", "-c", "out.bz3"], place, "back")?;
                "back"
            }
            Kind::SevenZip => {
                run(self.program, &["e", "-so", "-bsp0", "out.7z"], place, "back")?;
                "back"
            }
            Kind::Zpaq => {
                run(self.program, &["x", "out.zpaq", "raw", "-to", "again", "-t1"], place, "log")?;
                "again"
            }
        };
        if fs::read(place.join(back))? == raw {
            return Ok(());
        }
        Err(format!("{} did not give a block of {} bytes back", self.name, raw.len()).into())
    }
}

/// Runs a program in a folder, with its standard output in a file there.
fn run(program: &str, args: &[&str], place: &Path, out: &str) -> Result<(), Failure> {
    let out = File::create(place.join(out))?;
    let mut command = Command::new(program);
    command.args(args).current_dir(place).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    let output = command.spawn()?.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{program} {}: {}", args[0], why.trim_end().lines().last().unwrap_or("failed")).into())
}

/// Processor time of started processes since then.
fn since(before: Option<Duration>) -> Option<Duration> {
    Some(times::children()?.saturating_sub(before?))
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
