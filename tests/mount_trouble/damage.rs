//! Bits that rot in the chunks of an archive: every byte that is read is right, or the read fails with `EIO`, and
//! only what needs a rotten chunk fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lma::format::{Extent, Kind};

use super::mount_support::scene::{Random, Scene, need};
use super::{contents, plant};

const PAGE: usize = 4096;

/// A file, and for each of its pages whether a rotten chunk has bytes in it.
struct Marked {
    name: String,
    bytes: Vec<u8>,
    rotten: Vec<bool>,
}

/// Which pages of which files need one of these chunks.
fn mark(scene: &Scene, rotten: &BTreeSet<u64>) -> Vec<Marked> {
    let entries = scene.reader("a.lma").entries().unwrap();
    let mut all = Vec::new();
    for (name, bytes) in contents(&scene.original()) {
        let entry = entries.iter().find(|entry| entry.path == name.as_bytes()).unwrap();
        let Kind::File(content) = &entry.kind else { panic!("{name}") };
        let mut pages = vec![false; bytes.len().div_ceil(PAGE)];
        let mut start = 0;
        for extent in &content.extents {
            let (chunk, len) = match *extent {
                Extent::Data { chunk, len, .. } => (Some(chunk), len as usize),
                Extent::Hole { len } => (None, len as usize),
            };
            if chunk.is_some_and(|chunk| rotten.contains(&chunk)) {
                pages[start / PAGE..=(start + len - 1) / PAGE].fill(true);
            }
            start += len;
        }
        assert_eq!(start, bytes.len());
        all.push(Marked { name, bytes, rotten: pages });
    }
    all
}

/// Reads the pages of all files in an order of its own; how many could not be read.
fn read_pages(root: &Path, files: &[Marked], seed: u64) -> usize {
    let mut order: Vec<_> = files.iter().flat_map(|f| (0..f.rotten.len()).map(move |page| (f, page))).collect();
    match seed {
        0 => {}
        1 => order.reverse(),
        seed => Random(seed).shuffle(&mut order),
    }
    let mut lost = 0;
    for (file, page) in order {
        let end = file.bytes.len().min((page + 1) * PAGE);
        let expected = &file.bytes[page * PAGE..end];
        let mut found = vec![0; expected.len()];
        match File::open(root.join(&file.name)).unwrap().read_exact_at(&mut found, (page * PAGE) as u64) {
            Ok(()) => assert!(found == expected, "{}, page {page}: a wrong byte", file.name),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EIO), "{}, page {page}", file.name);
                assert!(file.rotten[page], "{}, page {page}: {error}, and no rotten chunk is in it", file.name);
                lost += 1;
            }
        }
    }
    lost
}

/// Flips a bit in some chunks of the archive, anywhere in their records; which chunks.
fn rot(scene: &Scene, whole: &[u8], random: &mut Random) -> BTreeSet<u64> {
    let reader = scene.reader("whole.lma");
    let chunks = &reader.index().chunks;
    let mut archive = whole.to_vec();
    let mut rotten = BTreeSet::new();
    for _ in 0..=random.below(3) {
        let slot = &chunks[random.below(chunks.len() as u64) as usize];
        if rotten.insert(slot.number) {
            // The record is a head, and what is stored; the head is some bytes more than what is counted here.
            let at = slot.position + random.below(u64::from(slot.stored_len));
            archive[at as usize] ^= 1 << random.below(8);
        }
    }
    fs::write(scene.root().join("a.lma"), archive).unwrap();
    rotten
}

fn rot_and_read(options: &str, seed: u64, trials: usize) {
    let scene = Scene::of(plant, options);
    fs::copy(scene.root().join("a.lma"), scene.root().join("whole.lma")).unwrap();
    let whole = fs::read(scene.root().join("whole.lma")).unwrap();
    let mut random = Random(seed);
    for trial in 0..trials {
        let rotten = rot(&scene, &whole, &mut random);
        let files = mark(&scene, &rotten);
        // Chunks of an archive that is whole, as these were before, would be found on disk.
        let live = scene.mount_on("a.lma", "mnt", "--no-cache");
        let lost = AtomicUsize::new(0);
        thread::scope(|scope| {
            for reader in 0..4 {
                let (files, lost, live) = (&files, &lost, &live);
                scope.spawn(move || lost.fetch_add(read_pages(live.path(), files, reader), Ordering::Relaxed));
            }
        });
        assert!(lost.into_inner() >= 4 * rotten.len(), "{options}, trial {trial}: a rotten chunk was read");
        // Whole files: those without a rotten chunk, and no others.
        for file in &files {
            let found = fs::read(live.path().join(&file.name));
            let whole = !file.rotten.contains(&true);
            assert_eq!(found.is_ok(), whole, "{options}, trial {trial}: {}", file.name);
            assert!(found.is_err() || found.unwrap() == file.bytes, "{}", file.name);
        }
        live.unmount();
    }
}

#[test]
fn rotten_bits_in_stored_chunks_cost_what_needs_them() {
    rot_and_read("--codec store --chunk-size 3K", 11, 12);
}

#[test]
fn rotten_bits_in_chunks_of_zstd_cost_what_needs_them() {
    rot_and_read("--codec zstd --chunk-size 10K", 12, 12);
}

#[test]
fn rotten_bits_in_chunks_of_context_mixing_cost_what_needs_them() {
    rot_and_read("--codec cm --chunk-size 8K", 13, 2);
}

#[test]
fn a_mapping_of_a_rotten_chunk_kills_its_reader_alone() {
    need(&["python3"]);
    let scene = Scene::of(plant, "--codec store --chunk-size 4K");
    let victim = fs::read(scene.original().join("dir/noise5")).unwrap();
    let mut archive = fs::read(scene.root().join("a.lma")).unwrap();
    let at = archive.windows(64).position(|window| *window == victim[20_500..20_564]).unwrap();
    archive[at] ^= 1;
    fs::write(scene.root().join("a.lma"), archive).unwrap();
    let live = scene.mount_on("a.lma", "mnt", "--no-cache");
    let touch = |at: usize| {
        let script = "import mmap, sys; f = open(sys.argv[1], 'rb'); \
            m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(m[int(sys.argv[2])])";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(live.path().join("dir/noise5")).arg(at.to_string());
        command.output().unwrap()
    };
    for at in [0, 10_000, 15_000] {
        assert_eq!(String::from_utf8(touch(at).stdout).unwrap().trim(), victim[at].to_string());
    }
    let status = touch(20_500).status;
    // A shell in between, as some installations of Python have, turns the signal into a number.
    assert!(status.signal() == Some(libc::SIGBUS) || status.code() == Some(128 + libc::SIGBUS), "{status}");
    assert_eq!(String::from_utf8(touch(0).stdout).unwrap().trim(), victim[0].to_string());
    live.unmount();
}
