//! Archives whose chunks a model coded.

mod archive_support;

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;

use archive_support::*;
use lma::ExitCode;
use lma::archive::{CreateOptions, ExtractOptions, Input, cat, create, extract, extract_stream, extract_to_tar};
use lma::codec::Choice;
use lma::format::CodecId;
use lma::limits::Limits;
use lma::predict::Models;
use lma::predict::toy::{self, ToyModels};
use lma::progress::{Interrupt, Silent};

/// The codecs that need a model.
const CODECS: [CodecId; 2] = [CodecId::Lm, CodecId::Mix];

fn options(codec: CodecId, workers: usize) -> CreateOptions {
    let model = Some(Arc::new(toy::model()));
    CreateOptions { choice: Choice::Only(codec), model, workers, chunk_size: 4 << 10, ..CreateOptions::default() }
}

fn tree(root: &std::path::Path) {
    fs::create_dir(root).unwrap();
    for n in 0..12u64 {
        fs::write(root.join(format!("{n}.txt")), toy::text(200 * n as usize, n)).unwrap();
    }
    fs::write(root.join("long.txt"), toy::text(21_000, 77)).unwrap();
    fs::write(root.join("noise.bin"), noise(3000, 5)).unwrap();
}

#[test]
fn files_come_back_through_a_model() {
    CODECS.into_iter().for_each(come_back_through);
}

fn come_back_through(codec: CodecId) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, piped) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("piped"));
    tree(&from);
    let bytes = archive(&from, &options(codec, 1));
    assert!(bytes == archive(&from, &options(codec, 8)));
    let opened = reader(&bytes);
    assert_eq!(opened.models().len(), 1);
    assert!(opened.index().chunks.iter().any(|slot| slot.codec == codec));
    let (models, interrupt): (Arc<dyn Models>, _) = (Arc::new(ToyModels::new()), Interrupt::default());
    extract(&opened, &models, &extract_options(&to), &Silent, &interrupt).unwrap();
    assert_same(&from, &to);
    extract_stream(&bytes[..], &Limits::default(), &models, &extract_options(&piped), &Silent, &interrupt).unwrap();
    assert_same(&from, &piped);
}

#[test]
fn without_the_model_nothing_is_written() {
    CODECS.into_iter().for_each(not_written_without);
}

fn not_written_without(codec: CodecId) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    tree(&from);
    let bytes = archive(&from, &options(codec, 2));
    let (reader, interrupt) = (reader(&bytes), Interrupt::default());
    let mut out = Vec::new();
    let chosen = extract_options(&to);
    for error in [
        extract(&reader, &models(), &chosen, &Silent, &interrupt).unwrap_err(),
        extract_stream(&bytes[..], &Limits::default(), &models(), &chosen, &Silent, &interrupt).unwrap_err(),
        cat(&reader, &models(), &chosen, &mut out, &Silent, &interrupt).unwrap_err(),
        extract_to_tar(&reader, &models(), &chosen, &mut out, &Silent, &interrupt).unwrap_err(),
    ] {
        assert_eq!(error.exit_code(), ExitCode::Model, "{error}");
    }
    assert!(out.is_empty());
    assert!(!to.exists() || fs::read_dir(&to).unwrap().count() == 0);
    // What needs no model is there for the asking.
    let chosen = ExtractOptions { members: vec![b"noise.bin".to_vec()], ..chosen };
    extract(&reader, &models(), &chosen, &Silent, &interrupt).unwrap();
    extract_stream(&bytes[..], &Limits::default(), &models(), &chosen, &Silent, &interrupt).unwrap();
    assert_eq!(fs::read(to.join("noise.bin")).unwrap(), noise(3000, 5));
}

#[test]
fn a_model_that_no_chunk_needs_is_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("noise"), noise(50_000, 9)).unwrap();
    for codec in CODECS {
        let reader = reader(&archive(dir.path(), &options(codec, 3)));
        assert!(reader.models().is_empty());
    }
}

/// An output that fails behind so many bytes.
struct Failing(usize);

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("the output is full"));
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_anywhere_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    tree(&from);
    let bytes = archive(&from, &create_options(2));
    let inputs = [Input::within(&from, ".")];
    for room in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
        let made = create(Failing(room), &inputs, &create_options(2), &Silent, &Interrupt::default());
        assert_eq!(made.unwrap_err().exit_code(), ExitCode::Fatal);
        let reader = reader(&bytes);
        let done =
            extract_to_tar(&reader, &models(), &extract_options(&from), Failing(room), &Silent, &Interrupt::default());
        assert_eq!(done.unwrap_err().exit_code(), ExitCode::Fatal);
    }
}
