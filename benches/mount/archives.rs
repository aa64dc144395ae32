//! The archives and images that are mounted, made once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Effort;
use super::common::{Arguments, Failure};
use super::live::LMA;
use lma::model::builtin;

/// Entries of the tree of names, its directories and links among them, its own root not.
pub(crate) const ENTRIES: usize = DIRS * (1 + PARTS * (1 + FILES));
/// Directories at its top.
pub(crate) const DIRS: usize = 90;
/// Directories in each of those.
pub(crate) const PARTS: usize = 10;
/// Files in each of those.
pub(crate) const FILES: usize = 110;

/// Files that are read by many at once.
pub(crate) const CROWD: usize = 16;
/// Directories of names that nobody has asked for.
pub(crate) const IDLE_DIRS: usize = 50;
/// Files in each of those.
pub(crate) const IDLE_FILES: usize = 20;

/// English text of the corpus: enough for all that is decoded slowly.
const TEXTS: [&str; 3] = ["silesia/dickens", "large/bible.txt", "large/world192.txt"];

/// Where they are. What could not be made is not there.
pub(crate) struct Archives {
    folder: PathBuf,
    /// Bytes in one chunk of the archive of texts.
    pub(crate) chunk: usize,
    /// The tree of names: as an archive, as a squashfs image, as a tar file.
    pub(crate) names: PathBuf,
    pub(crate) names_squash: Option<PathBuf>,
    pub(crate) names_tar: Option<PathBuf>,
    /// Texts that the built-in model has compressed: `text.txt` is one large file, `many/00` to `many/15` have the length
    /// of a chunk each, `idle` holds names.
    pub(crate) texts: PathBuf,
    /// One large file, `big`, compressed with zstd.
    pub(crate) big: PathBuf,
}

impl Archives {
    /// Makes those that are missing and that some part needs.
    ///
    /// # Errors
    /// A program's; a folder that cannot be written; there is no corpus.
    pub(crate) fn open(arguments: &Arguments, effort: &Effort, parts: &[&str]) -> Result<Self, Failure> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mount-cache");
        let folder = arguments.get("cache").map_or(default, PathBuf::from);
        fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let (kind, chunk) = if effort.quick { ("quick", 16 << 10) } else { ("full", 64 << 10) };
        let mut archives = Self {
            chunk,
            names: folder.join("names.lma"),
            names_squash: None,
            names_tar: None,
            // Of the model of now: archives of an earlier one cannot be read.
            texts: folder.join(format!("texts-{kind}-{:.8}.lma", builtin::DEFAULT.sha256.to_string())),
            big: folder.join(format!("big-{kind}.lma")),
            folder,
        };
        if parts.contains(&"names") {
            archives.names()?;
        }
        if parts.iter().any(|&part| part != "names") {
            archives.texts(&arguments.corpus()?)?;
        }
        if parts.contains(&"whole") {
            archives.big(&arguments.corpus()?, if effort.quick { 32 << 20 } else { 128 << 20 })?;
        }
        Ok(archives)
    }

    /// A folder for what a part makes itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn names(&mut self) -> Result<(), Failure> {
        let (squash, tar) = (self.folder.join("names.squashfs"), self.folder.join("names.tar"));
        if !self.names.exists() {
            let tree = tempfile::tempdir_in(&self.folder)?;
            let root = tree.path().join("tree");
            for (dir, part) in (0..DIRS).flat_map(|dir| (0..PARTS).map(move |part| (dir, part))) {
                fs::create_dir_all(root.join(format!("dir-{dir:02}/part-{part}")))?;
                for file in 0..FILES {
                    fs::write(root.join(name(dir, part, file)), format!("{dir} {part} {file}\n"))?;
                }
            }
            let at = tree.path();
            // Those that are not installed leave nothing behind.
            let _ = made(Command::new("mksquashfs").current_dir(at).args(["tree", "image", "-quiet", "-no-progress"]));
            let _ = fs::rename(at.join("image"), &squash);
            let _ = made(Command::new("tar").current_dir(at).args(["cf", "tar", "tree"]));
            let _ = fs::rename(at.join("tar"), &tar);
            self.create(&self.names, at, &["-1"], "tree")?;
        }
        self.names_squash = Some(squash).filter(|path| path.exists());
        self.names_tar = Some(tar).filter(|path| path.exists());
        Ok(())
    }

    fn texts(&self, corpus: &Path) -> Result<(), Failure> {
        if self.texts.exists() {
            return Ok(());
        }
        let mut text = Vec::new();
        for name in TEXTS {
            text.extend(fs::read(corpus.join(name)).map_err(|error| format!("{name}: {error}"))?);
        }
        let tree = tempfile::tempdir_in(&self.folder)?;
        let root = tree.path().join("texts");
        fs::create_dir_all(root.join("many"))?;
        let (first, rest) = text.split_at(self.chunk * CROWD);
        fs::write(root.join("text.txt"), first)?;
        // Other text for each, so that no two are the same chunk.
        for (number, part) in rest.chunks(rest.len() / CROWD).take(CROWD).enumerate() {
            fs::write(root.join(many(number)), &part[..self.chunk])?;
        }
        for dir in 0..IDLE_DIRS {
            fs::create_dir_all(root.join(format!("idle/{dir:02}")))?;
            (0..IDLE_FILES).try_for_each(|file| fs::write(root.join(idle(dir, file)), ""))?;
        }
        let chunk = self.chunk.to_string();
        self.create(&self.texts, tree.path(), &["--chunk-size", &chunk], "texts")
    }

    fn big(&self, corpus: &Path, len: usize) -> Result<(), Failure> {
        if self.big.exists() {
            return Ok(());
        }
        let mut data = Vec::new();
        for name in ["silesia/xml", "silesia/dickens", "json/twitter.json", "silesia/ooffice"] {
            data.extend(fs::read(corpus.join(name)).map_err(|error| format!("{name}: {error}"))?);
        }
        let data: Vec<u8> = data.iter().copied().cycle().take(len).collect();
        let tree = tempfile::tempdir_in(&self.folder)?;
        fs::write(tree.path().join("big"), data)?;
        self.create(&self.big, tree.path(), &["--codec", "zstd"], "big")
    }

    /// Runs `lma create` in a folder; the archive appears when it is whole.
    fn create(&self, archive: &Path, at: &Path, options: &[&str], input: &str) -> Result<(), Failure> {
        eprintln!("making {}", archive.display());
        let part = at.join("archive.part");
        made(Command::new(LMA).current_dir(at).arg("create").args(options).arg(&part).arg(input))?;
        Ok(fs::rename(part, archive)?)
    }
}

/// Path of a file in the tree of names, below the tree.
pub(crate) fn name(dir: usize, part: usize, file: usize) -> String {
    format!("dir-{dir:02}/part-{part}/file-{file:03}.txt")
}

/// Path of a file that is read by many, below `texts`.
pub(crate) fn many(number: usize) -> String {
    format!("many/{number:02}.txt")
}

/// Path of an idle name, below `texts`.
pub(crate) fn idle(dir: usize, file: usize) -> String {
    format!("idle/{dir:02}/{file:02}")
}

/// Runs a program that says nothing unless it fails.
fn made(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdout(Stdio::null()).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
