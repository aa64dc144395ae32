//! What kind of content a file has, by its path in the corpus.

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::Failure;

/// A kind of content, with a mean of its own in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Class {
    English,
    Code,
    Structured,
    Tables,
    Languages,
    Binaries,
    Images,
    Audio,
}

impl Class {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::English,
        Self::Code,
        Self::Structured,
        Self::Tables,
        Self::Languages,
        Self::Binaries,
        Self::Images,
        Self::Audio,
    ];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::English => "English prose",
            Self::Code => "source code",
            Self::Structured => "structured text",
            Self::Tables => "tables and logs",
            Self::Languages => "other languages",
            Self::Binaries => "binaries",
            Self::Images => "images",
            Self::Audio => "audio",
        }
    }

    /// Whether people write or read it as characters.
    pub(crate) fn is_text(self) -> bool {
        !matches!(self, Self::Binaries | Self::Images | Self::Audio)
    }
}

/// Patterns of paths; the first that matches decides. The corpus's own files come first, then what other folders
/// may hold, by extension.
const PATTERNS: [(Class, &[&str]); 18] = [
    (Class::English, &["canterbury/{alice29,asyoulik,lcet10,plrabn12}.txt", "calgary/{book1,book2,news,paper?}"]),
    (Class::English, &["large/{bible,world192}.txt", "silesia/dickens", "enwik/*", "snappy/Mark.Twain-Tom.Sawyer.txt"]),
    (Class::Code, &["canterbury/{fields.c,grammar.lsp}", "calgary/prog?", "tree/*.tar"]),
    (Class::Structured, &["canterbury/{cp.html,xargs.1}", "calgary/bib", "silesia/xml", "snappy/html"]),
    (Class::Structured, &["csv/*.json", "json/*"]),
    (Class::Tables, &["loghub/*", "csv/*.{csv,tsv}", "calgary/trans", "snappy/urls.10K"]),
    (Class::Languages, &["multilang/*", "silesia/reymont"]),
    (Class::Binaries, &["canterbury/{kennedy.xls,ptt5,sum}", "calgary/{geo,obj?,pic}", "silesia/ooffice"]),
    (Class::Binaries, &["snappy/{fireworks.jpeg,geo.protodata,kppkn.gtb,mapsdatazrh,paper-100k.pdf}"]),
    (Class::Images, &["media/images/*", "*.{bmp,ppm,pgm,pnm,tif,tiff,tga}"]),
    (Class::Audio, &["media/audio/*", "*.{wav,aif,aiff,au}"]),
    (Class::Code, &["*.{c,h,cc,cpp,hpp,rs,py,js,ts,go,java,rb,pl,sh,lisp,lsp,el,hs,ml,cs,swift,kt,sql,css}"]),
    (Class::Structured, &["*.{json,ndjson,jsonl,xml,html,htm,xhtml,svg,yaml,yml,toml}"]),
    (Class::Tables, &["*.{csv,tsv,log}"]),
    (Class::English, &["*.{txt,md,rst,tex}"]),
    (Class::Code, &["**/{Makefile,CMakeLists.txt}"]),
    (Class::Structured, &["*.{ini,cfg,conf}"]),
    (Class::Binaries, &["*"]),
];

/// The table of patterns, compiled.
pub(crate) struct Classifier {
    patterns: GlobSet,
    /// By pattern.
    classes: Vec<Class>,
}

impl Classifier {
    /// # Errors
    /// A pattern is wrong.
    pub(crate) fn new() -> Result<Self, Failure> {
        let (mut patterns, mut classes) = (GlobSetBuilder::new(), Vec::new());
        for (class, group) in PATTERNS {
            for pattern in group {
                patterns.add(Glob::new(pattern)?);
                classes.push(class);
            }
        }
        Ok(Self { patterns: patterns.build()?, classes })
    }

    /// The class of the file at this path, relative to the corpus.
    pub(crate) fn class(&self, path: &str) -> Class {
        let first = self.patterns.matches(path).into_iter().min();
        first.map_or(Class::Binaries, |number| self.classes[number])
    }
}
