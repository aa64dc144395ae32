//! Archives whose chunks a model coded.

mod archive_support;

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;

use archive_support::*;
use lma::ExitCode;
use lma::archive::{CreateOptions, ExtractOptions, Input, cat, create, extract, extract_stream, extract_to_tar};
use lma::cache::DiskCache;
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

/// The files of a disk cache that hold chunks.
fn kept(cache: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = walkdir::WalkDir::new(cache).into_iter().filter_map(Result::ok);
    files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

#[test]
fn what_the_cache_holds_needs_no_model() {
    CODECS.into_iter().for_each(from_the_cache);
}

fn from_the_cache(codec: CodecId) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, kept_in) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("cache"));
    tree(&from);
    let reader = reader(&archive(&from, &options(codec, 2)));
    let (toys, interrupt): (Arc<dyn Models>, _) = (Arc::new(ToyModels::new()), Interrupt::default());
    let with = |budget| {
        let disk = DiskCache::open(&kept_in, budget).unwrap().archive_of(&reader);
        ExtractOptions { disk, ..extract_options(&to) }
    };
    let content = |models: &Arc<dyn Models>, budget| {
        let mut out = Vec::new();
        cat(&reader, models, &with(budget), &mut out, &Silent, &interrupt).map(|_| out)
    };

    // Neither an extraction nor a selection that is large beside the budget fills the cache.
    extract(&reader, &toys, &with(1 << 30), &Silent, &interrupt).unwrap();
    extract_to_tar(&reader, &toys, &with(1 << 30), io::sink(), &Silent, &interrupt).unwrap();
    let expected = content(&toys, 100 << 10).unwrap();
    assert!(kept(&kept_in).is_empty());

    assert!(content(&toys, 1 << 30).unwrap() == expected);
    assert!(kept(&kept_in).len() >= 5);
    assert!(content(&models(), 1 << 30).unwrap() == expected);
    fs::remove_dir_all(&to).unwrap();
    extract(&reader, &models(), &with(1 << 30), &Silent, &interrupt).unwrap();
    assert_same(&from, &to);
    extract_to_tar(&reader, &models(), &with(1 << 30), io::sink(), &Silent, &interrupt).unwrap();

    // What seemed to be there and was not is decoded, for which the model is missing, or is not.
    for (missing, ok) in [(models(), false), (toys, true)] {
        let damaged = &kept(&kept_in)[0];
        fs::write(damaged, "damaged").unwrap();
        match content(&missing, 1 << 30) {
            Ok(content) => assert!(ok && content == expected),
            Err(error) => assert!(!ok && error.exit_code() == ExitCode::Model, "{error}"),
        }
    }
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

#[test]
fn a_model_is_recorded_where_that_pays() {
    let plain = |chunk_size| CreateOptions { chunk_size, ..CreateOptions::default() };
    let with = |chunk_size| CreateOptions { model: Some(Arc::new(toy::model())), ..plain(chunk_size) };
    let (mut with_a_model, mut without) = (0, 0);
    for (len, chunk_size) in [(60, 65536), (150, 65536), (300, 65536), (5000, 65536), (30_000, 65536), (30_000, 4096)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("text"), toy::text(len, 3)).unwrap();
        let archived = archive(dir.path(), &with(chunk_size));
        assert!(archived.len() <= archive(dir.path(), &plain(chunk_size)).len(), "{len} bytes");
        let reader = reader(&archived);
        let coded = reader.index().chunks.iter().any(|slot| slot.codec == CodecId::Mix);
        assert_eq!(coded, reader.models().len() == 1, "{len} bytes");
        *if coded { &mut with_a_model } else { &mut without } += 1;
    }
    assert!(with_a_model >= 2 && without >= 2, "{with_a_model} with, {without} without");
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
