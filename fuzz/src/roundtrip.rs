//! `create`, then `extract`: small trees come back, and the same tree gives the same archive.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lma::archive::{CreateOptions, ExtractOptions, Input as Named, create, extract, extract_stream};
use lma::codec::Choice;
use lma::container::{MemorySource, Reader, verify};
use lma::format::CodecId;
use lma::limits::Limits;
use lma::predict::toy::{self, ToyModels};
use lma::predict::{LoadedModel, Models};
use lma::progress::{Interrupt, Silent};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps};

use super::files::snapshot;
use super::input::{self, Input};

/// Names in every directory; extensions group files.
const NAMES: &[&[u8]] = &[b"a", b"b.rs", b"c.txt", b"d.bin", b"\xff odd\n", b".hidden", b"e.rs", b"f.txt"];

/// Takes options, then files.
pub fn roundtrip(data: &[u8]) {
    let mut input = Input::new(data);
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    let options = options(&mut input);
    fs::create_dir(&source).expect("the directory is new");
    grow(&source, &mut input);

    let make = |workers: usize| {
        let (options, mut out) = (CreateOptions { workers, ..options.clone() }, Vec::new());
        let named = [Named::within(&source, ".")];
        let outcome = create(&mut out, &named, &options, &Silent, &Interrupt::default()).expect("the tree is readable");
        assert_eq!(outcome.warnings, 0);
        assert_eq!(outcome.archive_bytes, out.len() as u64);
        out
    };
    let archive = make(1);
    assert_eq!(archive, make(3), "the bytes depend on the workers");

    let models: Arc<dyn Models> = Arc::new(ToyModels::new());
    let open = || Arc::new(MemorySource(archive.clone()));
    let limits = Limits::default();
    let report = verify(open(), &limits, &*models, 2, &Silent, &Interrupt::default()).expect("it can be verified");
    assert!(report.is_good(), "{report:?}");
    let to = ExtractOptions { dest: dest.clone(), preserve: true, workers: 2, ..ExtractOptions::default() };
    let outcome = if data.len().is_multiple_of(2) {
        let reader = Arc::new(Reader::open(open(), limits).expect("it opens"));
        extract(&reader, &models, &to, &Silent, &Interrupt::default())
    } else {
        extract_stream(&archive[..], &limits, &models, &to, &Silent, &Interrupt::default())
    };
    assert_eq!(outcome.expect("it extracts").warnings, 0);
    let (before, after) = (snapshot(&source), snapshot(&dest));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, seen) in &before {
        assert_eq!(seen, &after[path], "{}", path.display());
    }
}

fn options(input: &mut Input<'_>) -> CreateOptions {
    static MODEL: OnceLock<Arc<LoadedModel>> = OnceLock::new();
    let model = MODEL.get_or_init(|| Arc::new(toy::model()));
    let only = [CodecId::Lm, CodecId::Zstd, CodecId::Store, CodecId::Cm, CodecId::Mix].map(Choice::Only);
    let choice = *input.pick(&[&[Choice::Auto][..], &only].concat());
    let with_model = matches!(choice, Choice::Only(codec) if codec.needs_model()) || input.once_in(2);
    let chunk_size = *input.pick(&[1024, 1025, 4096, 65_536]);
    CreateOptions { choice, chunk_size, model: with_model.then(|| Arc::clone(model)), ..CreateOptions::default() }
}

/// Makes files until the input ends, then gives the directories their metadata.
fn grow(root: &Path, input: &mut Input<'_>) {
    let mut directories = vec![root.to_path_buf()];
    let mut linkable: Vec<PathBuf> = Vec::new();
    for _ in 0..24 {
        if input.is_empty() {
            break;
        }
        let path = input.pick(&directories).join(OsStr::from_bytes(input.pick::<&[u8]>(NAMES)));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        let made = match input.below(8) {
            0 => fs::create_dir(&path).map(|()| directories.push(path.clone())),
            1 => symlink(OsStr::from_bytes(&target(input)), &path),
            2 if !linkable.is_empty() => fs::hard_link(input.pick(&linkable), &path),
            3 => rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).map_err(Into::into),
            _ => file(&path, input),
        };
        made.expect("the directory is writable");
        let meta = path.symlink_metadata().expect("it was just made");
        if !meta.is_dir() {
            if !meta.is_symlink() {
                linkable.push(path.clone());
            }
            metadata(&path, input);
        }
    }
    // Children first: what is made in a directory changes its time.
    directories[1..].iter().rev().for_each(|path| metadata(path, input));
}

fn target(input: &mut Input<'_>) -> Vec<u8> {
    let bytes = input.bytes(12).iter().copied().filter(|&byte| byte != 0);
    let target: Vec<u8> = bytes.collect();
    if target.is_empty() { b"nowhere".to_vec() } else { target }
}

fn file(path: &Path, input: &mut Input<'_>) -> std::io::Result<()> {
    let file = fs::File::create(path)?;
    let mut at = 0;
    for _ in 0..1 + input.below(3) {
        if input.once_in(5) {
            at += 4096 * input.below(32) as u64;
            file.set_len(at)?;
        }
        let bytes = input::content(input, 6000);
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

fn metadata(path: &Path, input: &mut Input<'_>) {
    let meta = path.symlink_metadata().expect("it was just made");
    let flags = input.byte();
    if !meta.is_symlink() {
        if flags & 3 == 3 && !meta.file_type().is_symlink() && (meta.is_file() || meta.is_dir()) {
            // Not every file system has user attributes.
            let _ = xattr::set(path, "user.fuzz", input.bytes(20));
        }
        // The owner may read everything, so that anyone can run this.
        let mode = u32::from(input.u16()) & 0o7777 | if meta.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    if flags & 4 != 0 {
        let time =
            Timespec { tv_sec: i64::from(input.u32().cast_signed()), tv_nsec: i64::from(input.u32() % 1_000_000_000) };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
    }
}
