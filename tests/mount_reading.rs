//! How reads of slow chunks are served under a real kernel. Needs /dev/fuse, and fails without it.
#![cfg(feature = "mount")]
#![allow(clippy::unwrap_used)]

mod mount_support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lma::codec::CodecError;
use lma::container::ContainerError;
use lma::format::{ChunkSlot, CodecId};
use lma::mount::{CacheOptions, ChunkCache, ChunkSource, Cost, Fs, ImpliedDir, ReadOptions, Tree, Workers};
use lma::predict::Audience;
use mount_support::{CHUNK, Mount, Packed, noise};

/// Chunks of noise that come out in steps, as far as is allowed.
struct Slow {
    allowed: (Mutex<usize>, Condvar),
    running: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
    dropped: AtomicUsize,
}

impl Slow {
    fn new(allowed: usize) -> Arc<Self> {
        Arc::new(Self {
            allowed: (Mutex::new(allowed), Condvar::new()),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    /// Every decode may come this far.
    fn allow(&self, bytes: usize) {
        *self.allowed.0.lock().unwrap() = bytes;
        self.allowed.1.notify_all();
    }
}

impl ChunkSource for Slow {
    fn decode(&self, number: u64, audience: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let chunk = noise(CHUNK, number);
        let mut at = 0;
        while at < CHUNK && !audience.is_gone() {
            let allowed = self.allowed.0.lock().unwrap();
            // Looks up now and then, as a real decoder does at every step.
            let wait = Duration::from_millis(2);
            let allowed = *self.allowed.1.wait_timeout_while(allowed, wait, |allowed| *allowed <= at).unwrap().0;
            at = CHUNK.min(allowed.min(at + 1000).max(at));
            audience.offer(&chunk[..at]);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        if at < CHUNK {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            return Err(ContainerError::Chunk { number, error: CodecError::Dropped });
        }
        Ok(chunk.into())
    }

    fn cost(&self, _: u64) -> Cost {
        Cost::Model
    }

    fn slot(&self, number: u64) -> Option<ChunkSlot> {
        let (stored_len, raw_len) = (CHUNK as u32 / 4, CHUNK as u32);
        Some(ChunkSlot { number, position: 0, stored_len, raw_len, codec: CodecId::Mix, model: Some(0) })
    }
}

fn mount(source: &Arc<Slow>, files: u64, chunks: u64, reads: ReadOptions) -> Mount {
    let file = |n| Packed::file_of_chunks(&format!("f{n:02}"), n * chunks..(n + 1) * chunks);
    let (tree, problems) = Tree::build((0..files).map(file).collect(), ImpliedDir::default());
    assert_eq!(problems, Vec::<String>::new());
    let cache = ChunkCache::new(Arc::clone(source) as Arc<dyn ChunkSource>, CacheOptions::default());
    Mount::served(Fs::new(tree, cache, Workers::start(20).unwrap(), reads).unwrap().with_status())
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn cat(path: &std::path::Path) -> Child {
    Command::new("cat").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_read_is_answered_as_soon_as_its_bytes_are_out_and_waits_for_no_more() {
    let source = Slow::new(0);
    let mount = mount(&source, 1, 2, ReadOptions::default());
    let file = File::open(mount.path().join("f00")).unwrap();
    source.allow(3000);
    let mut buf = [0; 1000];
    for offset in [0, 1500, 7, 2000] {
        file.read_exact_at(&mut buf, offset).unwrap();
        assert_eq!(buf[..], noise(CHUNK, 0)[offset as usize..][..1000], "{offset}");
    }
    assert_eq!(source.begun.load(Ordering::SeqCst), 1, "one decode, and nothing of the next chunk");
    source.allow(CHUNK);
    assert!(fs::read(mount.path().join("f00")).unwrap() == [noise(CHUNK, 0), noise(CHUNK, 1)].concat());
    assert_eq!(source.begun.load(Ordering::SeqCst), 2);
    // Another opening goes through the page cache, with the same bytes.
    assert!(fs::read(mount.path().join("f00")).unwrap() == [noise(CHUNK, 0), noise(CHUNK, 1)].concat());
    drop(file);
    mount.end().unwrap();
}

#[test]
fn a_killed_reader_is_gone_at_once_and_its_decode_is_dropped() {
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
        let source = Slow::new(0);
        let mount = mount(&source, 1, 1, ReadOptions::default());
        let mut reader = cat(&mount.path().join("f00"));
        wait_for("the decode begins", || source.running.load(Ordering::SeqCst) == 1);
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        let pid = rustix::process::Pid::from_raw(reader.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert!(!reader.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
        wait_for("the decode ends", || source.dropped.load(Ordering::SeqCst) == 1);
        source.allow(CHUNK);
        assert!(fs::read(mount.path().join("f00")).unwrap() == noise(CHUNK, 0));
        mount.end().unwrap();
    }
}

#[test]
fn who_shares_a_chunk_with_a_killed_reader_gets_it_from_the_same_decode() {
    let source = Slow::new(0);
    let mount = mount(&source, 1, 1, ReadOptions::default());
    let path = mount.path().join("f00");
    let mut killed: Vec<Child> = (0..8).map(|_| cat(&path)).collect();
    let other = thread::spawn(move || fs::read(path).unwrap());
    wait_for("the decode begins", || source.running.load(Ordering::SeqCst) == 1);
    thread::sleep(Duration::from_millis(50));
    for reader in &mut killed {
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    source.allow(CHUNK);
    assert!(other.join().unwrap() == noise(CHUNK, 0));
    assert_eq!(source.begun.load(Ordering::SeqCst), 1);
    mount.end().unwrap();
}

#[test]
fn a_file_read_in_order_is_decoded_ahead_each_chunk_once() {
    let source = Slow::new(0);
    let mount = mount(&source, 2, 40, ReadOptions::default());
    let path = mount.path().join("f00");
    let reader = thread::spawn(move || {
        let mut reader = cat(&path);
        assert!(reader.wait().unwrap().success());
        fs::read(path).unwrap()
    });
    wait_for("chunks are decoded ahead", || source.running.load(Ordering::SeqCst) > 5);
    source.allow(CHUNK);
    let content = reader.join().unwrap();
    assert!(content == (0..40).flat_map(|n| noise(CHUNK, n)).collect::<Vec<u8>>());
    assert_eq!(source.begun.load(Ordering::SeqCst), 40, "nothing of the next file, and nothing twice");
    mount.end().unwrap();
}

#[test]
fn files_read_one_after_the_other_are_decoded_ahead_each_chunk_once() {
    let source = Slow::new(0);
    let mount = mount(&source, 40, 1, ReadOptions::default());
    let root = mount.path().to_path_buf();
    let reader = thread::spawn(move || {
        for number in 0..40 {
            assert!(fs::read(root.join(format!("f{number:02}"))).unwrap() == noise(CHUNK, number));
        }
    });
    // Each file is opened, read and closed, and no decode of the next is lost by that.
    while !reader.is_finished() {
        source.allow(CHUNK);
        thread::sleep(Duration::from_millis(5));
        source.allow(CHUNK / 2);
        thread::sleep(Duration::from_millis(5));
    }
    reader.join().unwrap();
    assert_eq!((source.begun.load(Ordering::SeqCst), source.dropped.load(Ordering::SeqCst)), (40, 0));
    assert!(source.most.load(Ordering::SeqCst) > 3, "{} at a time", source.most.load(Ordering::SeqCst));
    mount.end().unwrap();
}

#[test]
fn what_was_decoded_ahead_of_a_reader_is_dropped_when_the_file_is_closed() {
    let source = Slow::new(0);
    let mount = mount(&source, 1, 40, ReadOptions::default());
    let mut reader = cat(&mount.path().join("f00"));
    wait_for("chunks are decoded ahead", || source.running.load(Ordering::SeqCst) > 5);
    reader.kill().unwrap();
    reader.wait().unwrap();
    wait_for("all decodes end", || source.running.load(Ordering::SeqCst) == 0);
    mount.end().unwrap();
}

#[test]
fn a_read_that_waits_too_long_is_an_error() {
    let source = Slow::new(0);
    let patience = Duration::from_millis(300);
    let mount = mount(&source, 1, 1, ReadOptions { patience, ..ReadOptions::default() });
    let file = File::open(mount.path().join("f00")).unwrap();
    let start = Instant::now();
    let error = file.read_at(&mut [0; 10], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(start.elapsed() >= patience);
    drop(file);
    mount.end().unwrap();
}

#[test]
fn the_mount_tells_of_itself_to_those_who_ask_by_name() {
    let source = Slow::new(CHUNK);
    let mount = mount(&source, 3, 2, ReadOptions::default());
    let file = mount.path().join("f01");
    let tell = |name: &str| xattr::get(&file, name).unwrap().map(|value| String::from_utf8(value).unwrap());
    assert_eq!(tell("user.lma.ratio").as_deref(), Some("4.000"));
    assert_eq!(tell("user.lma.codec").as_deref(), Some("mix"));
    assert_eq!(tell("user.lma.chunks").as_deref(), Some("2"));
    assert_eq!(tell("user.lma.digest").map(|hex| hex.len()), Some(64));
    assert_eq!(tell("user.lma.cached").as_deref(), Some("0"));
    fs::read(&file).unwrap();
    // The last bytes are served a moment before their chunk is kept.
    wait_for("both chunks are kept", || tell("user.lma.cached").as_deref() == Some("131072"));
    assert_eq!(tell("user.lma.other"), None);
    assert_eq!(xattr::list(&file).unwrap().count(), 0);
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 3);
    for _ in 0..2 {
        let status: serde_json::Value =
            serde_json::from_slice(&fs::read(mount.path().join(".lma-status")).unwrap()).unwrap();
        assert_eq!((&status["chunks_decoded"], &status["bytes_decoded"]), (&2.into(), &131_072.into()));
        assert!(status["bytes_requested"].as_u64().unwrap() >= 131_072);
    }
    mount.end().unwrap();
}
