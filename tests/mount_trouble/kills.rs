//! The process of a mount is killed, again and again, at any moment, and the mount comes back on the same directory.
//! `LMA_KILL_CYCLES` says how often; 30 where it is not set.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::mount_support::scene::{Random, Scene, text};
use super::{contents, plant};

type Files = Vec<(String, Vec<u8>)>;

/// What the kernel answers when nobody serves a mount any more.
const NOBODY: [i32; 3] = [libc::ENOTCONN, libc::ECONNABORTED, libc::EIO];

/// Reads at random until the mount is gone; how many reads were right.
fn read_until_gone(root: &Path, files: &Files, killed: &AtomicBool, mut random: Random) -> usize {
    let mut right = 0;
    loop {
        let (name, bytes) = &files[random.below(files.len() as u64) as usize];
        let start = random.below(bytes.len() as u64 + 1) as usize;
        let len = (1 + random.below(9000) as usize).min(bytes.len() - start);
        let mut found = vec![0; len];
        let result = File::open(root.join(name)).and_then(|file| file.read_exact_at(&mut found, start as u64));
        match result {
            Ok(()) => assert!(found == bytes[start..start + len], "{name} at {start}: a wrong byte"),
            Err(error) => {
                assert!(killed.load(Ordering::SeqCst), "{name} at {start}, before anything was killed: {error}");
                assert!(error.raw_os_error().is_some_and(|code| NOBODY.contains(&code)), "{name}: {error}");
                return right;
            }
        }
        right += 1;
    }
}

/// One life of a mount: mounted, read by many, killed.
fn live_and_die(scene: &Scene, archive: &str, files: &Files, random: &mut Random) -> usize {
    let live = scene.mount(archive);
    let root = live.path().to_path_buf();
    let killed = AtomicBool::new(false);
    let right = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (root, killed, right, random) = (&root, &killed, &right, Random(random.next()));
            scope.spawn(move || right.fetch_add(read_until_gone(root, files, killed, random), Ordering::Relaxed));
        }
        thread::sleep(Duration::from_micros(random.below(60_000)));
        killed.store(true, Ordering::SeqCst);
        live.kill();
    });
    right.into_inner()
}

/// A process that is killed before, while or just after its mount comes to life.
fn die_young(scene: &Scene, archive: &str, random: &mut Random) {
    let point = scene.root().join("mnt");
    let mut command = scene.lma(&["mount", "-f", archive, point.to_str().unwrap()]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_micros(random.below(25_000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_again_and_again_a_mount_comes_back_and_is_never_wrong() {
    let cycles = std::env::var("LMA_KILL_CYCLES").map_or(30, |number| number.parse().expect("LMA_KILL_CYCLES"));
    let scene = Scene::new();
    plant(&scene.subdir("many"));
    fs::write(scene.subdir("few").join("file"), text(5000, 1)).unwrap();
    scene.create("zstd.lma", "many", "--codec zstd --chunk-size 8K");
    scene.create("cm.lma", "many", "--codec cm --chunk-size 8K");
    scene.create("mix.lma", "few", "--codec mix --chunk-size 1K");
    let (many, few) = (contents(&scene.root().join("many")), contents(&scene.root().join("few")));
    let mut random = Random(4);
    let mut right = 0;
    for cycle in 0..cycles {
        let (archive, files) = match cycle % 10 {
            9 => ("mix.lma", &few),
            odd if odd % 2 == 1 => ("cm.lma", &many),
            _ => ("zstd.lma", &many),
        };
        if cycle % 3 == 2 {
            die_young(&scene, archive, &mut random);
        }
        right += live_and_die(&scene, archive, files, &mut random);
    }
    assert!(right > 5 * cycles, "{right} reads in {cycles} lives");
    // The last one is whole, and ends as it should.
    let live = scene.mount("zstd.lma");
    super::assert_right(live.path(), &many);
    live.unmount();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let left = table.lines().filter(|line| line.contains(scene.root().to_str().unwrap())).count();
    assert_eq!(left, 0, "no mount lies beneath another: {table}");
}
