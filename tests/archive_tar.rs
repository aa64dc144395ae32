//! tar in and out, against itself and against the system's tar.

mod archive_support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use archive_support::*;
use lma::archive::{ExtractOptions, create_from_tar, extract, extract_to_tar};
use lma::progress::{Interrupt, Silent};
use proptest::prelude::*;

fn to_tar(archive: &[u8], options: &ExtractOptions) -> Vec<u8> {
    let mut out = Vec::new();
    extract_to_tar(&reader(archive), &models(), options, &mut out, &Silent, &Interrupt::default()).unwrap();
    out
}

fn from_tar(tar: &[u8], workers: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let warnings = Warnings::default();
    create_from_tar(tar, &mut out, &create_options(workers), &warnings, &Interrupt::default()).unwrap();
    assert_eq!(*warnings.0.lock().unwrap(), Vec::<String>::new());
    out
}

fn extract_all(archive: &[u8], to: &Path) {
    extract(&reader(archive), &models(), &extract_options(to), &Silent, &Interrupt::default()).unwrap();
}

#[test]
fn everything_comes_back_through_tar_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    let first = archive(&from, &create_options(4));
    let tar = to_tar(&first, &ExtractOptions { workers: 1, ..ExtractOptions::default() });
    assert!(tar == to_tar(&first, &ExtractOptions { workers: 8, ..ExtractOptions::default() }));
    let second = from_tar(&tar, 1);
    assert!(second == from_tar(&tar, 8));
    extract_all(&second, &to);
    assert_same(&from, &to);
}

/// Runs the system's tar, or says why the test is left out.
fn system_tar(arguments: &[&str], directory: &Path, input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("tar");
    command.args(arguments).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("left out: there is no tar on this machine");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "tar {arguments:?}");
    Some(output.stdout)
}

#[test]
fn the_systems_tar_reads_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    fs::create_dir(&to).unwrap();
    let tar = to_tar(&archive(&from, &create_options(4)), &ExtractOptions::default());
    if system_tar(&["-xpf", "-", "--xattrs"], &to, &tar).is_some() {
        assert_same(&from, &to);
    }
}

#[test]
fn what_the_systems_tar_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    sample_tree(&from);
    // The other tar knows hard links of regular files only.
    fs::remove_file(from.join("special/fifo again")).unwrap();
    for (number, format) in ["--format=posix", "--format=gnu"].iter().enumerate() {
        for sparse in ["--no-check-device", "-S"] {
            let posix = number == 0;
            let mut arguments = vec!["-cf", "-", format, sparse];
            if posix {
                arguments.push("--xattrs");
            }
            arguments.push(".");
            let Some(tar) = system_tar(&arguments, &from, &[]) else { return };
            let to = dir.path().join(format!("to{number}{sparse}"));
            extract_all(&from_tar(&tar, 3), &to);
            let (left, right) = (snapshot(&from), snapshot(&to));
            assert!(left.keys().eq(right.keys()), "{format} {sparse}");
            if posix {
                assert_same(&from, &to);
            }
            for path in ["large.txt", "special/sparse", "special/all hole", "noise.bin"] {
                assert!(
                    fs::read(from.join(path)).unwrap() == fs::read(to.join(path)).unwrap(),
                    "{format} {sparse} {path}"
                );
            }
        }
    }
}

#[test]
fn holes_stay_holes_on_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir(&from).unwrap();
    let long = format!("{}-\u{fc}", "n".repeat(150));
    for (name, len, islands) in [
        ("in the middle", 64 << 20, &[0, 9 << 20, 40 << 20][..]),
        ("all hole", 32 << 20, &[]),
        ("at the end", 1 << 20, &[(1 << 20) - 4096]),
        (&long, 1 << 20, &[500_000]),
    ] {
        let file = fs::File::create(from.join(name)).unwrap();
        file.set_len(len).unwrap();
        islands.iter().for_each(|&at| file.write_all_at(&noise(4096, at), at).unwrap());
    }
    let tar = to_tar(&archive(&from, &create_options(2)), &ExtractOptions::default());
    assert!(tar.len() < 200_000, "{} bytes of tar", tar.len());
    extract_all(&from_tar(&tar, 2), &dir.path().join("back"));
    assert_same(&from, &dir.path().join("back"));
    if system_tar(&["-xpf", "-"], &to, &tar).is_some() {
        assert_same(&from, &to);
        let blocks = fs::metadata(to.join("in the middle")).unwrap().blocks();
        assert!(blocks * 512 < 4 << 20, "{blocks} blocks");
    }
}

/// Access for the owner and for user 1, as the kernel stores it.
fn acl() -> Vec<u8> {
    let entry = |tag: u8, bits: u8, id: u32| [&[tag, 0, bits, 0][..], &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let entries = [entry(1, 7, none), entry(2, 4, 1), entry(4, 5, none), entry(16, 5, none), entry(32, 0, none)];
    [&2u32.to_le_bytes()[..], &entries.concat()].concat()
}

#[test]
fn acls_go_through_the_systems_tar_as_texts() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, back) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("back"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/f"), "x").unwrap();
    let set = |path: &str, name: &str| xattr::set(from.join(path), name, &acl());
    if set("d/f", "system.posix_acl_access").and_then(|()| set("d", "system.posix_acl_default")).is_err() {
        eprintln!("left out: no ACLs on this file system");
        return;
    }
    let tar = to_tar(&archive(&from, &create_options(1)), &ExtractOptions::default());
    if system_tar(&["-xpf", "-", "--acls"], &to, &tar).is_none() {
        return;
    }
    assert_same(&from, &to);
    let tar = system_tar(&["-cf", "-", "--format=posix", "--acls", "."], &from, &[]).unwrap();
    extract_all(&from_tar(&tar, 1), &back);
    assert_same(&from, &back);
}

#[test]
fn what_is_no_tar_stream_is_named() {
    for (start, named) in [
        (&b"\x1f\x8b\x08"[..], "gzip -dc"),
        (b"\xfd7zXZ\0", "xz -dc"),
        (b"\x28\xb5\x2f\xfd", "zstd -dc"),
        (b"\x89LMA\r\n\x1a\n", "lma archive"),
        (b"a text", "no header"),
    ] {
        let stream = [start, &noise(2000, 3)].concat();
        let made = create_from_tar(&stream[..], Vec::new(), &create_options(1), &Silent, &Interrupt::default());
        let said = made.unwrap_err().to_string();
        assert!(said.contains(named) && said.is_ascii(), "{said}");
    }
}

#[test]
fn old_formats_of_holes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    sample_tree(&from);
    for version in ["0.0", "0.1", "1.0"] {
        let option = format!("--sparse-version={version}");
        let arguments = ["-cf", "-", "--format=posix", "-S", &option, "special/sparse", "special/all hole"];
        let Some(tar) = system_tar(&arguments, &from, &[]) else { return };
        let to = dir.path().join(version);
        extract_all(&from_tar(&tar, 1), &to);
        for path in ["special/sparse", "special/all hole"] {
            assert!(fs::read(from.join(path)).unwrap() == fs::read(to.join(path)).unwrap(), "{version} {path}");
        }
    }
}

#[test]
fn a_tar_stream_that_is_cut_is_an_error_or_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), noise(5000, 1)).unwrap();
    fs::write(dir.path().join("n".repeat(150)), "x").unwrap();
    set_mtime(&dir.path().join("a"), 1, 1);
    let tar = to_tar(&archive(dir.path(), &create_options(1)), &ExtractOptions::default());
    for cut in (0..tar.len() - 1024).step_by(100).chain([512, 1024]) {
        let warnings = Warnings::default();
        let made = create_from_tar(&tar[..cut], Vec::new(), &create_options(1), &warnings, &Interrupt::default());
        assert!(made.is_err() || warnings.0.lock().unwrap().len() == 1, "{cut}");
    }
}

#[test]
fn hostile_members_stay_beneath_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_size(if kind.is_file() { 4 } else { 0 });
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, &b"evil"[..if kind.is_file() { 4 } else { 0 }]).unwrap();
    };
    let outside_path = outside.to_str().unwrap();
    add(tar::EntryType::Symlink, "link", outside_path);
    add(tar::EntryType::Regular, "link/through", "");
    add(tar::EntryType::Regular, "../outside/dots", "");
    add(tar::EntryType::Link, "hard", &format!("{outside_path}/x"));
    add(tar::EntryType::Regular, "link", "");
    let tar = builder.into_inner().unwrap();
    let (mut out, warnings) = (Vec::new(), Warnings::default());
    create_from_tar(&tar[..], &mut out, &create_options(1), &warnings, &Interrupt::default()).unwrap();
    assert_eq!(warnings.0.lock().unwrap().len(), 3, "{:?}", warnings.0.lock().unwrap());
    let to = dir.path().join("to");
    extract_all(&out, &to);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read(to.join("outside/dots")).unwrap(), b"evil");
}

/// A tar stream with every kind of header.
fn varied_tar() -> &'static [u8] {
    static TAR: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    TAR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        sample_tree(dir.path());
        for large in ["large.txt", "large-again.txt", "noise.bin"] {
            fs::remove_file(dir.path().join(large)).unwrap();
        }
        let sparse = ["-cf", "-", "--format=posix", "-S", "special", "links"];
        let mut tar = system_tar(&sparse, dir.path(), &[]).unwrap_or_default();
        tar.truncate(tar.len().saturating_sub(1024).next_multiple_of(512));
        while tar.ends_with(&[0; 512]) {
            tar.truncate(tar.len() - 512);
        }
        tar.extend(to_tar(&archive(dir.path(), &create_options(1)), &ExtractOptions::default()));
        tar
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Blocks that were changed and whose checksums fit: a result or an error, and what comes out can be read.
    #[test]
    fn changed_tar_streams_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..512, any::<u8>()), 1..6)) {
        let mut tar = varied_tar().to_vec();
        for (block, at, value) in changes {
            let start = block.index(tar.len() / 512) * 512;
            let block = &mut tar[start..start + 512];
            block[at] = value;
            let sum: u32 = block[..148].iter().chain(&block[156..]).map(|&byte| u32::from(byte)).sum::<u32>() + 256;
            if block[257..262] == *b"ustar" {
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let mut out = Vec::new();
        let options = create_options(2);
        if create_from_tar(&tar[..], &mut out, &options, &Silent, &Interrupt::default()).is_ok() {
            prop_assert!(reader(&out).entries().is_ok());
        }
    }
}
