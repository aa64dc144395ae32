//! Archives that were written once are read for ever. `tests/golden/make.sh` made them; the list of
//! SHA-256 digests beside them was made from the original files by another program.
#![cfg(feature = "llama")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lma::archive::ExtractOptions;
use lma::container::{FileSource, Opened, Reader, verify};
use lma::exact::KernelSet;
use lma::limits::Limits;
use lma::model::{EngineOptions, Engines, Registry, RegistryConfig};
use lma::predict::Models;
use lma::progress::{Interrupt, Silent};
use sha2::{Digest as _, Sha256};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn archives() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut archives: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "lma")).collect();
    archives.sort();
    assert!(archives.len() >= 6, "the golden archives are there");
    archives
}

/// `sha256sum`'s list for an archive named `NAME-CODEC.lma`: digest by path.
fn expected(archive: &Path) -> BTreeMap<String, String> {
    let name = archive.file_stem().unwrap().to_str().unwrap();
    let (name, _) = name.rsplit_once('-').unwrap();
    let list = fs::read_to_string(folder().join(format!("{name}.sha256"))).unwrap();
    list.lines().map(|line| line.split_once("  ").unwrap()).map(|(d, p)| (p.to_owned(), d.to_owned())).collect()
}

/// The tiny model is found by its digest alone, as a user's would be.
fn models() -> Arc<dyn Models> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let config = RegistryConfig { model_path: vec![data], ..RegistryConfig::default() };
    let options = EngineOptions { threads: 1, streams: 4, ..EngineOptions::default() };
    Arc::new(Engines::new(Registry::new(config), options))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_archives_are_read_for_ever() {
    let models = models();
    for archive in archives() {
        let name = archive.display().to_string();
        let source = Arc::new(FileSource::new(fs::File::open(&archive).unwrap()));
        let report = verify(source.clone(), &Limits::default(), &*models, 4, &Silent, &Interrupt::default()).unwrap();
        assert!(report.is_good(), "{name}: {report:?}");
        let reader = Arc::new(Reader::open(source, Limits::default()).unwrap());
        assert_eq!(*reader.opened(), Opened::Index, "{name}");
        let out = tempfile::tempdir().unwrap();
        let options = ExtractOptions { dest: out.path().to_owned(), ..ExtractOptions::default() };
        let outcome = lma::archive::extract(&reader, &models, &options, &Silent, &Interrupt::default()).unwrap();
        assert_eq!(outcome.warnings, 0, "{name}");
        for (path, digest) in expected(&archive) {
            assert_eq!(sha256(&fs::read(out.path().join(&path)).unwrap()), digest, "{name}: {path}");
        }
        let link = fs::read_link(out.path().join("golden/sub/link")).unwrap();
        assert_eq!(link, Path::new("../text.md"), "{name}");
        assert!(out.path().join("golden/sub/empty-dir").is_dir(), "{name}");
    }
}

#[test]
fn the_golden_lm_archive_is_refused_without_its_model() {
    let file = fs::File::open(folder().join("exact-1-lm.lma")).unwrap();
    let source = Arc::new(FileSource::new(file));
    let options = EngineOptions { threads: 1, streams: 1, ..EngineOptions::default() };
    let models = Engines::new(Registry::default(), options);
    let error = verify(source, &Limits::default(), &models, 1, &Silent, &Interrupt::default()).unwrap_err();
    assert_eq!(error.exit_code(), lma::ExitCode::Model, "{error}");
    assert!(error.to_string().contains("7f32dfa83de760e2"), "{error}");
}

/// What one set of kernels wrote, every set reads: for what all sets write is the same, byte for byte.
#[test]
#[cfg(feature = "cli")]
fn every_kernel_set_writes_and_reads_the_same_archive() {
    let lma = |kernel: KernelSet, args: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_lma"));
        command.env("LMA_KERNEL", kernel.name()).env("LMA_MODEL_PATH", "tests/data").args(args);
        command.assert().success().get_output().stdout.clone()
    };
    let args = ["create", "-", "--model", "tests/data/tiny.gguf", "--codec", "lm", "tests/golden/make.sh"];
    let archives: Vec<Vec<u8>> = KernelSet::all_available().map(|kernel| lma(kernel, &args)).collect();
    assert!(archives.iter().all(|archive| *archive == archives[0]));
    for kernel in KernelSet::all_available() {
        assert!(lma(kernel, &["test", "tests/golden/exact-1-lm.lma"]).starts_with(b"good: "), "{kernel:?}");
    }
}

#[test]
#[cfg(feature = "cli")]
fn a_kernel_set_that_is_not_there_is_refused() {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_lma"));
    let assert = command.env("LMA_KERNEL", "mmx").args(["test", "tests/golden/exact-1-lm.lma"]).assert();
    let error = String::from_utf8(assert.code(64).get_output().stderr.clone()).unwrap();
    assert!(error.contains("LMA_KERNEL is mmx"), "{error}");
}
