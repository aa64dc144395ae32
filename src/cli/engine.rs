//! The one place that picks the concrete engine. Nothing is loaded before a chunk needs it.

use std::sync::Arc;

use super::plan::Machine;
use crate::codec::{Choice, Level};
use crate::format::ModelRecord;
use crate::model::{Registry, RegistryConfig};
use crate::predict::{LoadedModel, Models, PredictError};
use crate::progress::Interrupt;
use crate::{Error, Result};

/// The models of this machine, and what runs them.
pub(super) struct Engine {
    backend: Backend,
}

#[cfg(feature = "llama")]
use with_models as backend;
#[cfg(not(feature = "llama"))]
use without_models as backend;

use backend::Backend;

impl Engine {
    /// An engine of this user's models, which gives up when interrupted. Checks the device, loads nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] for a device that this build does not know.
    pub(super) fn new(machine: &Machine, interrupt: &Interrupt) -> Result<Self> {
        Ok(Self { backend: Backend::new(machine, interrupt)? })
    }

    /// Finds and loads models when an archive's chunks ask for them.
    pub(super) fn models(&self) -> Arc<dyn Models> {
        self.backend.models()
    }

    /// Whether a model that chunks may ask for is on this machine. Loads nothing.
    ///
    /// # Errors
    /// [`PredictError::Missing`].
    pub(super) fn search(&self, record: &ModelRecord) -> Result<(), PredictError> {
        self.backend.search(record)
    }

    /// The model to encode with; none where the choice of codecs and the level have no use for one.
    ///
    /// # Errors
    /// The model's: absent, unusable, or not reproduced here. [`Error::Refused`] where a model was
    /// asked for and this build runs none.
    pub(super) fn encoder(&self, choice: Choice, level: Level) -> Result<Option<Arc<LoadedModel>>> {
        if choice.uses_model(level) { self.backend.encoder(choice, level) } else { Ok(None) }
    }
}

/// This user's models, and the one given with `--model`.
pub(super) fn registry(model: Option<&std::path::Path>) -> Registry {
    let config = RegistryConfig::from_env(|name| std::env::var_os(name));
    Registry::new(RegistryConfig { explicit: model.map(Into::into), ..config })
}

#[cfg(feature = "llama")]
mod with_models {
    use super::{Arc, Choice, Error, Interrupt, Level, LoadedModel, Machine, ModelRecord, Models, PredictError};
    use super::{Result, registry};
    use crate::cli::args::{Device, Numerics};
    use crate::model::{Arithmetic, EngineOptions, Engines, KernelSet, builtin};

    /// Runs models through llama.cpp.
    pub(in crate::cli) struct Backend(Arc<Engines>);

    impl Backend {
        pub(in crate::cli) fn new(machine: &Machine, interrupt: &Interrupt) -> Result<Self> {
            let (name, built) = match machine.device {
                Device::Cpu => ("cpu", true),
                Device::Cuda => ("cuda", cfg!(feature = "cuda")),
                Device::Metal => ("metal", cfg!(feature = "metal")),
                Device::Vulkan => ("vulkan", cfg!(feature = "vulkan")),
            };
            if !built {
                let text = format!("this build of lma lacks --device {name}; build it with the feature `{name}`");
                return Err(Error::Usage(text));
            }
            let arithmetic = match (machine.device, machine.numerics) {
                (Device::Cpu, Numerics::Exact) => Arithmetic::Exact,
                (Device::Cpu, Numerics::Native) => Arithmetic::Reference,
                _ => Arithmetic::Gpu,
            };
            let kernels = KernelSet::from_env().map_err(Error::Usage)?;
            let (threads, streams) = (machine.threads, machine.streams);
            let options = EngineOptions { threads, streams, arithmetic, kernels, interrupt: interrupt.clone() };
            Ok(Self(Arc::new(Engines::new(registry(machine.model.as_deref()), options))))
        }

        pub(in crate::cli) fn models(&self) -> Arc<dyn Models> {
            Arc::clone(&self.0) as Arc<dyn Models>
        }

        pub(in crate::cli) fn search(&self, record: &ModelRecord) -> Result<(), PredictError> {
            let registry = self.0.registry();
            let found = registry.find(record.sha256, record.size);
            found.map(drop).ok_or_else(|| registry.missing(record))
        }

        pub(in crate::cli) fn encoder(&self, _: Choice, level: Level) -> Result<Option<Arc<LoadedModel>>> {
            let builtin = builtin::suited(level.has_small_model());
            Ok(Some(self.0.load(&self.0.registry().preferred_to(builtin)?)?))
        }
    }
}

#[cfg(not(feature = "llama"))]
mod without_models {
    use super::Result;
    use super::{Arc, Choice, Error, Interrupt, Level, LoadedModel, Machine, ModelRecord, Models, PredictError};
    use crate::cli::args::Device;
    use crate::predict::NoModels;

    /// Runs no models: archives are made and read with the other codecs.
    pub(in crate::cli) struct Backend {
        model_given: bool,
    }

    impl Backend {
        pub(in crate::cli) fn new(machine: &Machine, _: &Interrupt) -> Result<Self> {
            if machine.device == Device::Cpu {
                Ok(Self { model_given: machine.model.is_some() })
            } else {
                Err(Error::Usage("this build of lma runs no models, so --device has no use".into()))
            }
        }

        pub(in crate::cli) fn models(&self) -> Arc<dyn Models> {
            Arc::new(NoModels)
        }

        pub(in crate::cli) fn search(&self, record: &ModelRecord) -> Result<(), PredictError> {
            NoModels.open(record).map(drop)
        }

        pub(in crate::cli) fn encoder(&self, choice: Choice, _: Level) -> Result<Option<Arc<LoadedModel>>> {
            if choice == Choice::Auto && !self.model_given {
                return Ok(None);
            }
            Err(Error::Refused("this build of lma runs no models (it lacks the feature `llama`)".into()))
        }
    }
}
