//! Finds GGUF files by their SHA-256. An archive never names a path.
//!
//! Searched in order: the embedded models, the file given with `--model`, the directories of
//! `LMA_MODEL_PATH`, the user's model directory, the Hugging Face cache, Ollama's blob stores. A
//! file's bytes are hashed before it counts as found, wherever a name already claims the digest;
//! only files of the right size are hashed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::builtin::{self, Builtin};
use super::digest_cache::DigestCache;
use crate::hash::Digest;
use crate::predict::PredictError;

/// First bytes of every GGUF file.
const MAGIC: [u8; 4] = *b"GGUF";

/// Where a model's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Embedded in this program.
    Builtin(&'static Builtin),
    /// A file.
    File(PathBuf),
}

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub location: Location,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl From<&'static Builtin> for Found {
    fn from(builtin: &'static Builtin) -> Self {
        Self { location: Location::Builtin(builtin), sha256: builtin.sha256, size: builtin.size() }
    }
}

impl Found {
    /// A name for people: the repository in a Hugging Face cache, the file's stem elsewhere.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.location {
            Location::Builtin(builtin) => builtin.name.into(),
            Location::File(path) => Self::name_of(path),
        }
    }

    fn name_of(path: &Path) -> String {
        let repository = path.components().find_map(|part| part.as_os_str().to_str()?.strip_prefix("models--"));
        match (repository, path.file_name().and_then(|name| name.to_str())) {
            (Some(repository), _) => repository.replace("--", "/"),
            (None, Some(name)) if name.starts_with("sha256-") => "ollama blob".into(),
            (None, Some(name)) => name.strip_suffix(".gguf").unwrap_or(name).into(),
            (None, None) => path.display().to_string(),
        }
    }
}

/// The places that are searched. Nothing is read from the environment but in
/// [`RegistryConfig::from_env`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// The file given with `--model`.
    pub explicit: Option<PathBuf>,
    /// Directories whose `*.gguf` files are models, and files that are.
    pub model_path: Vec<PathBuf>,
    /// The user's own model directory.
    pub user_dir: Option<PathBuf>,
    /// Hugging Face `hub` directories: `models--*/blobs/<sha256>`.
    pub huggingface: Vec<PathBuf>,
    /// Ollama `models` directories: `blobs/sha256-<hex>`.
    pub ollama: Vec<PathBuf>,
    /// The file that remembers digests.
    pub digest_cache: Option<PathBuf>,
}

impl RegistryConfig {
    /// The places of this user, from environment variables. Relative paths in `XDG_*` are ignored,
    /// as its specification asks.
    #[must_use]
    pub fn from_env(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let path = |name: &str| var(name).map(PathBuf::from);
        let home = path("HOME");
        let under_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let xdg = |name: &str, rest: &str| path(name).filter(|path| path.is_absolute()).or_else(|| under_home(rest));

        let cache = xdg("XDG_CACHE_HOME", ".cache");
        let hubs = [
            path("HF_HUB_CACHE"),
            path("HF_HOME").map(|home| home.join("hub")),
            cache.as_ref().map(|cache| cache.join("huggingface/hub")),
        ];
        let ollama =
            [path("OLLAMA_MODELS"), under_home(".ollama/models"), Some("/usr/share/ollama/.ollama/models".into())];
        Self {
            explicit: None,
            model_path: var("LMA_MODEL_PATH").map(|list| std::env::split_paths(&list).collect()).unwrap_or_default(),
            user_dir: xdg("XDG_DATA_HOME", ".local/share").map(|data| data.join("lma/models")),
            huggingface: hubs.into_iter().flatten().collect(),
            ollama: ollama.into_iter().flatten().collect(),
            digest_cache: cache.map(|cache| cache.join("lma/digests.json")),
        }
    }
}

/// A file that may be a model, and the digest that its name claims, if it claims one.
struct Candidate {
    path: PathBuf,
    claimed: Option<Digest>,
}

/// Finds models by digest. The default, [`Registry::default`], knows the embedded models alone.
#[derive(Debug, Default)]
pub struct Registry {
    config: RegistryConfig,
    digests: Mutex<DigestCache>,
}

impl Registry {
    /// A registry of the places in `config` and the embedded models.
    #[must_use]
    pub fn new(config: RegistryConfig) -> Self {
        let digests = Mutex::new(DigestCache::load(config.digest_cache.clone()));
        Self { config, digests }
    }

    /// The model to create archives with: the one given with `--model`, else [`builtin::DEFAULT`].
    ///
    /// # Errors
    /// As [`Registry::explicit`].
    pub fn preferred(&self) -> crate::Result<Found> {
        self.preferred_to(&builtin::DEFAULT)
    }

    /// The model given with `--model`, else this embedded one.
    ///
    /// # Errors
    /// As [`Registry::explicit`].
    pub fn preferred_to(&self, builtin: &'static Builtin) -> crate::Result<Found> {
        match &self.config.explicit {
            Some(path) => self.explicit(path),
            None => Ok(Found::from(builtin)),
        }
    }

    /// The model in the file at `path`, hashed; where there is none, the one whose [`Found::name`] that is.
    ///
    /// # Errors
    /// I/O, and [`PredictError::Unusable`] where there is neither, or more than one, or the file is not GGUF.
    pub fn explicit(&self, path: &Path) -> crate::Result<Found> {
        let mut magic = [0; MAGIC.len()];
        let unusable = |why: &str| PredictError::Unusable { path: path.display().to_string(), why: why.into() };
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Err(unusable("it is not a regular file").into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return self.named(&path.to_string_lossy()).map_err(|why| unusable(&why).into());
            }
            Err(error) => return Err(crate::Error::io("opening", path)(error)),
        }
        let mut file = File::open(path).map_err(crate::Error::io("opening", path))?;
        if file.read_exact(&mut magic).is_err() || magic != MAGIC {
            return Err(unusable("it is not a GGUF file").into());
        }
        let (sha256, size) = self.digest(path).map_err(crate::Error::io("hashing", path))?;
        Ok(Found { location: Location::File(path.into()), sha256, size })
    }

    /// The model of this name, its bytes hashed; else why not.
    fn named(&self, name: &str) -> Result<Found, String> {
        if let Some(builtin) = builtin::named(name) {
            return Ok(builtin.into());
        }
        let mut paths = self.candidates().map(|candidate| candidate.path);
        let mut next = || paths.find(|path| Found::name_of(path) == name && is_gguf(path));
        let Some(path) = next() else {
            return Err("there is no such file, and no model of that name (`lma models` lists all)".into());
        };
        if let Some(other) = next() {
            let (path, other) = (path.display(), other.display());
            return Err(format!("this is the name of {path} and of {other}: say which file"));
        }
        let (sha256, size) = self.digest(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Found { location: Location::File(path), sha256, size })
    }

    /// The model with this digest and size, its bytes hashed.
    #[must_use]
    pub fn find(&self, sha256: Digest, size: u64) -> Option<Found> {
        if let Some(builtin) = builtin::find(sha256).filter(|builtin| builtin.size() == size) {
            return Some(builtin.into());
        }
        let found = self.candidates().find(|candidate| {
            candidate.claimed.is_none_or(|claimed| claimed == sha256)
                && fs::metadata(&candidate.path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
                && self.digest(&candidate.path).is_ok_and(|actual| actual == (sha256, size))
        })?;
        Some(Found { location: Location::File(found.path), sha256, size })
    }

    /// All models in all places, each digest once, in order of search. Where a cache names a file by
    /// its digest, the name is believed here; [`Registry::find`] hashes the file.
    #[must_use]
    pub fn list(&self) -> Vec<Found> {
        let mut all: Vec<_> = builtin::ALL.into_iter().map(Found::from).collect();
        for Candidate { path, claimed } in self.candidates() {
            let found = match claimed {
                Some(sha256) if is_gguf(&path) => fs::metadata(&path).ok().map(|meta| Found {
                    size: meta.len(),
                    sha256,
                    location: Location::File(path),
                }),
                Some(_) => None,
                None => self.explicit(&path).ok(),
            };
            all.extend(found.filter(|found| all.iter().all(|known| known.sha256 != found.sha256)));
        }
        all
    }

    /// What to do about a model that was not found.
    #[must_use]
    pub fn missing_hint(&self) -> String {
        let dir = match &self.config.user_dir {
            Some(dir) => format!("put the GGUF file into {}", dir.display()),
            None => "set HOME".into(),
        };
        format!(
            "give it with --model FILE, {dir}, or name its directory in LMA_MODEL_PATH \
             (the Hugging Face and Ollama caches were searched too)"
        )
    }

    /// [`PredictError::Missing`] for the model that `record` names, with what to do.
    #[must_use]
    pub fn missing(&self, record: &crate::format::ModelRecord) -> PredictError {
        PredictError::Missing {
            name: record.name.clone(),
            sha256: record.sha256.to_string(),
            hint: format!("it is a GGUF file of {} bytes: {}{}", record.size, self.given(), self.missing_hint()),
        }
    }

    /// What became of the model that was given with `--model`, when another one was looked for.
    fn given(&self) -> String {
        match self.config.explicit.as_ref().map(|path| (path, self.explicit(path))) {
            None => String::new(),
            Some((path, Ok(found))) => format!("{} is another one, of {} bytes; ", path.display(), found.size),
            Some((_, Err(error))) => format!("{error}; "),
        }
    }

    fn digest(&self, path: &Path) -> std::io::Result<(Digest, u64)> {
        // A panic while hashing leaves the cache as whole as before it.
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).digest(path)
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate> + '_ {
        let config = &self.config;
        let explicit = config.explicit.iter().map(|path| Candidate { path: path.clone(), claimed: None });
        let dirs = config.model_path.iter().chain(&config.user_dir).flat_map(|place| gguf_files(place));
        let huggingface = config.huggingface.iter().flat_map(|hub| {
            let repositories = sorted_entries(hub).into_iter().filter(|path| file_name(path).starts_with("models--"));
            repositories.flat_map(|repository| blobs(&repository.join("blobs"), ""))
        });
        let ollama = config.ollama.iter().flat_map(|models| blobs(&models.join("blobs"), "sha256-"));
        explicit.chain(dirs).chain(huggingface).chain(ollama)
    }
}

/// The `*.gguf` files of a directory, or the file itself.
fn gguf_files(place: &Path) -> Vec<Candidate> {
    let paths = if place.is_file() {
        vec![place.to_path_buf()]
    } else {
        let is_gguf = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gguf"));
        sorted_entries(place).into_iter().filter(is_gguf).collect()
    };
    paths.into_iter().map(|path| Candidate { path, claimed: None }).collect()
}

/// The files of a content-addressed directory, whose names are `prefix` and 64 hexadecimal digits.
fn blobs(dir: &Path, prefix: &str) -> Vec<Candidate> {
    let claim = |path: PathBuf| {
        let claimed = Digest::from_hex(file_name(&path).strip_prefix(prefix)?)?;
        Some(Candidate { path, claimed: Some(claimed) })
    };
    sorted_entries(dir).into_iter().filter_map(claim).collect()
}

/// The paths in a directory in order; none where it cannot be read.
fn sorted_entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == MAGIC
}
