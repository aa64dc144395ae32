//! What a second implementation is checked against: `tests/data/mix/`, which `write_vectors` writes.
//!
//! Each file has one item a line, and says in its first line what its columns are. Numbers are
//! hexadecimal unless said otherwise.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::coder::BitCoder;
use super::contexts::{Contexts, Expected};
use super::head::Head;
use super::history::History;
use super::maths::{LIMIT, Maths};
use super::model::{Alone, Hint, Model};
use super::progress::Progress;
use super::start::Start;
use super::transform::detect::Kind;
use super::transform::x86::Mode;
use super::walk::{self, Masses};
use super::{adaptive, cm, state};
use crate::entropy::Garbage;
use crate::predict::toy::{self, ToyPredictor};
use crate::predict::{Feed, Predictor};

const TEXT: &[u8] = b"The lma text of this sample has words, words that come again, and numbers: 10, 100, 1000.\n\
    name,size,mode\nalpha,100,0644\nbeta,1000,0755\ngamma,10,0644\n\
    The text of this sample has words that come again, the same words as before. \xc3\x89t\xc3\xa9, \xe2\x82\xac 5, \xff.\n";

/// Records of 12 bytes: a number that counts, noise, a slowly growing one, zeros.
fn records() -> Vec<u8> {
    let mut random = 7u32;
    let record = |n: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (random >> 16) as u16;
        [&(1000 + 3 * n).to_le_bytes()[..], &noise.to_le_bytes(), &(n as u16 / 4).to_be_bytes(), &[0; 4]].concat()
    };
    (0..26).flat_map(record).collect()
}

/// Calls of two functions among other instructions.
fn x86() -> Vec<u8> {
    let code = |n: u32| {
        let to = if n.is_multiple_of(3) { 0x4000u32 } else { 0x1234 };
        let distance = to.wrapping_sub(17 * n + 10).to_le_bytes();
        let operand = (0x800 - 17 * n).to_le_bytes();
        [&[0x48, 0x89, 0xd8 + (n % 4) as u8, 0x50, 0x90, 0xe8][..], &distance, &[0x48, 0x8b, 0x05], &operand].concat()
    };
    (0..20).flat_map(code).collect()
}

fn arm64() -> Vec<u8> {
    let code = |n: u32| [0xa9bf_7bfd, 0x9400_0400 - 4 * n, 0x9000_0003 | n << 29, 0xd65f_03c0].map(u32::to_le_bytes);
    [&[1, 2][..], &(0..20).flat_map(code).flatten().collect::<Vec<u8>>()].concat()
}

/// Rows of 30 bytes, with pixels of 3.
fn image() -> Vec<u8> {
    (0..300u32).map(|n| (40 * (n % 3) + 5 * (n % 30 / 3) + 3 * (n / 30) + n * n % 5) as u8).collect()
}

/// Samples of 16 bits in two channels, by integers alone.
fn audio() -> Vec<u8> {
    let wave = |n: i32, period: i32| (n % period - period / 2).pow(2) * 20_000 / period.pow(2) - 2000;
    (0..80).flat_map(|n| [wave(n, 20) as i16, wave(n, 33) as i16].map(i16::to_le_bytes)).flatten().collect()
}

struct Sample {
    name: &'static str,
    head: Head,
    raw: Vec<u8>,
}

/// A chunk of every kind.
fn samples() -> Vec<Sample> {
    let sample = |name, kind, raw: &[u8]| Sample { name, head: Head::of(kind), raw: raw.to_vec() };
    let sound = |big_endian| Kind::Audio { channels: 2, bytes: 2, big_endian, phase: 0 };
    let dictionary = Head { dictionary: true, ..Head::PLAIN };
    vec![
        sample("empty", Kind::Plain, b""),
        sample("text", Kind::Plain, TEXT),
        sample("binary", Kind::Plain, &records()),
        Sample { name: "dictionary", head: dictionary, raw: TEXT.to_vec() },
        sample("x86-protected", Kind::X86 { mode: Mode::Protected }, &x86()),
        sample("x86-long", Kind::X86 { mode: Mode::Long }, &x86()),
        sample("arm64", Kind::Arm64 { phase: 2 }, &arm64()),
        sample("records", Kind::Records { stride: 12 }, &records()),
        sample("image", Kind::Image { pixel: 3, stride: 30 }, &image()),
        sample("audio-little", sound(false), &audio()),
        sample("audio-big", sound(true), &audio()),
        sample("audio-24", Kind::Audio { channels: 1, bytes: 3, big_endian: true, phase: 1 }, &audio()),
        sample("audio-8", Kind::Audio { channels: 1, bytes: 1, big_endian: false, phase: 0 }, &audio()),
    ]
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".into() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

/// Keeps decisions as they are coded.
#[derive(Default)]
struct Decisions(Vec<(i32, bool)>);

impl BitCoder for Decisions {
    fn code(&mut self, p: i32, bit: bool) -> Result<bool, Garbage> {
        self.0.push((p, bit));
        Ok(bit)
    }
}

impl Decisions {
    fn line(&mut self, out: &mut String, bytes: &[u8]) {
        out.push_str(&hex(bytes));
        for (p, bit) in self.0.drain(..) {
            write!(out, " {p:04x}:{}", u8::from(bit)).unwrap();
        }
        out.push('\n');
    }
}

const DECISIONS: &str = "# bytes, then of each decision: the probability of a 1 (of 65536), and what it was\n";

/// `cm`, byte by byte. Of the kinds that are transformed first, what is modelled is listed.
fn decisions(sample: &Sample) -> String {
    let Sample { head, raw, .. } = sample;
    let start = Start::get();
    let known = head.dictionary.then(|| start.dictionary());
    let mut model = Model::of_kind(head.kind, start.learnt(*head).clone(), raw.len(), known);
    let (mut out, mut decisions) = (DECISIONS.to_owned(), Decisions::default());
    for &byte in raw {
        model.code_byte(&mut decisions, byte, Hint::default(), &mut Alone).unwrap();
        decisions.line(&mut out, &[byte]);
    }
    out
}

/// `mix` with the toy model that lacks `x` and 0xff, leaf by leaf.
fn mixed() -> String {
    let table = Arc::new(toy::table(b"x\xff"));
    let mut predictor = ToyPredictor::new(1, 1000, Arc::clone(&table));
    let mut model = Model::new(true, Start::get().mix().clone(), TEXT.len());
    let (mut out, mut decisions, mut sums) = (DECISIONS.to_owned(), Decisions::default(), Vec::new());
    let mut history = vec![table.start()];
    let mut leaves = table.greedy(TEXT).into_iter().peekable();
    while leaves.peek().is_some() {
        let newest = &history[history.len() - 1..];
        let feed = Feed { lane: 0, restart: (history.len() == 1).then_some(0), tokens: newest, outputs: 1 };
        let mut next = None;
        let mut sink = |_: usize, cdf: &crate::entropy::Cdf| {
            assert!(table.tree().cumulate(cdf, &mut sums));
            let mut masses = Masses { tree: table.tree(), sums: &sums, maths: Maths::get() };
            let previous = [1, 2].map(|n| history.len().checked_sub(n).map_or(0, |at| history[at]));
            // Bytes that are no tokens are under the same distribution as the next token.
            while let (None, Some(leaf)) = (next, leaves.next()) {
                let bytes = leaf.map_or_else(|byte| vec![byte], |token| table.bytes(token).to_vec());
                walk::code(&mut masses, &mut model, &mut decisions, &bytes, previous, bytes.len()).unwrap();
                decisions.line(&mut out, &bytes);
                next = leaf.ok();
            }
        };
        predictor.step(&[feed], &mut sink).unwrap();
        history.extend(next);
    }
    out
}

/// Tables, by digest.
fn tables() -> String {
    let maths = Maths::get();
    let mut out = "# table, values (decimal), BLAKE3 of them as little-endian 16 bits, or of bytes\n".to_owned();
    let mut put = |name: &str, values: &mut dyn Iterator<Item = i32>| {
        let bytes: Vec<[u8; 2]> = values.map(|value| (value as i16).to_le_bytes()).collect();
        writeln!(out, "{name} {} {}", bytes.len(), blake3::hash(bytes.as_flattened())).unwrap();
    };
    put("squash", &mut (-LIMIT..LIMIT).map(|logit| maths.squash(logit)));
    put("stretch", &mut (0..65536).step_by(16).map(|p| maths.stretch(p)));
    put("soft", &mut (0..LIMIT).map(|logit| maths.soft(-logit)));
    put("log", &mut (1..65536).map(|mass| maths.log(mass)));
    put("reciprocals", &mut adaptive::RECIPROCALS.iter().map(|&value| i32::from(value)));
    for bit in [0, 1] {
        let next = &state::ALL.next[bit][..state::STATES];
        put(["next-0", "next-1"][bit], &mut next.iter().map(|&state| i32::from(state)));
        let rates = &state::ALL.after[bit][..state::STATES];
        put(["rate-0", "rate-1"][bit], &mut rates.iter().map(|&after| (after >> 16) as i32));
    }
    for name in ["learnt-1", "dictionary-1"] {
        let packed = std::fs::read(format!("{}/model/start/{name}.zst", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let file = zstd::bulk::decompress(&packed, 4 << 20).unwrap();
        writeln!(out, "{name} {} {}", file.len(), blake3::hash(&file)).unwrap();
    }
    out
}

fn states() -> String {
    let mut out = "# state, zeros, ones, last, next after a 0, after a 1; all decimal\n".to_owned();
    for (number, h) in state::ALL.history[..state::STATES].iter().enumerate() {
        let [zero, one] = [0, 1].map(|bit| state::ALL.next[bit][number]);
        writeln!(out, "{number} {} {} {} {zero} {one}", h.zeros, h.ones, h.last).unwrap();
    }
    out
}

/// The contexts of the first bytes of each kind.
fn contexts() -> String {
    let mut out = "# kind, bytes before (decimal), place, hashes of the contexts\n".to_owned();
    for Sample { name, head, raw } in samples() {
        let (mut contexts, mut history) = (Contexts::new(head.kind), History::default());
        for (at, &byte) in raw.iter().take(72).enumerate() {
            // Any match: it is not the contexts that look for it.
            let expected = Expected { byte: at as u32 * 7 % 513, length: at as u32 % 9 };
            let hashes = contexts.hashes(&history, expected).map(|hash| format!("{hash:08x}"));
            if at % 3 == 1 {
                writeln!(out, "{name} {at} {:x} {}", contexts.place, hashes.join(" ")).unwrap();
            }
            history.push(byte);
        }
    }
    out
}

/// Stored chunks: `tests/codec_vectors.rs` decodes them.
fn chunks() -> String {
    let mut out = "# name, codec, raw bytes, stored bytes\n".to_owned();
    for Sample { name, head, raw } in samples() {
        let (stored, _) = cm::encode(&raw, head, Start::get());
        writeln!(out, "{name} cm {} {}", hex(&raw), hex(&stored)).unwrap();
    }
    let toy = toy::text(500, 11);
    for (name, raw) in
        [("mixed-empty", &b""[..]), ("mixed-text", TEXT), ("mixed-toy", &toy), ("mixed-binary", &records())]
    {
        let stored = super::encode_mix(&toy::model(), raw, &Progress::at_most(usize::MAX)).unwrap().unwrap();
        writeln!(out, "{name} mix {} {}", hex(raw), hex(&stored)).unwrap();
    }
    out
}

/// Those that pin the model, by name.
fn files() -> Vec<(String, String)> {
    let mut files = vec![("tables".to_owned(), tables()), ("states".into(), states()), ("contexts".into(), contexts())];
    files.push(("decisions-mix".into(), mixed()));
    for sample in samples().iter().filter(|sample| ["text", "binary", "dictionary", "image"].contains(&sample.name)) {
        files.push((format!("decisions-{}", sample.name), decisions(sample)));
    }
    files
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/mix").join(name).with_extension("txt")
}

#[test]
fn the_model_is_that_of_the_vectors() {
    for (name, now) in files() {
        let then = std::fs::read_to_string(path(&name)).unwrap_or_default();
        let differ = now.lines().zip(then.lines()).position(|(now, then)| now != then);
        assert!(
            now == then,
            "{name}: {} lines for {}, the first that differs is {differ:?}",
            now.lines().count(),
            then.lines().count()
        );
    }
}

/// The chunks that the specification describes, and their digests there (§16).
#[test]
fn the_specification_has_these_digests() {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/spec/mix-codec.md")).unwrap();
    let raw: Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
    for (channels, bytes, big_endian) in [(1, 2, true), (2, 1, false)] {
        let head = Head::of(Kind::Audio { channels, bytes, big_endian, phase: 0 });
        let (stored, _) = cm::encode(&raw, head, Start::get());
        let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        let digest = hex(&Sha256::digest(&stored));
        let row = format!(
            "| `{}` | {}, `{}...` | `{digest}` |",
            bytes(&stored[..5]).trim_end(),
            stored.len(),
            bytes(&stored[..12])
        );
        assert!(spec.contains(&row), "the specification has no {row}");
    }
    let soft: Vec<u8> = (0..LIMIT).flat_map(|i| (Maths::get().soft(-i) as u16).to_le_bytes()).collect();
    let row = format!("| SOFT | `{}` |", hex(&Sha256::digest(&soft)));
    assert!(spec.contains(&row), "the specification has no {row}");
}

#[test]
#[ignore = "writes into the sources: where the format changes"]
fn write_vectors() {
    for (name, now) in files().into_iter().chain([("chunks".to_owned(), chunks())]) {
        std::fs::create_dir_all(path(&name).parent().unwrap()).unwrap();
        std::fs::write(path(&name), now).unwrap();
    }
}
