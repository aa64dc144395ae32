//! Replays what the fuzzers start from and what they found: `fuzz/corpus/TARGET/`.

use std::fs;
use std::path::{Path, PathBuf};

use lma::codec::{self, Choice, Level};
use lma::format::CodecId;
use lma::predict::toy;

#[allow(unreachable_pub, reason = "the library of the fuzz package")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Runs a target on all committed inputs in the directories; names of 40 digits are a local fuzzer's own.
fn replay(target: fn(&[u8]), directories: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = |directory: &&str| {
        let files = fs::read_dir(root.join(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let mut files: Vec<PathBuf> = directories.iter().flat_map(list).collect();
    files.retain(|file| file.is_file() && file.file_name().is_some_and(|name| name.len() != 40));
    assert!(files.len() > 2, "the corpus is there");
    files.sort();
    for file in files {
        // The name of a failing input, for the output of the test.
        println!("{}", file.display());
        target(&fs::read(file).unwrap());
    }
    target(&[]);
}

#[test]
fn parser() {
    replay(targets::parser, &["fuzz/corpus/parser", "tests/vectors"]);
}

#[test]
fn open() {
    replay(targets::open, &["fuzz/corpus/open", "tests/vectors"]);
}

#[test]
fn repair() {
    replay(targets::repair, &["fuzz/corpus/repair"]);
}

#[test]
fn chunk() {
    replay(targets::chunk, &["fuzz/corpus/chunk"]);
}

#[test]
fn entropy() {
    replay(targets::entropy, &["fuzz/corpus/entropy"]);
}

#[test]
fn quantize() {
    replay(targets::quantize, &["fuzz/corpus/quantize"]);
}

#[test]
fn extract() {
    replay(targets::extract, &["fuzz/corpus/extract"]);
}

#[test]
fn roundtrip() {
    replay(targets::roundtrip, &["fuzz/corpus/roundtrip"]);
}

#[test]
fn mix() {
    replay(targets::mix, &["fuzz/corpus/mix"]);
}

#[test]
fn mount_ops() {
    replay(targets::mount_ops, &["fuzz/corpus/mount_ops"]);
}

/// Writes the archives and chunks that the fuzzers start from.
#[test]
#[ignore = "writes into the sources"]
fn write_seeds() {
    let write = |target: &str, number: usize, bytes: &[u8]| {
        let path = format!("{}/fuzz/corpus/{target}/seed-{number}", env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for (number, sample) in targets::samples().iter().enumerate() {
        ["parser", "open"].iter().for_each(|target| write(target, number, sample));
    }
    let text = toy::text(500, 3);
    let padded = [&text[..], &[b' '; 700]].concat();
    let codecs = [CodecId::Lm, CodecId::Zstd, CodecId::Store, CodecId::Cm, CodecId::Mix];
    for (number, codec) in codecs.into_iter().enumerate() {
        let encoded = codec::encode(&padded, Choice::Only(codec), Level::default(), Some(&toy::model())).unwrap();
        for (direction, len) in [(2, padded.len()), (3, 100)] {
            let [low, high] = (len as u16).to_le_bytes();
            let seed = [&[number as u8, 0, direction, low, high][..], &encoded.stored].concat();
            write("chunk", 10 + 2 * number + usize::from(direction == 3), &seed);
        }
        write("chunk", 20 + number, &[&[number as u8, 1, 0, 0][..], &text].concat());
    }
    mixing_seeds(&text).iter().enumerate().for_each(|(number, seed)| write("mix", number, seed));
}

/// Stored bytes of each kind, raw bytes of each sort, vocabularies and distributions.
fn mixing_seeds(text: &[u8]) -> Vec<Vec<u8>> {
    let heads: [&[u8]; 8] =
        [b"\0", b"\x01", b"\x02", b"\x03", b"\x04\x01", b"\x05\x0c", b"\x06\x03\x1e", b"\x07\x02\x02\0\x01"];
    let stored = codec::encode(text, Choice::Only(CodecId::Cm), Level::default(), None).unwrap().stored;
    let len = (text.len() as u16).to_le_bytes();
    let mut seeds: Vec<Vec<u8>> = heads.map(|head| [&[0], &len[..], head, &stored[1..]].concat()).to_vec();
    // Content as it is, repeated, of the toy, noise.
    let contents: [&[u8]; 4] =
        [b"\0\x20the words of a text, the text", b"\x01\x05again\x40\x03", b"\x02\x07\x90\x01", b"\x03\x05\x90\x01"];
    seeds.extend(contents.map(|content| [&[1], content].concat()));
    // All bytes or some; words; windows; distributions; the split; what is coded.
    let words: &[u8] = b"\x04\x04 the\x02of\x05 text\x03ing";
    let cdfs: &[u8] = b"\x01\x20\x03\xff\xff\xff\x7f\x01\0\0\0\x10\x27\0\0\x09\0\0\x01\x08\0\x03\0\0\0\x04";
    for (number, content) in contents.into_iter().enumerate() {
        seeds.push([&[3, number as u8 & 1], words, &[number as u8 * 20, 3], cdfs, content].concat());
        seeds.push([&[2, number as u8 & 1], words, &[62 - number as u8, 3], cdfs, &len, &[0], &stored].concat());
    }
    seeds
}
