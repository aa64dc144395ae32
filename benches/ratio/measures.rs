//! What was measured, and how to find it again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::Failure;
use super::common::classes::Class;
use super::common::peers::Cost;
use super::files::Sample;

/// One compressor on one file in blocks of one size: a line of the JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measure {
    /// Path in the corpus.
    pub(crate) file: String,
    pub(crate) class: Class,
    /// Bytes that were compressed.
    pub(crate) raw: u64,
    /// Whether the file is longer than that.
    pub(crate) cut: bool,
    /// Column of the table.
    pub(crate) compressor: String,
    /// Name and version of the program.
    pub(crate) version: String,
    /// Bytes in a block; absent: the file is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) block: Option<usize>,
    /// Compressed bytes.
    pub(crate) bytes: u64,
    /// Those of the compressed streams alone, without what an archive adds.
    pub(crate) payload: u64,
    /// Processor time to encode, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encode: Option<f64>,
    /// Processor time to decode, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decode: Option<f64>,
    /// How many chunks each codec made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) chunks: BTreeMap<String, usize>,
}

impl Measure {
    pub(crate) fn new(sample: &Sample, compressor: &str, version: &str, block: Option<usize>, cost: Cost) -> Self {
        Self {
            file: sample.name.clone(),
            class: sample.class,
            raw: sample.content.len() as u64,
            cut: sample.cut,
            compressor: compressor.to_owned(),
            version: version.to_owned(),
            block,
            bytes: cost.bytes,
            payload: cost.bytes,
            encode: cost.encode.as_ref().map(Duration::as_secs_f64),
            decode: cost.decode.as_ref().map(Duration::as_secs_f64),
            chunks: BTreeMap::new(),
        }
    }

    /// Bits per byte.
    pub(crate) fn bits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.raw.max(1) as f64
    }
}

/// A file that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) raw: u64,
    pub(crate) cut: bool,
}

/// All measurements of a report.
#[derive(Default)]
pub(crate) struct Measures {
    /// By compressor, block and file.
    found: BTreeMap<(String, Option<usize>, String), Measure>,
    /// In the order they came, then sorted by class.
    files: Vec<Measured>,
    /// Where each is written as it comes, one object a line.
    journal: Option<File>,
}

impl Measures {
    /// Writes what there is to `path`, and what will be added as it comes: a run that is cut short leaves what it had.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn journal(&mut self, path: &str) -> Result<(), Failure> {
        let mut file = File::create(path).map_err(|error| format!("{path}: {error}"))?;
        for measure in self.found.values() {
            write_line(&mut file, measure)?;
        }
        self.journal = Some(file);
        Ok(())
    }

    /// A later measurement of the same thing replaces the earlier one.
    ///
    /// # Errors
    /// The file was measured with another length before; the journal cannot be written.
    pub(crate) fn add(&mut self, measure: Measure) -> Result<(), Failure> {
        let Measure { file, class, raw, cut, .. } = measure.clone();
        match self.files.iter().find(|known| known.name == file) {
            Some(known) if known.raw != raw => {
                return Err(format!("{file} was measured with {raw} bytes and with {}", known.raw).into());
            }
            Some(_) => {}
            None => {
                self.files.push(Measured { name: file, class, raw, cut });
                self.files.sort_by_key(|file| file.class);
            }
        }
        if let Some(journal) = &mut self.journal {
            write_line(journal, &measure)?;
        }
        let key = (measure.compressor.clone(), measure.block, measure.file.clone());
        self.found.insert(key, measure);
        Ok(())
    }

    /// What was written before as JSON, one object a line; files separated by commas.
    ///
    /// # Errors
    /// A file cannot be read, a line is none of ours, two do not fit together.
    pub(crate) fn read(paths: &str) -> Result<Self, Failure> {
        let mut measures = Self::default();
        for path in paths.split(',') {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                measures.add(serde_json::from_str(line).map_err(|error| format!("{path}: {error}"))?)?;
            }
        }
        Ok(measures)
    }

    /// Files by class.
    pub(crate) fn files(&self) -> &[Measured] {
        &self.files
    }

    pub(crate) fn get(&self, compressor: &str, block: Option<usize>, file: &str) -> Option<&Measure> {
        self.found.get(&(compressor.to_owned(), block, file.to_owned()))
    }

    /// Bits per byte.
    pub(crate) fn bits(&self, compressor: &str, block: Option<usize>, file: &str) -> Option<f64> {
        self.get(compressor, block, file).map(Measure::bits)
    }

    /// Mean of the files' bits per byte, where all of them were measured.
    pub(crate) fn mean<'a>(
        &self,
        compressor: &str,
        block: Option<usize>,
        files: impl IntoIterator<Item = &'a str>,
    ) -> Option<f64> {
        let each: Option<Vec<f64>> = files.into_iter().map(|file| self.bits(compressor, block, file)).collect();
        each.filter(|each| !each.is_empty()).map(|each| each.iter().sum::<f64>() / each.len() as f64)
    }

    /// Whether anything of this compressor is here.
    pub(crate) fn has(&self, compressor: &str) -> bool {
        self.found.keys().any(|key| key.0 == compressor)
    }

    /// Block sizes, whole files last.
    pub(crate) fn blocks(&self) -> Vec<Option<usize>> {
        let mut blocks: Vec<Option<usize>> = self.found.keys().map(|key| key.1).collect();
        blocks.sort_unstable_by_key(|block| block.unwrap_or(usize::MAX));
        blocks.dedup();
        blocks
    }

    /// Programs with their versions.
    pub(crate) fn versions(&self) -> Vec<String> {
        let mut versions: Vec<String> = self.found.values().map(|measure| measure.version.clone()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

fn write_line(file: &mut File, measure: &Measure) -> Result<(), Failure> {
    Ok(file.write_all(format!("{}\n", serde_json::to_string(measure)?).as_bytes())?)
}
