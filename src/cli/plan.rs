//! What the command line means: validated, with defaults filled in. No I/O happens here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{self, Codec, Device, Numerics};
use crate::archive::{MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, default_chunk_size};
use crate::cache::DEFAULT_BUDGET;
use crate::codec::{Choice, Level};
use crate::format::CodecId;
use crate::{Error, Result};

/// Streams for each thread where none are asked for: fewer leave the batches of a step too small.
const STREAMS_PER_THREAD: usize = 8;
/// Most sequences of one llama.cpp context.
const MAX_STREAMS: usize = 256;
const MAX_THREADS: usize = 1024;

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// What to call it.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Stdin => Path::new("standard input"),
            Self::File(path) => path,
        }
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path) }
    }
}

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Output {
    /// What to call it.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("standard output"),
            Self::File(path) => path,
        }
    }
}

impl From<PathBuf> for Output {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }
}

/// Where and with what a model runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) model: Option<PathBuf>,
    pub(super) device: Device,
    /// For encoding; an archive says which numerics decode it.
    pub(super) numerics: Numerics,
    pub(super) threads: usize,
    pub(super) streams: usize,
}

impl Machine {
    fn new(args: args::Machine) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = bounded("--threads", args.threads, cores.min(MAX_THREADS), MAX_THREADS)?;
        let default = (threads * STREAMS_PER_THREAD).min(MAX_STREAMS);
        let streams = bounded("--streams", args.streams, default, MAX_STREAMS)?;
        Ok(Self { model: args.model, device: args.device, numerics: Numerics::default(), threads, streams })
    }

    /// Chunks to work on at a time: as many as the model's streams, or as there are threads.
    pub(super) fn workers(&self, with_model: bool) -> usize {
        if with_model { self.streams.max(self.threads) } else { self.threads }
    }
}

/// Most bytes of the disk cache; `None`: without one.
fn disk_budget(args: args::DiskCache, given: Option<u64>) -> Option<u64> {
    (!args.no_cache).then_some(given.unwrap_or(DEFAULT_BUDGET)).filter(|&budget| budget > 0)
}

fn bounded(what: &str, given: Option<usize>, default: usize, most: usize) -> Result<usize> {
    let number = given.unwrap_or(default);
    if (1..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Error::Usage(format!("{what} is {number}; it must be between 1 and {most}")))
    }
}

/// Which members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// As they are stored: without `/` or `./` in front and `/` behind.
    pub(super) members: Vec<Vec<u8>>,
    pub(super) lists: Vec<Input>,
    pub(super) null: bool,
    pub(super) excludes: Vec<String>,
}

/// A member's path as an archive stores it. `None`: the root, that is, everything.
pub(super) fn member(path: OsString) -> Option<Vec<u8>> {
    let path = path.into_vec();
    let components: Vec<_> = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && part != b".").collect();
    if components.is_empty() { None } else { Some(components.join(&b'/')) }
}

/// Members as stored; the root among them means everything, that is, no selection.
pub(super) fn members(paths: Vec<OsString>) -> Vec<Vec<u8>> {
    paths.into_iter().map(member).collect::<Option<_>>().unwrap_or_default()
}

/// What goes into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Files { base: PathBuf, paths: Vec<PathBuf>, lists: Vec<Input>, null: bool },
    Tar(Input),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Create {
    pub(super) output: Output,
    pub(super) content: Content,
    pub(super) excludes: Vec<String>,
    pub(super) exclude_vcs: bool,
    pub(super) one_file_system: bool,
    pub(super) choice: Choice,
    pub(super) level: Level,
    pub(super) chunk_size: u32,
    pub(super) machine: Machine,
}

impl Create {
    pub(super) fn new(args: args::Create) -> Result<Self> {
        let content = match args.from_tar {
            Some(tar) => Content::Tar(tar.into()),
            None => Content::Files {
                base: args.directory.unwrap_or_else(|| ".".into()),
                paths: args.paths,
                lists: inputs(args.files_from, None)?,
                null: args.null,
            },
        };
        let choice = match args.codec {
            Codec::Auto => Choice::Auto,
            Codec::Store => Choice::Only(CodecId::Store),
            Codec::Zstd => Choice::Only(CodecId::Zstd),
            Codec::Cm => Choice::Only(CodecId::Cm),
            Codec::Lm => Choice::Only(CodecId::Lm),
            Codec::Mix => Choice::Only(CodecId::Mix),
        };
        let level = args.level.0;
        if args.machine.model.is_some() && !choice.uses_model(level) {
            let why = "--model has no use with --codec store, zstd or cm, and none at the levels -1, -2 and -3";
            return Err(Error::Usage(why.into()));
        }
        if args.numerics == Numerics::Exact && args.machine.device != Device::Cpu {
            return Err(Error::Usage(
                "an accelerator computes native numerics: add --numerics native, and the archive can be read only by \
                 a build and a device like this one"
                    .into(),
            ));
        }
        Ok(Self {
            output: args.archive.into(),
            content,
            excludes: args.exclude,
            exclude_vcs: args.exclude_vcs,
            one_file_system: args.one_file_system,
            choice,
            level,
            chunk_size: chunk_size(args.chunk_size, level)?,
            machine: Machine { numerics: args.numerics, ..Machine::new(args.machine)? },
        })
    }
}

fn chunk_size(given: Option<u64>, level: Level) -> Result<u32> {
    let size = given.unwrap_or(default_chunk_size(level).into());
    u32::try_from(size).ok().filter(|size| (MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(size)).ok_or_else(|| {
        let (least, most) = (MIN_CHUNK_SIZE >> 10, MAX_CHUNK_SIZE >> 20);
        Error::Usage(format!("--chunk-size is {size} bytes; it must be between {least}K and {most}M"))
    })
}

/// Lists of names; standard input can be one of them, once, unless the archive is read from it.
fn inputs(paths: Vec<PathBuf>, archive: Option<&Input>) -> Result<Vec<Input>> {
    let lists: Vec<Input> = paths.into_iter().map(Input::from).collect();
    if lists.iter().chain(archive).filter(|input| **input == Input::Stdin).count() > 1 {
        return Err(Error::Usage("standard input can be read only once".into()));
    }
    Ok(lists)
}

/// Where extracted content goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Directory(PathBuf),
    Content,
    Tar(Output),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extract {
    pub(super) archive: Input,
    pub(super) selection: Selection,
    pub(super) target: Target,
    pub(super) strip_components: usize,
    pub(super) keep_old: bool,
    pub(super) preserve: bool,
    pub(super) numeric_owner: bool,
    /// Most bytes of the disk cache; `None`: without one.
    pub(super) disk_budget: Option<u64>,
    pub(super) machine: Machine,
}

impl Extract {
    pub(super) fn new(args: args::Extract) -> Result<Self> {
        let archive = Input::from(args.archive);
        let target = match (args.to_stdout, args.to_tar) {
            (true, _) => Target::Content,
            (false, Some(tar)) => Target::Tar(tar.into()),
            (false, None) => Target::Directory(args.directory),
        };
        let selection = Selection {
            members: members(args.selection.members),
            lists: inputs(args.selection.files_from, Some(&archive))?,
            null: args.selection.null,
            excludes: args.selection.exclude,
        };
        Ok(Self {
            archive,
            selection,
            target,
            strip_components: args.strip_components,
            keep_old: args.keep_old,
            preserve: args.preserve,
            numeric_owner: args.numeric_owner,
            disk_budget: disk_budget(args.disk, None),
            machine: Machine::new(args.machine)?,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cat {
    pub(super) archive: Input,
    pub(super) members: Vec<Vec<u8>>,
    /// Most bytes of the disk cache; `None`: without one.
    pub(super) disk_budget: Option<u64>,
    pub(super) machine: Machine,
}

impl Cat {
    pub(super) fn new(args: args::Cat) -> Result<Self> {
        let machine = Machine::new(args.machine)?;
        let disk_budget = disk_budget(args.disk, None);
        Ok(Self { archive: args.archive.into(), members: members(args.members), disk_budget, machine })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) archive: Input,
    pub(super) json: bool,
    pub(super) machine: Machine,
}

impl Test {
    pub(super) fn new(args: args::Test) -> Result<Self> {
        Ok(Self { archive: args.archive.into(), json: args.json, machine: Machine::new(args.machine)? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recover {
    pub(super) bad: Input,
    pub(super) good: Output,
    pub(super) json: bool,
}

impl Recover {
    pub(super) fn new(args: args::Recover) -> Result<Self> {
        let (bad, good) = (Input::from(args.bad), Output::from(args.good));
        if args.json && good == Output::Stdout {
            return Err(Error::Usage("--json and the archive cannot both go to standard output".into()));
        }
        Ok(Self { bad, good, json: args.json })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) archive: PathBuf,
    pub(super) mountpoint: PathBuf,
    pub(super) foreground: bool,
    pub(super) cache_bytes: Option<u64>,
    pub(super) offline: bool,
    pub(super) strict: bool,
    pub(super) status: bool,
    pub(super) patience: Duration,
    /// Most bytes of the disk cache; `None`: without one.
    pub(super) disk_budget: Option<u64>,
    pub(super) allow_other: bool,
    pub(super) source_name: String,
    pub(super) machine: Machine,
}

impl Mount {
    pub(super) fn new(args: args::Mount) -> Result<Self> {
        if args.archive.as_os_str() == "-" {
            return Err(Error::Usage("an archive on standard input cannot be mounted; save it to a file first".into()));
        }
        let mut allow_other = args.allow_other;
        let (mut offline, mut strict, mut status) = (args.offline, args.strict, args.status);
        let mut source_name = args.archive.display().to_string();
        for option in args.options.iter().filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("fsname", name)) => source_name = name.into(),
                _ if option == "allow_other" => allow_other = true,
                _ if option == "offline" => offline = true,
                _ if option == "strict" => strict = true,
                _ if option == "status" => status = true,
                // How every archive is mounted, and what mount(8) adds of its own.
                _ if matches!(
                    option.as_str(),
                    "ro" | "nosuid" | "nodev" | "noatime" | "default_permissions" | "auto" | "noauto" | "nofail"
                ) => {}
                _ => return Err(Error::Usage(format!("mount option {option} is not supported"))),
            }
        }
        Ok(Self {
            archive: args.archive,
            mountpoint: args.mountpoint,
            foreground: args.foreground,
            cache_bytes: args.cache_size,
            offline,
            strict,
            status,
            patience: Duration::from_secs(args.timeout.max(1)),
            disk_budget: disk_budget(args.disk, args.disk_cache),
            allow_other,
            source_name,
            machine: Machine::new(args.machine)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::args::{Args, Command};
    use super::*;

    fn create(line: &str) -> Result<Create> {
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Create(args) => Create::new(args),
            other => panic!("{other:?}"),
        }
    }

    fn extract(line: &str) -> Result<Extract> {
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Extract(args) => Extract::new(args),
            other => panic!("{other:?}"),
        }
    }

    fn mount(line: &str) -> Result<Mount> {
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Mount(args) => Mount::new(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dash_is_a_standard_stream() {
        let plan = create("lma create - --from-tar -").unwrap();
        assert_eq!((plan.output, plan.content), (Output::Stdout, Content::Tar(Input::Stdin)));
        let plan = extract("lma extract ./- --to-tar -").unwrap();
        assert_eq!((plan.archive, plan.target), (Input::File("./-".into()), Target::Tar(Output::Stdout)));
    }

    #[test]
    fn sizes_and_counts_have_bounds() {
        assert_eq!(create("lma create a b").unwrap().chunk_size, 64 << 10);
        assert_eq!(create("lma create a b --chunk-size 1K").unwrap().chunk_size, 1024);
        assert_eq!(create("lma create a b --chunk-size 8M").unwrap().chunk_size, MAX_CHUNK_SIZE);
        let streams = |line: &str| create(line).unwrap().machine.streams;
        assert_eq!((streams("lma create a b --threads 4"), streams("lma create a b --threads 99")), (32, MAX_STREAMS));
        for bad in [
            "--chunk-size 1023",
            "--chunk-size 8388609",
            "--chunk-size 5G",
            "--streams 0",
            "--streams 257",
            "--threads 0",
            "--codec zstd --model m",
            "--codec cm --model m",
            "-3 --model m",
        ] {
            assert!(matches!(create(&format!("lma create a b {bad}")), Err(Error::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn levels_set_what_may_be_used_and_how_large_chunks_are() {
        let plan = |line: &str| create(&format!("lma create {line}")).unwrap();
        assert_eq!((plan("a b").level, plan("a b -1 -4").level.get()), (Level::default(), 4));
        assert_eq!((plan("--best a b").level, plan("-9 a b --fast").level), (Level::BEST, Level::FAST));
        let sizes: Vec<_> = (1..=9).map(|n| plan(&format!("-{n} a b")).chunk_size >> 10).collect();
        assert_eq!(sizes, [256, 64, 64, 64, 64, 64, 128, 256, 1024]);
        assert_eq!(plan("a b -9 --chunk-size 16K").chunk_size, 16 << 10);
        let uses = |line: &str| {
            let plan = plan(line);
            plan.choice.uses_model(plan.level)
        };
        for line in ["a b", "a b --fast", "a b --best", "a b -1 --codec lm", "a b -3 --codec mix --model m"] {
            assert!(uses(line), "{line}");
        }
        for line in ["a b -1", "a b -2", "a b -3", "a b -9 --codec cm", "a b --codec zstd", "a b --codec store"] {
            assert!(!uses(line), "{line}");
        }
    }

    #[test]
    fn members_are_named_as_they_are_stored() {
        let plan = extract("lma extract a ./x//y/ /z").unwrap();
        assert_eq!(plan.selection.members, [b"x/y".to_vec(), b"z".to_vec()]);
        assert!(extract("lma extract a x .").unwrap().selection.members.is_empty());
        assert_eq!(extract("lma extract a ..").unwrap().selection.members, [b"..".to_vec()]);
    }

    #[test]
    fn standard_input_is_read_once() {
        assert!(extract("lma extract - -T list").is_ok());
        assert!(matches!(extract("lma extract - -T -"), Err(Error::Usage(_))));
        assert!(matches!(create("lma create a -T - -T -"), Err(Error::Usage(_))));
        assert!(create("lma create - -T -").is_ok());
    }

    #[test]
    fn the_disk_cache_is_on_unless_it_is_turned_off() {
        assert_eq!(mount("lma mount a d").unwrap().disk_budget, Some(DEFAULT_BUDGET));
        assert_eq!(mount("lma mount a d --disk-cache 5M").unwrap().disk_budget, Some(5 << 20));
        for off in ["--no-cache", "--disk-cache 0"] {
            assert_eq!(mount(&format!("lma mount a d {off}")).unwrap().disk_budget, None);
        }
        assert_eq!(extract("lma extract a").unwrap().disk_budget, Some(DEFAULT_BUDGET));
        assert_eq!(extract("lma extract a --no-cache").unwrap().disk_budget, None);
    }

    #[test]
    fn mount_options_are_those_of_a_read_only_mount() {
        let plan = mount("lma mount a d -o ro,nosuid,allow_other,fsname=x").unwrap();
        assert_eq!((plan.allow_other, plan.source_name.as_str()), (true, "x"));
        assert!(matches!(mount("lma mount a d -o rw"), Err(Error::Usage(_))));
        assert!(matches!(mount("lma mount - d"), Err(Error::Usage(_))));
    }
}
