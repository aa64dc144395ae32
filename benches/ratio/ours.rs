//! Real archives, one of each file, with each of our codecs.

use std::collections::BTreeMap;
use std::sync::Arc;

use lma::archive::{self, CreateOptions, Input, default_chunk_size};
use lma::codec::{Choice, Level};
use lma::container::{MemorySource, Reader, verify};
use lma::format::{ChunkSlot, CodecId};
use lma::limits::Limits;
use lma::model::{Engines, builtin};
use lma::predict::{LoadedModel, Models};
use lma::progress::{Interrupt, Silent};

use super::common::peers::Cost;
use super::common::{Arguments, Failure, engines, parallel::side_by_side, times};
use super::files::{Files, Sample};
use super::measures::{Measure, Measures};

/// One way to choose codecs.
pub(crate) struct Ours {
    /// For `--codecs`, and the column of the table.
    pub(crate) name: &'static str,
    choice: Choice,
    /// Whether it uses a model.
    model: bool,
    /// For `--levels`; it has chunks of its own size.
    level: Option<u8>,
}

impl Ours {
    const fn codec(name: &'static str, choice: Choice, model: bool) -> Self {
        Self { name, choice, model, level: None }
    }

    const fn level(name: &'static str, level: u8) -> Self {
        Self { name, choice: Choice::Auto, model: level >= Level::FAST.get(), level: Some(level) }
    }

    /// The level; the default one where a codec was asked for.
    fn at(&self) -> Level {
        self.level.and_then(Level::new).unwrap_or_default()
    }

    /// Whether it makes chunks of this size.
    fn cuts(&self, chunk_size: usize) -> bool {
        self.level.is_none() || default_chunk_size(self.at()) as usize == chunk_size
    }
}

/// Those that there are; without `--codecs`, all that are measured by default.
pub(crate) const OURS: &[Ours] = &[
    Ours::codec("auto", Choice::Auto, true),
    Ours::codec("lm", Choice::Only(CodecId::Lm), true),
    Ours::codec("cm", Choice::Only(CodecId::Cm), false),
    Ours::codec("mix", Choice::Only(CodecId::Mix), true),
    Ours::codec("zstd", Choice::Only(CodecId::Zstd), false),
    Ours::level("-1", 1),
    Ours::level("-2", 2),
    Ours::level("-3", 3),
    Ours::level("-4", 4),
    Ours::level("-5", 5),
    Ours::level("-6", 6),
    Ours::level("-7", 7),
    Ours::level("-8", 8),
    Ours::level("-9", 9),
];

/// Measured only where asked for.
const ON_DEMAND: [&str; 1] = ["zstd"];

/// Archives that are made at the same time, so that files shorter than the lanes together fill them.
const TOGETHER: usize = 16;

/// What makes archives.
pub(crate) struct Lma {
    codecs: Vec<&'static Ours>,
    /// Where a codec needs models.
    engines: Option<Arc<Engines>>,
    /// The default one and the small one, if they are used.
    models: [Option<Arc<LoadedModel>>; 2],
    streams: usize,
    decode: bool,
    alone: bool,
}

impl Lma {
    /// # Errors
    /// There is no such codec; the model's.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let levels = arguments.get("levels").map(levels).transpose()?.unwrap_or_default();
        let mut codecs: Vec<&Ours> = match arguments.get("codecs") {
            None if !levels.is_empty() => Vec::new(),
            None => OURS.iter().filter(|ours| ours.level.is_none() && !ON_DEMAND.contains(&ours.name)).collect(),
            Some(names) => {
                let codecs = || OURS.iter().filter(|ours| ours.level.is_none());
                let find = |name: &str| codecs().find(|ours| ours.name == name);
                let known = || codecs().map(|ours| ours.name).collect::<Vec<_>>().join(", ");
                let find = |name: &str| find(name).ok_or_else(|| format!("{name} is no codec: {}", known()));
                names.split(',').map(find).collect::<Result<_, _>>()?
            }
        };
        codecs.extend(OURS.iter().filter(|ours| ours.level.is_some_and(|level| levels.contains(&level))));
        let streams = arguments.size("streams", "16")?;
        let threads = arguments.threads()?;
        let engines = codecs.iter().any(|ours| ours.model).then(|| engines(threads, streams));
        let load = |small: bool| {
            let used = codecs.iter().any(|ours| ours.model && ours.at().has_small_model() == small);
            let Some(engines) = engines.as_ref().filter(|_| used) else { return Ok::<_, Failure>(None) };
            Ok(Some(engines.load(&engines.registry().preferred_to(builtin::suited(small))?)?))
        };
        let models = [load(false)?, load(true)?];
        Ok(Self {
            codecs,
            engines,
            models,
            streams,
            decode: !arguments.has("no-decode"),
            alone: arguments.has("alone"),
        })
    }

    /// Every codec on every file. Times are those of the files of a class together, by their lengths, because they
    /// share the model's lanes; `--alone`: of each file by itself. What `measures` has is not measured again.
    ///
    /// # Errors
    /// Archives cannot be made, or are damaged.
    pub(crate) fn measure(&self, files: &Files, chunk_size: usize, measures: &mut Measures) -> Result<(), Failure> {
        for ours in self.codecs.iter().filter(|ours| ours.cuts(chunk_size)) {
            let together = |a: &Sample, b: &Sample| !self.alone && a.class == b.class;
            for batch in files.samples.chunk_by(together) {
                if batch.iter().all(|sample| measures.get(ours.name, Some(chunk_size), &sample.name).is_some()) {
                    continue;
                }
                for measure in self.batch(ours, files, batch, chunk_size)? {
                    measures.add(measure)?;
                }
            }
        }
        Ok(())
    }

    /// The model that the product would encode with.
    fn model(&self, ours: &Ours) -> Option<Arc<LoadedModel>> {
        self.models[usize::from(ours.at().has_small_model())].clone().filter(|_| ours.model)
    }

    fn batch(&self, ours: &Ours, files: &Files, batch: &[Sample], chunk_size: usize) -> Result<Vec<Measure>, Failure> {
        let version = version(self.model(ours).as_deref());
        let before = times::own();
        let make = |number: usize| self.create(ours, files, &batch[number], chunk_size);
        let archives = side_by_side(batch.len(), TOGETHER, make)?;
        let encode = times::own() - before;
        let lengths: Vec<u64> = archives.iter().map(|archive| archive.len() as u64).collect();
        let sources: Vec<_> = archives.into_iter().map(|archive| Arc::new(MemorySource(archive))).collect();
        let before = times::own();
        if self.decode {
            let check = |number: usize| self.verify(&sources[number], &batch[number]);
            side_by_side(sources.len(), TOGETHER, check)?;
        }
        let decode = times::own() - before;
        let total = batch.iter().map(|sample| sample.content.len()).sum::<usize>() as f64;
        let mut measures = Vec::new();
        for ((sample, source), bytes) in batch.iter().zip(&sources).zip(lengths) {
            let share = sample.content.len() as f64 / total;
            let decode = self.decode.then(|| decode.mul_f64(share));
            let cost = Cost { bytes, encode: Some(encode.mul_f64(share)), decode };
            let measure = Measure::new(sample, ours.name, &version, Some(chunk_size), cost);
            let slots = Reader::open(Arc::clone(source) as _, Limits::default())?.index().chunks.clone();
            let payload = slots.iter().map(|slot| u64::from(slot.stored_len)).sum();
            measures.push(Measure { payload, chunks: chunks(&slots), ..measure });
        }
        Ok(measures)
    }

    fn create(&self, ours: &Ours, files: &Files, sample: &Sample, chunk_size: usize) -> Result<Vec<u8>, Failure> {
        let options = CreateOptions {
            chunk_size: u32::try_from(chunk_size)?,
            choice: ours.choice,
            level: ours.at(),
            model: self.model(ours),
            workers: self.streams,
            ..CreateOptions::default()
        };
        let mut out = Vec::new();
        let inputs = [Input::within(files.folder(), &sample.name)];
        archive::create(&mut out, &inputs, &options, &Silent, &Interrupt::default())?;
        Ok(out)
    }

    fn verify(&self, source: &Arc<MemorySource>, sample: &Sample) -> Result<(), Failure> {
        let (source, limits): (Arc<MemorySource>, _) = (Arc::clone(source), Limits::default());
        let models: &dyn Models = match &self.engines {
            Some(engines) => &**engines,
            None => &lma::predict::NoModels,
        };
        let report = verify(source, &limits, models, self.streams, &Silent, &Interrupt::default())?;
        if report.is_good() {
            Ok(())
        } else {
            Err(format!("the archive of {} is damaged: {report:?}", sample.name).into())
        }
    }
}

fn version(model: Option<&LoadedModel>) -> String {
    let model = model.map(|model| format!(" with {}", model.record.name));
    format!("lma {}{}", env!("CARGO_PKG_VERSION"), model.unwrap_or_default())
}

/// `1-9`, or `1,3,6`.
fn levels(text: &str) -> Result<Vec<u8>, Failure> {
    let level = |text: &str| {
        let level = text.parse().ok().and_then(Level::new);
        level.map(Level::get).ok_or_else(|| format!("{text} is no level: 1 to 9"))
    };
    let mut levels = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        levels.extend(level(first)?..=level(last)?);
    }
    Ok(levels)
}

/// How many chunks of an archive each codec made.
fn chunks(slots: &[ChunkSlot]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for slot in slots {
        *counts.entry(format!("{:?}", slot.codec).to_lowercase()).or_insert(0) += 1;
    }
    counts
}
