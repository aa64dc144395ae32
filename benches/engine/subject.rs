//! The models that are measured: this machine's, and random ones in the shapes of well-known ones.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use lma::model::Location;
use tempfile::NamedTempFile;

use super::common::{self, Failure};
use super::gguf_support::requantise::requantise;
use super::gguf_support::{Architecture, Kind, Model, Shape, Weighting};

/// A GGUF file, removed when this is dropped if it was made here.
pub(super) enum ModelFile {
    /// Somebody's.
    Found(PathBuf),
    /// Ours.
    Made(NamedTempFile),
}

impl ModelFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Found(path) => path,
            Self::Made(file) => file.path(),
        }
    }
}

/// The model that this machine encodes with.
pub(super) fn preferred() -> Result<ModelFile, Failure> {
    match &common::registry().preferred()?.location {
        Location::File(path) => Ok(ModelFile::Found(path.clone())),
        Location::Builtin(builtin) => {
            let mut file = NamedTempFile::new()?;
            file.write_all(builtin.gguf)?;
            Ok(ModelFile::Made(file))
        }
    }
}

/// The preferred model, which must have Q5_0 matrices, with matrices of other types.
pub(super) fn requantised(weighting: Weighting) -> Result<ModelFile, Failure> {
    let original = preferred()?;
    if weighting == Weighting::Pure(Kind::Q5_0) {
        return Ok(original);
    }
    let file = NamedTempFile::new()?;
    requantise(original.path(), file.path(), weighting)?;
    Ok(ModelFile::Made(file))
}

/// What to measure with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// This machine's model.
    Default,
    /// [`Shape::LLAMA_16M`].
    Llama,
    /// [`Shape::SMOLLM2_135M`].
    Smollm,
}

impl Subject {
    const ALL: [Self; 3] = [Self::Default, Self::Llama, Self::Smollm];

    /// As options and tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Llama => "llama",
            Self::Smollm => "smollm",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == name);
        found.ok_or_else(|| format!("{name} is none of default, llama, smollm").into())
    }

    /// The file, made if need be.
    pub(super) fn file(self, weighting: Weighting) -> Result<ModelFile, Failure> {
        let (shape, tied) = match self {
            Self::Default => return requantised(weighting),
            Self::Llama => (Shape::LLAMA_16M, false),
            Self::Smollm => (Shape::SMOLLM2_135M, true),
        };
        let model = Model { architecture: Architecture::Llama, shape, weighting, tied, seed: 1 };
        let file = NamedTempFile::new()?;
        model.write(file.path())?;
        Ok(ModelFile::Made(file))
    }

    /// Parameters of `all` that take part in the products of each token: not an embedding that is
    /// looked up alone. (The default model's is its output matrix too.)
    pub(super) fn multiplied(self, all: u64) -> u64 {
        let Shape { width, vocabulary, .. } = Shape::LLAMA_16M;
        if self == Self::Llama { all - (width * vocabulary) as u64 } else { all }
    }
}

/// The weightings that an option lists.
pub(super) fn weightings(list: &str) -> Result<Vec<Weighting>, Failure> {
    let named = |name: &str| Weighting::named(name).ok_or_else(|| format!("{name} is no type of weights").into());
    list.split(',').map(named).collect()
}
