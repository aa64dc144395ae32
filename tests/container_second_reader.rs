//! The Rust writer's archives, and the test vectors, read by a second reader in Python that was written
//! from the specification alone.

mod container_common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use container_common::*;
use lma::format::{Entry, Extent, Kind};
use serde_json::{Value, json};

fn python(arguments: &[&OsStr]) -> Output {
    let run = Command::new("python3").env("PYTHONDONTWRITEBYTECODE", "1").args(arguments).output();
    run.unwrap_or_else(|error| panic!("these tests need python3 on the PATH (apt install python3): {error}"))
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn second_reader(arguments: &[&OsStr]) -> Output {
    let script = tests().join("reader/lma_reader.py");
    let arguments = [&[script.as_os_str()], arguments].concat();
    let output = python(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("FileNotFoundError"), "these tests need the zstd program (apt install zstd)");
    assert!(!stderr.contains("Traceback"), "{stderr}");
    output
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry in the second reader's words.
fn described(entry: &Entry) -> Value {
    let mut value = json!({
        "path": hex(&entry.path), "mode": entry.mode, "uid": entry.uid, "gid": entry.gid,
        "user": hex(&entry.user), "group": hex(&entry.group),
        "secs": entry.mtime.secs, "nanos": entry.mtime.nanos,
        "xattrs": entry.xattrs.iter().map(|x| json!([hex(&x.name), hex(&x.value)])).collect::<Vec<_>>(),
    });
    let extent = |extent: &Extent| match *extent {
        Extent::Data { chunk, offset, len } => json!(["data", chunk, offset, len]),
        Extent::Hole { len } => json!(["hole", len]),
    };
    let more = match &entry.kind {
        Kind::File(content) => json!({
            "kind": "file", "size": content.size, "digest": content.digest.to_string(), "decoded": true,
            "extents": content.extents.iter().map(extent).collect::<Vec<_>>(),
        }),
        Kind::Directory => json!({ "kind": "directory" }),
        Kind::Symlink(target) => json!({ "kind": "symlink", "target": hex(target) }),
        Kind::HardLink(target) => json!({ "kind": "hardlink", "target": hex(target) }),
        Kind::Fifo => json!({ "kind": "fifo" }),
        Kind::CharDevice { major, minor } => json!({ "kind": "chardevice", "major": major, "minor": minor }),
        Kind::BlockDevice { major, minor } => json!({ "kind": "blockdevice", "major": major, "minor": minor }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

#[test]
fn it_reads_what_the_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("varied", varied()), ("tiny", tiny()), ("empty", empty()), ("large", large())] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let output = second_reader(&[path.as_os_str()]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        let reader = open(&bytes).unwrap();
        let entries: Vec<Value> = reader.entries().unwrap().iter().map(described).collect();
        assert_eq!(read["entries"], Value::Array(entries), "{name}");
        let chunks = reader.index().chunks.iter().map(|slot| {
            json!({
                "number": slot.number, "position": slot.position, "codec": slot.codec as u8, "model": 0,
                "raw_len": slot.raw_len, "stored_len": slot.stored_len, "decoded": true,
            })
        });
        assert_eq!(read["chunks"], Value::Array(chunks.collect()), "{name}");
        let models = reader.models().iter().zip(&reader.index().models).map(|(model, slot)| {
            json!({
                "number": model.number, "position": slot.position, "sha256": model.sha256.to_string(),
                "size": model.size, "name": model.name, "architecture": model.architecture,
                "vocab_size": model.vocab_size, "tokens": model.tokens.to_string(),
                "window": model.context.window, "overlap": model.context.overlap,
                "numerics": model.numerics.0, "canary": model.canary.to_string(),
            })
        });
        assert_eq!(read["models"], Value::Array(models.collect()), "{name}");
    }
}

/// More entries than one batch holds, an index worth packing.
fn large() -> Vec<u8> {
    let mut writer = lma::container::Writer::new(Vec::new()).unwrap();
    for i in 0..50 {
        let raw = text(i, 100 + i);
        let codec = if i % 2 == 0 { lma::format::CodecId::Zstd } else { lma::format::CodecId::Store };
        let number = chunk(&mut writer, &raw, codec);
        let entries = (0..50).map(|j| file(&format!("{i}/{j}"), vec![data(number, j, 20)], &raw[j as usize..][..20]));
        writer.entries(&entries.collect::<Vec<_>>()).unwrap();
    }
    let links = (0..1500).map(|i| entry(&format!("links/{i}"), Kind::HardLink(format!("{}/7", i % 50).into_bytes())));
    writer.entries(&links.collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn it_judges_the_vectors_alike() {
    let files = std::fs::read_dir(tests().join("vectors")).unwrap().map(|file| file.unwrap().path());
    let vectors: Vec<PathBuf> = files.filter(|path| path.extension() == Some(OsStr::new("lma"))).collect();
    assert!(vectors.len() > 90, "the vectors are there");
    let arguments: Vec<&OsStr> =
        ["--judge".as_ref()].into_iter().chain(vectors.iter().map(|path| path.as_os_str())).collect();
    let output = second_reader(&arguments);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), vectors.len(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in lines.lines() {
        let (verdict, path) = line.split_once(' ').unwrap();
        let name = Path::new(path).file_name().unwrap().to_string_lossy();
        let expected = match name.split('-').next() {
            Some("good") => "good",
            Some("unsupported") => "unsupported",
            _ => "corrupt",
        };
        assert_eq!(verdict, expected, "{name}");
    }
}

#[test]
fn its_blake3_is_right() {
    assert!(python(&[tests().join("reader/blake3.py").as_os_str()]).status.success());
}
