//! Every archive of tests/vectors against the table in its README.md.

mod container_common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use container_common::*;
use lma::container::{ContainerError, Parser, verify};
use lma::format::FormatError;
use lma::limits::Limits;
use lma::predict::NoModels;
use lma::progress::{Interrupt, Silent};

#[derive(Debug)]
struct Vector {
    file: String,
    verdict: String,
    by: String,
    bytes: Vec<u8>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn vectors() -> Vec<Vector> {
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("README.md is there");
    let rows = readme.lines().filter(|line| line.contains(".lma |"));
    let vector = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let bytes = std::fs::read(folder().join(cells[0])).expect("each vector of the table is there");
        Vector { file: cells[0].into(), verdict: cells[1].into(), by: cells[2].into(), bytes }
    };
    rows.map(vector).collect()
}

fn class(error: &ContainerError) -> &'static str {
    match error {
        ContainerError::Format { error, .. } | ContainerError::Structure(error) => match error {
            FormatError::Corrupt { .. } => "corrupt",
            FormatError::Unsupported { .. } => "unsupported",
            FormatError::Limit { .. } => "limit",
        },
        error if error.is_damage() => "corrupt",
        _ => "another error",
    }
}

fn by_stream(bytes: &[u8]) -> Result<(), ContainerError> {
    let mut parser = Parser::new(Limits::default());
    parser.push(bytes);
    while parser.next_event()?.is_some() {}
    parser.finish()
}

/// Opens through the index and reads everything but the chunks' content.
fn by_index(bytes: &[u8]) -> Result<(), ContainerError> {
    let reader = open(bytes)?;
    for slot in &reader.index().chunks {
        reader.stored(slot.number)?;
    }
    reader.entries().map(drop)
}

#[test]
fn the_table_lists_every_vector() {
    let listed: BTreeSet<_> = vectors().into_iter().map(|vector| vector.file).collect();
    let there = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<_> = there.filter(|name| name.ends_with(".lma")).collect();
    assert_eq!(listed, there);
    assert!(listed.len() > 90);
    for vector in vectors() {
        let prefix = match &vector.verdict[..] {
            "good" => "good-",
            "unsupported" => "unsupported-",
            _ => "bad-",
        };
        assert!(vector.file.starts_with(prefix), "{}", vector.file);
    }
}

#[test]
fn every_vector_is_read_or_rejected_where_the_table_says() {
    let mut wrong = Vec::new();
    for Vector { file, verdict, by, bytes } in vectors() {
        let outcome = |result: Result<(), ContainerError>| match result {
            Ok(()) => "good".to_owned(),
            Err(error) => class(&error).to_owned(),
        };
        let actual = (outcome(by_stream(&bytes)), outcome(by_index(&bytes)));
        let expected = match &by[..] {
            "stream and index" => (verdict.clone(), verdict.clone()),
            "stream" => (verdict.clone(), "good".into()),
            _ => ("good".into(), "good".into()),
        };
        if actual != expected {
            let errors = (by_stream(&bytes).err(), by_index(&bytes).err());
            wrong.push(format!("{file}: expected {expected:?}, is {actual:?}: {errors:?}"));
        }
        let verified = verify(source(&bytes), &Limits::default(), &NoModels, 2, &Silent, &Interrupt::default());
        let good = verified.as_ref().is_ok_and(|report| report.is_good());
        let fatal = verified.as_ref().is_err_and(|error| error.exit_code() == lma::ExitCode::Fatal);
        if good != (verdict == "good") || fatal != (verdict == "unsupported" || verdict == "limit") {
            wrong.push(format!("{file}: verified as {verified:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
