//! The command line as pure data: what was typed, not yet what it means. `plan` validates it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::level::{self, LevelFlags};
use super::units::parse_size;

/// Archives compressed with language models.
#[derive(Debug, Parser)]
#[command(name = "lma", version, max_term_width = 100, propagate_version = true, arg_required_else_help = true)]
#[command(args_override_self = true)]
#[command(after_help = "Exit codes: 0 done, 1 done with warnings, 2 failed, 3 the archive is damaged, \
    4 the model is missing or its probabilities are not reproduced here, 64 wrong usage, 130 interrupted.\n\
    An ARCHIVE of - is standard input or output.")]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an archive of files and directories
    #[command(visible_alias = "c", after_help = level::HELP)]
    Create(Create),
    /// Extract all or some members of an archive
    #[command(visible_alias = "x")]
    Extract(Extract),
    /// List the members of an archive
    #[command(visible_alias = "ls")]
    List(List),
    /// Write the content of members to standard output
    Cat(Cat),
    /// Decode the whole archive and check every digest
    #[command(visible_alias = "t")]
    Test(Test),
    /// Save what is intact in a damaged archive into a new one
    Recover(Recover),
    /// Show sizes, codecs and models of an archive
    Info(Info),
    /// Mount an archive as a read-only directory
    Mount(Mount),
    /// Unmount a mounted archive
    #[command(visible_alias = "umount")]
    Unmount(Unmount),
    /// List the models that this machine has
    Models(ModelList),
    /// Show or clear the decoded chunks that are kept on disk
    Cache(Cache),
    /// Write a completion script for a shell to standard output
    Completions(Completions),
    /// Write manual pages into a directory
    Man(Man),
}

/// How chatty to be.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Chatter {
    /// Name each member on standard error as it is worked on
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// No progress bar, no summary; warnings and errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
}

/// Where computing happens.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Machine {
    /// A GGUF model file, or the name of a model that `lma models` lists
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    pub(super) device: Device,
    /// Threads to compute with [default: one per core]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Chunks that the model encodes or decodes together: more is faster, and fewer are taken where their
    /// states would not fit into 2 GiB [default: 8 for each thread, at most 256]
    #[arg(long, value_name = "N")]
    pub(super) streams: Option<usize>,
}

/// What becomes of chunks that were decoded.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct DiskCache {
    /// Neither use nor keep decoded chunks in this user's cache directory
    #[arg(long)]
    pub(super) no_cache: bool,
}

/// A compute device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Device {
    /// The processor
    #[default]
    Cpu,
    /// An NVIDIA graphics card (builds with the `cuda` feature)
    Cuda,
    /// An Apple graphics processor (builds with the `metal` feature)
    Metal,
    /// Any graphics card with Vulkan (builds with the `vulkan` feature)
    Vulkan,
}

/// How a model's probabilities are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Numerics {
    /// Specified to the bit: archives decode on every machine
    #[default]
    Exact,
    /// llama.cpp's own kernels: archives decode on machines like this one, and nowhere else
    Native,
}

/// Which codecs may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Codec {
    /// The smallest of those that the level allows, chunk by chunk
    #[default]
    Auto,
    /// No compression
    Store,
    /// zstd; no model is needed, then or later
    Zstd,
    /// Context mixing; no model is needed, then or later
    Cm,
    /// The language model
    Lm,
    /// The language model and context mixing
    Mix,
}

/// Which members.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Selection {
    /// Members, each with all beneath it [default: everything]
    #[arg(value_name = "MEMBER")]
    pub(super) members: Vec<OsString>,
    /// Read members from FILE, one on each line; - is standard input
    #[arg(short = 'T', long, value_name = "FILE")]
    pub(super) files_from: Vec<PathBuf>,
    /// Names in --files-from end with NUL instead of newline
    #[arg(long, requires = "files_from")]
    pub(super) null: bool,
    /// Leave out what matches this shell pattern, with all beneath it
    #[arg(long, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The archive to write; - is standard output
    pub(super) archive: PathBuf,
    /// Files and directories
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "from_tar"])]
    pub(super) paths: Vec<PathBuf>,
    /// Take paths relative to this directory
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Read paths from FILE, one on each line; - is standard input
    #[arg(short = 'T', long, value_name = "FILE")]
    pub(super) files_from: Vec<PathBuf>,
    /// Names in --files-from end with NUL instead of newline
    #[arg(long, requires = "files_from")]
    pub(super) null: bool,
    /// Take the members of a tar file instead; - is standard input
    #[arg(long, value_name = "TAR", conflicts_with_all = ["paths", "files_from", "directory"])]
    pub(super) from_tar: Option<PathBuf>,
    /// Leave out what matches this shell pattern, with all beneath it
    #[arg(long, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,
    /// Leave out .git, .svn and the like
    #[arg(long)]
    pub(super) exclude_vcs: bool,
    /// Stay on the file system of each path
    #[arg(long)]
    pub(super) one_file_system: bool,
    /// Which codecs may be used
    #[arg(long, value_enum, default_value_t)]
    pub(super) codec: Codec,
    #[command(flatten)]
    pub(super) level: LevelFlags,
    /// Bytes in a chunk, for example 64K: larger is smaller and makes random access slower
    /// [default: 64K; 128K at -7, 256K at -1 and -8, 1M at -9]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) chunk_size: Option<u64>,
    /// How the model's probabilities are computed
    #[arg(long, value_enum, default_value_t)]
    pub(super) numerics: Numerics,
    #[command(flatten)]
    pub(super) machine: Machine,
    #[command(flatten)]
    pub(super) chatter: Chatter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Extract {
    /// The archive; - is standard input
    pub(super) archive: PathBuf,
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Extract beneath this directory, which is made if need be
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(super) directory: PathBuf,
    /// Drop this many leading components of every path
    #[arg(long, value_name = "N", default_value_t)]
    pub(super) strip_components: usize,
    /// Leave files that exist alone
    #[arg(short = 'k', long)]
    pub(super) keep_old: bool,
    /// Restore exact modes, owners, all attributes and devices
    #[arg(short = 'p', long)]
    pub(super) preserve: bool,
    /// Restore owners by number
    #[arg(long)]
    pub(super) numeric_owner: bool,
    /// Write the content of files to standard output
    #[arg(short = 'O', long, conflicts_with_all = ["to_tar", "strip_components", "keep_old", "preserve"])]
    pub(super) to_stdout: bool,
    /// Write a tar file instead; - is standard output
    #[arg(long, value_name = "TAR", conflicts_with_all = ["directory", "keep_old"])]
    pub(super) to_tar: Option<PathBuf>,
    #[command(flatten)]
    pub(super) disk: DiskCache,
    #[command(flatten)]
    pub(super) machine: Machine,
    #[command(flatten)]
    pub(super) chatter: Chatter,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The archive; - is standard input
    pub(super) archive: PathBuf,
    /// Members, each with all beneath it [default: everything]
    #[arg(value_name = "MEMBER")]
    pub(super) members: Vec<OsString>,
    /// Mode, owner, size and time (UTC) too
    #[arg(short, long, conflicts_with_all = ["json", "null"])]
    pub(super) long: bool,
    /// One JSON object on each line, with all metadata
    #[arg(long, conflicts_with = "null")]
    pub(super) json: bool,
    /// Names as they are, each ended by NUL
    #[arg(short = '0', long)]
    pub(super) null: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Cat {
    /// The archive; - is standard input
    pub(super) archive: PathBuf,
    /// Members
    #[arg(value_name = "MEMBER", required = true)]
    pub(super) members: Vec<OsString>,
    #[command(flatten)]
    pub(super) disk: DiskCache,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The archive; - is standard input
    pub(super) archive: PathBuf,
    /// The findings as a JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) machine: Machine,
    #[command(flatten)]
    pub(super) chatter: Chatter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    /// The damaged archive; - is standard input
    pub(super) bad: PathBuf,
    /// The archive to write; - is standard output
    pub(super) good: PathBuf,
    /// What was saved and lost as a JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) chatter: Chatter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Info {
    /// The archive; - is standard input
    pub(super) archive: PathBuf,
    /// The same as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Mount {
    /// The archive, a file
    pub(super) archive: PathBuf,
    /// An empty directory
    pub(super) mountpoint: PathBuf,
    /// Stay in the foreground until unmounted
    #[arg(short, long)]
    pub(super) foreground: bool,
    /// Most bytes of decoded chunks kept in memory
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) cache_size: Option<u64>,
    /// Serve only what was decoded before; reading anything else is an error
    #[arg(long)]
    pub(super) offline: bool,
    /// Serve no byte before its whole chunk is decoded and its digest checked
    #[arg(long)]
    pub(super) strict: bool,
    /// Offer a hidden file .lma-status in the root, with counters of the mount as JSON
    #[arg(long)]
    pub(super) status: bool,
    /// How long a read may wait before it fails
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(super) timeout: u64,
    /// Most bytes of decoded chunks kept on disk, of all archives together [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "no_cache")]
    pub(super) disk_cache: Option<u64>,
    #[command(flatten)]
    pub(super) disk: DiskCache,
    /// Let other users look
    #[arg(long)]
    pub(super) allow_other: bool,
    /// Mount options, separated by commas: allow_other, offline, strict, status, fsname=NAME; ro and the like are
    /// always so
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = ',')]
    pub(super) options: Vec<String>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unmount {
    /// The directory
    pub(super) mountpoint: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct ModelList {
    /// One JSON object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// A GGUF model file to list too
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Cache {
    /// Remove them, of all archives
    #[arg(long)]
    pub(super) clear: bool,
    /// What there is, or was, as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The directory, which is made if need be
    pub(super) directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn aliases_are_known() {
        for line in ["lma x a", "lma ls a", "lma t a", "lma c a b", "lma umount d"] {
            Args::try_parse_from(line.split(' ')).unwrap();
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "lma create a",
            "lma create a b --from-tar -",
            "lma extract a -O --to-tar -",
            "lma create a b --null",
            "lma create a b -q -v",
            "lma create a b --codec best",
            "lma create a b -0",
            "lma extract a -9",
            "lma create a b --chunk-size many",
            "lma cat a",
            "lma mount a d --no-cache --disk-cache 1G",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
