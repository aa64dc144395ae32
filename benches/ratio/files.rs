//! The files to measure.

use std::path::{Path, PathBuf};

use super::common::classes::{Class, Classifier};
use super::common::{Arguments, Failure};

/// Text, structured text, source code, another language, and one program.
pub(crate) const TABLE: [&str; 13] = [
    "canterbury/alice29.txt",
    "canterbury/lcet10.txt",
    "calgary/book1",
    "silesia/dickens",
    "enwik/enwik6",
    "multilang/deu-freytag.txt",
    "tree/zlib.tar",
    "tree/json.tar",
    "json/twitter.json",
    "silesia/xml",
    "loghub/Hadoop_2k.log",
    "csv/birdstrikes.csv",
    "silesia/ooffice",
];

/// One file, cut to the limit.
pub(crate) struct Sample {
    /// Path in the corpus; that of media begins with `media/`.
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) content: Vec<u8>,
    /// Whether the file is longer.
    pub(crate) cut: bool,
}

/// The files to measure, in a folder of their own as well.
pub(crate) struct Files {
    folder: tempfile::TempDir,
    pub(crate) samples: Vec<Sample>,
    /// Bytes that were taken of longer files.
    pub(crate) limit: Option<usize>,
}

impl Files {
    /// What `--files`, `--limit`, `--corpus` and `--media` say.
    ///
    /// # Errors
    /// There is no such folder or no such file.
    pub(crate) fn choose(arguments: &Arguments) -> Result<Self, Failure> {
        let which = arguments.get("files").unwrap_or("quick");
        let asked = arguments.get("limit").map(|_| arguments.size("limit", "")).transpose()?;
        let limit = asked.or((which == "quick").then_some(256 << 10));
        let mut files = Self { folder: tempfile::tempdir()?, samples: Vec::new(), limit };
        let classifier = Classifier::new()?;
        if which != "none" {
            let corpus = arguments.corpus()?;
            let paths = match which {
                "quick" | "table" => {
                    TABLE.into_iter().map(PathBuf::from).filter(|p| corpus.join(p).is_file()).collect()
                }
                "all" => below(&corpus, 2)?,
                paths => paths.split(',').map(PathBuf::from).collect(),
            };
            for path in paths {
                let name = path.to_string_lossy().into_owned();
                files.add(&corpus.join(&path), &name, classifier.class(&name), limit)?;
            }
        }
        for kind in ["images", "audio"] {
            let Some(media) = arguments.get("media").map(|media| Path::new(media).join(kind)) else { break };
            // Absent media are left out; and a picture cut short is none, so only a limit that was asked for counts.
            for path in if media.is_dir() { below(&media, 1)? } else { Vec::new() } {
                let name = format!("media/{kind}/{}", path.display());
                files.add(&media.join(&path), &name, classifier.class(&name), asked)?;
            }
        }
        if files.samples.is_empty() {
            return Err("there are no files to measure".into());
        }
        files.samples.sort_by_key(|sample| sample.class);
        Ok(files)
    }

    fn add(&mut self, path: &Path, name: &str, class: Class, limit: Option<usize>) -> Result<(), Failure> {
        let mut content = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let whole = content.len();
        content.truncate(limit.unwrap_or(whole));
        let cut = content.len() < whole;
        let copy = self.folder.path().join(name);
        std::fs::create_dir_all(copy.parent().unwrap_or(self.folder.path()))?;
        std::fs::write(copy, &content)?;
        self.samples.push(Sample { name: name.to_owned(), class, content, cut });
        Ok(())
    }

    /// Where copies of the samples are, below this folder under their names.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Every file with content, at least so deep: the corpus's own notes, at its top, are none of it.
fn below(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(depth).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() && entry.metadata()?.len() > 0 {
            paths.push(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    Ok(paths)
}
