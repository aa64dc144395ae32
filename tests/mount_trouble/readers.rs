//! Readers that are killed while what they want is not decoded yet: they go at once, and the mount serves the others.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::mount_support::scene::{Live, Random, Running, Scene, assert_gone_in_time, need, text, wait};
use super::{assert_right, contents};

/// Each file is a chunk of its own.
fn files(root: &Path, len: usize) {
    for n in 0..24 {
        fs::write(root.join(format!("f{n}")), text(len, n)).unwrap();
    }
}

/// One chunk, which takes longer than a reader that was killed may live on.
fn slowest(root: &Path) {
    fs::write(root.join("f0"), text(400 << 10, 1)).unwrap();
}

/// Touches the last page of a mapping.
const MAPPED: &str =
    "import mmap, sys\nf = open(sys.argv[1], 'rb')\nmmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[-1]\n";

/// After readers were killed: the mount is right, and ends.
fn assert_well(scene: &Scene, live: Live) {
    assert_right(live.path(), &contents(&scene.original()));
    live.unmount();
}

fn kill_at_random(len: usize, options: &str) {
    need(&["python3", "dd", "rg"]);
    let scene = Scene::of(|root| files(root, len), options);
    fs::write(scene.root().join("mapped.py"), MAPPED).unwrap();
    scene.subdir("out");
    let live = scene.mount("a.lma");
    let mut random = Random(6);
    let mut readers: Vec<_> = (0..40)
        .map(|n| {
            // Whoever maps a file that another has mapped waits in the kernel, whatever signal comes, for pages that
            // the other is waiting for: each maps a file of its own.
            let file = match n % 6 {
                3 => format!("mnt/f{}", 8 + n / 6),
                4 => format!("mnt/f{}", 16 + n / 6),
                _ => format!("mnt/f{}", random.below(8)),
            };
            let line = match n % 6 {
                0 => format!("cat {file}"),
                1 => format!("cp {file} out/{n}"),
                2 => format!("dd if={file} of=/dev/null bs=4097 skip=3"),
                3 => format!("python3 mapped.py {file}"),
                4 => format!("rg --mmap absent {file}"),
                _ => format!("tail -c 100 {file}"),
            };
            // dd and Python handle SIGINT: only when the read that it interrupts is done.
            let handles = n % 6 == 2 || n % 6 == 3;
            let kind = if !handles && random.below(2) == 0 { Signal::INT } else { Signal::KILL };
            (random.below(1200), kind, Running::start(scene.root(), &line))
        })
        .collect();
    readers.sort_by_key(|(when, ..)| *when);
    let start = Instant::now();
    let mut killed = Vec::new();
    for (when, kind, mut reader) in readers {
        thread::sleep(Duration::from_millis(when).saturating_sub(start.elapsed()));
        if !reader.has_ended() {
            killed.push(reader.kill(kind));
        }
    }
    assert!(!killed.is_empty(), "all readers were done before they could be killed");
    assert!(live.is_served());
    assert_well(&scene, live);
    assert_gone_in_time(killed);
}

#[test]
fn readers_of_context_mixing_killed_at_random_leave_a_mount_that_serves() {
    kill_at_random(48 << 10, "--codec cm --chunk-size 64K");
}

#[test]
fn readers_of_the_model_killed_at_random_leave_a_mount_that_serves() {
    kill_at_random(4 << 10, "--codec mix --chunk-size 4K");
}

/// Kills readers that wait for a chunk whose decode has only begun; another waits for its end all the while.
fn kill_early(lines: &[&str]) {
    need(&["python3", "dd"]);
    let scene = Scene::of(slowest, "--codec cm --chunk-size 1M");
    fs::write(scene.root().join("mapped.py"), MAPPED).unwrap();
    let live = scene.mount("a.lma");
    let mut other = Running::start(scene.root(), "tail -c 1 mnt/f0");
    let mut readers: Vec<_> = lines.iter().map(|line| Running::start(scene.root(), line)).collect();
    for reader in &mut readers {
        let waits = |reader: &Running| reader.waits_in(&["folio", "fuse", "request_wait"]);
        wait("a reader to wait for the chunk", || waits(reader) || reader.has_ended());
    }
    thread::sleep(Duration::from_millis(50));
    assert!(readers.iter_mut().all(|reader| !reader.has_ended()), "the chunk decodes too fast for this test");
    let killed: Vec<_> = readers.into_iter().map(|reader| reader.kill(Signal::KILL)).collect();
    assert!(live.is_served());
    let over = other.has_ended();
    assert_gone_in_time(killed);
    assert!(!over, "the decode was over by then");
    let (gone, line) = other.kill(Signal::INT);
    assert_gone_in_time(vec![(gone, line)]);
    assert_well(&scene, live);
}

#[test]
fn readers_killed_while_their_chunk_is_decoded_are_gone_at_once() {
    kill_early(&["cat mnt/f0", "tail -c 10 mnt/f0", "python3 mapped.py mnt/f0"]);
}

/// Such a read is a request of its own, for which the kernel waits even with a process that is dead.
#[test]
fn a_killed_reader_past_the_page_cache_is_gone_at_once() {
    kill_early(&["dd if=mnt/f0 of=/dev/null bs=4096 skip=90 count=1 iflag=direct"]);
}
