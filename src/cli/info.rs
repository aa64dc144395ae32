//! `lma info`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::args;
use super::context::Context;
use super::{input, list, units};
use crate::container::{Opened, Reader};
use crate::format::{CodecId, Entry, ModelRecord};
use crate::model::builtin;
use crate::{Result, escape};

/// What there is to know of an archive without decoding it.
struct Facts {
    archive_len: u64,
    index: Option<String>,
    models: Vec<ModelRecord>,
    codecs: BTreeMap<CodecId, Sum>,
    kinds: BTreeMap<&'static str, u64>,
    /// Bytes of regular files as `ls` shows them.
    logical: u64,
    largest_chunk: u32,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    chunks: u64,
    raw: u64,
    stored: u64,
}

/// Shows sizes, codecs and models. No chunk is decoded and no model loaded.
///
/// # Errors
/// Damage, I/O.
pub(super) fn run(args: args::Info, context: &Context) -> Result<()> {
    let reader = input::reader(&args.archive.into(), context)?;
    let entries = list::entries(&reader, context)?;
    let facts = Facts::new(&reader, &entries);
    context.stdout.print(|out| if args.json { writeln!(out, "{}", facts.as_json()) } else { facts.print(out) })
}

impl Facts {
    fn new(reader: &Reader, entries: &[Entry]) -> Self {
        let mut codecs = BTreeMap::<CodecId, Sum>::new();
        for slot in &reader.index().chunks {
            let sum = codecs.entry(slot.codec).or_default();
            sum.chunks += 1;
            sum.raw += u64::from(slot.raw_len);
            sum.stored += u64::from(slot.stored_len);
        }
        let mut kinds = BTreeMap::new();
        for entry in entries {
            *kinds.entry(list::kind(&entry.kind)).or_default() += 1;
        }
        Self {
            archive_len: reader.archive_len(),
            index: match reader.opened() {
                Opened::Index => None,
                Opened::Scan(why) => Some(why.clone()),
            },
            models: reader.models().to_vec(),
            codecs,
            kinds,
            logical: entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.size())),
            largest_chunk: reader.index().chunks.iter().map(|slot| slot.raw_len).max().unwrap_or(0),
        }
    }

    /// Bytes of models that a reader needs besides this program.
    fn models_besides(&self) -> u64 {
        self.models.iter().filter(|model| builtin::find(model.sha256).is_none()).map(|model| model.size).sum()
    }

    /// The archive and the models that must be kept with it: what the content really takes.
    fn model_adjusted(&self) -> u64 {
        self.archive_len.saturating_add(self.models_besides())
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let size = |count: u64| format!("{} ({count} bytes)", units::bytes(count));
        writeln!(out, "archive         {}", size(self.archive_len))?;
        writeln!(out, "files           {}", size(self.logical))?;
        let bits = units::bits_per_byte(self.archive_len, self.logical);
        writeln!(out, "ratio           {}, {bits:.3} bits per byte", units::percent(self.archive_len, self.logical))?;
        let besides = self.models_besides();
        if besides > 0 {
            let (adjusted, percent) =
                (size(self.model_adjusted()), units::percent(self.model_adjusted(), self.logical));
            writeln!(out, "with its models {adjusted}, {percent}: they must be kept to read the archive")?;
        }
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, &count)| units::count(count, kind)).collect();
        writeln!(out, "entries         {}", if kinds.is_empty() { "none".into() } else { kinds.join(", ") })?;
        writeln!(
            out,
            "index           {}",
            match &self.index {
                None => "whole".into(),
                Some(why) => format!("lost, the archive was scanned: {}", escape::message(why)),
            }
        )?;
        writeln!(out, "largest chunk   {}", size(self.largest_chunk.into()))?;
        for (codec, sum) in &self.codecs {
            let bits = units::bits_per_byte(sum.stored, sum.raw);
            let (raw, stored) = (units::bytes(sum.raw), units::bytes(sum.stored));
            let name = format!("codec {}", codec.name());
            let chunks = units::count(sum.chunks, "chunk");
            writeln!(out, "{name:<15} {chunks}, {raw} -> {stored}, {bits:.3} bits per byte")?;
        }
        self.models.iter().try_for_each(|model| print_model(model, out))
    }

    fn as_json(&self) -> Value {
        let codecs = self.codecs.iter().map(|(codec, sum)| {
            json!({
                "codec": codec.name(),
                "chunks": sum.chunks,
                "raw": sum.raw,
                "stored": sum.stored,
                "bits_per_byte": units::bits_per_byte(sum.stored, sum.raw),
            })
        });
        json!({
            "archive_len": self.archive_len,
            "files_len": self.logical,
            "bits_per_byte": units::bits_per_byte(self.archive_len, self.logical),
            "model_adjusted_len": self.model_adjusted(),
            "index": { "whole": self.index.is_none(), "why": self.index },
            "entries": self.kinds,
            "largest_chunk": self.largest_chunk,
            "codecs": codecs.collect::<Vec<_>>(),
            "models": self.models.iter().map(model_json).collect::<Vec<_>>(),
        })
    }
}

fn print_model(model: &ModelRecord, out: &mut dyn Write) -> io::Result<()> {
    let place = match builtin::find(model.sha256) {
        Some(_) => "built into this program",
        None => "needed to read the archive",
    };
    let (name, architecture) = (escape::message(&model.name), escape::message(&model.architecture));
    writeln!(out, "model {:<9} {name}, {architecture}, {}, {place}", model.number, units::bytes(model.size))?;
    writeln!(out, "  sha256        {}", model.sha256)?;
    writeln!(out, "  numerics      {}", escape::message(&model.numerics.0))?;
    writeln!(out, "  context       {}; {} in the vocabulary", model.context, model.vocab_size)
}

fn model_json(model: &ModelRecord) -> Value {
    json!({
        "number": model.number,
        "name": model.name,
        "architecture": model.architecture,
        "sha256": model.sha256.to_string(),
        "size": model.size,
        "builtin": builtin::find(model.sha256).is_some(),
        "vocab_size": model.vocab_size,
        "tokens": model.tokens.to_string(),
        "window": model.context.window,
        "overlap": model.context.overlap,
        "numerics": model.numerics.0,
        "canary": model.canary.to_string(),
    })
}
