//! What ordinary programs give in a mount is what they give in the tree that was archived, byte for byte, whatever
//! the codec. Programs meet a mount in which nothing has been read yet.
#![cfg(all(feature = "cli", feature = "llama", feature = "mount"))]
#![allow(clippy::unwrap_used)]

mod mount_support;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lma::format::{CodecId, Kind};
use mount_support::noise;
use mount_support::scene::{Scene, need, run, sh, text};

/// Reads a file through two mappings and through `pread`, `preadv` and `sendfile`, in a random order and at odd
/// offsets, and prints a digest of what each gave.
const READER: &str = r#"
import hashlib, mmap, os, random, sys, tempfile
for name in sys.argv[1:]:
    fd = os.open(name, os.O_RDONLY)
    size = os.fstat(fd).st_size
    at, pieces = 0, []
    dice = random.Random(size)
    while at < size:
        length = min(dice.randint(1, 9001), size - at)
        pieces.append((at, length))
        at += length
    order = pieces[:]
    dice.shuffle(order)
    private = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    shared = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
    def preadv(at, length):
        parts = [bytearray(length // 3), bytearray(length - length // 3)]
        assert os.preadv(fd, parts, at) == length
        return b''.join(parts)
    def sendfile(at, length):
        with tempfile.TemporaryFile() as out:
            sent = 0
            while sent < length:
                sent += os.sendfile(out.fileno(), fd, at + sent, length - sent)
            return os.pread(out.fileno(), length, 0)
    ways = {
        'private': lambda at, length: private[at:at + length],
        'shared': lambda at, length: shared[at:at + length],
        'pread': lambda at, length: os.pread(fd, length, at),
        'preadv': preadv,
        'sendfile': sendfile,
    }
    first = None
    for way, read in ways.items():
        got = {at: read(at, length) for at, length in order}
        digest = hashlib.sha256(b''.join(got[at] for at, _ in pieces)).hexdigest()
        print(name, size, way, digest)
        first = first or digest
        assert digest == first, (name, way)
"#;

/// How much of everything: a model decodes some 20 KB a second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    Little,
    Much,
}

fn plant(root: &Path, amount: Amount) {
    let much = amount == Amount::Much;
    let scale = if much { 20 } else { 1 };
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("big/text", &text(5003 * scale, 1));
    write("big/noise", &noise(2049 * scale, 2));
    write("sizes/empty", b"");
    for len in [1, 511, 512, 513].into_iter().chain(much.then_some([4095, 4096, 4097, 16_385]).into_iter().flatten()) {
        write(&format!("sizes/{len}"), &text(len, len as u64));
    }
    write("names/with space and \u{fc}", b"needle in a name with a space\n");
    write("bin/hello", b"#!/bin/sh\necho \"hello from $0: $(wc -c <big/text)\"\n");
    fs::copy(which("true"), root.join("bin/true")).unwrap();
    if !much {
        fs::write(root.join("bin/true"), b"#!/bin/sh\n").unwrap();
    }
    for name in ["hello", "true"] {
        fs::set_permissions(root.join("bin").join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(root.join("sizes/511"), PermissionsExt::from_mode(0o4711)).unwrap();
    fs::hard_link(root.join("big/text"), root.join("hard")).unwrap();
    symlink("../big/noise", root.join("names/link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(b"needle in a haystack\n", 1 << 20).unwrap();
    sparse.write_all_at(&text(700, 4), (2 << 20) + 4096).unwrap();
    run(root, "mkfifo pipe && setfattr -n user.note -v 0x00ff61 big/text && setfacl -m u:12345:r big/noise");
    run(
        root,
        "sqlite3 db 'pragma page_size = 512; pragma synchronous = off; create table t(n integer primary key, word text, x blob)'",
    );
    let rows = if much { 400 } else { 12 };
    let fill = format!("with recursive c(n) as (select 1 union all select n + 1 from c where n < {rows})");
    let fill = format!(
        "pragma synchronous = off; {fill} insert into t select n, 'word ' || n * n % 97, zeroblob(n % 50) from c"
    );
    run(root, &format!("sqlite3 db \"{fill}; create index words on t(word)\""));
    plant_repository(root, if much { 6 } else { 2 });
    run(root, "touch -d '2001-09-09 01:46:40.123456789' big/text && touch -hd 1969-12-31 dangling");
}

/// A work tree with packed and loose objects, branches, a tag, and changes that are not committed.
fn plant_repository(root: &Path, commits: u64) {
    run(root, "git init -q --template= -b main repo");
    run(
        root,
        "cd repo && git config user.name tester && git config user.email tester@example.org && git config core.fsync none",
    );
    for n in 0..commits {
        fs::write(root.join(format!("repo/file{n}.txt")), text(300, 100 + n)).unwrap();
        fs::write(root.join("repo/changing.txt"), [text(200, 7), text(50, n)].concat()).unwrap();
        run(root, &format!("cd repo && git add . && git commit -qm 'commit {n}'"));
        if n + 2 == commits {
            run(root, "cd repo && git gc -q && git tag -m tagged v1 && git branch side");
        }
    }
    run(root, "cd repo && echo changed >>changing.txt && echo new >untracked && git rm -q --cached file0.txt");
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file()).unwrap()
}

struct Pair {
    original: PathBuf,
    mounted: PathBuf,
    scratch: PathBuf,
}

impl Pair {
    /// A line that succeeds in the tree, and says something, does and says the same in the mount.
    #[track_caller]
    fn same(&self, line: &str) {
        let expected = run(&self.original, line);
        assert!(!expected.is_empty(), "`{line}` tells nothing");
        let found = sh(&self.mounted, line);
        let said = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "{line}: {}\n{said:.2000}", found.status);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(found.stdout == expected, "{line}\n{:.3000}\nis not\n{:.3000}", text(&found.stdout), text(&expected));
    }

    /// What was copied out of the mount into `name` is the tree.
    #[track_caller]
    fn assert_copied(&self, name: &str) {
        let copy = self.scratch.join(name);
        for line in [METADATA, DIGESTS, ATTRIBUTES, ACLS, "find . -samefile hard | sort"] {
            let told = |dir: &Path| String::from_utf8(run(dir, line)).unwrap();
            assert_eq!(told(&copy), told(&self.original), "{name}: {line}");
        }
    }
}

/// All that `stat` tells but inode numbers, and what the file system says of a directory's own size.
const METADATA: &str = r"find . -mindepth 1 \( -type d -printf '%p %y %m %U %G %n %T@\n' \) \
    -o -printf '%p %y %m %U %G %s %n %T@ %l\n' | sort";

const DIGESTS: &str = "find . -type f -exec sha256sum {} + | sort";
const ATTRIBUTES: &str = "getfattr -hRdm - -e hex . | sort";
const ACLS: &str = "getfacl -Rn . | sort";

fn git(pair: &Pair) {
    for line in [
        "status --porcelain=v2 --branch --ignored",
        "log --stat --graph --all --format=fuller",
        "diff",
        "blame changing.txt",
        "grep -n needle",
        "cat-file --batch-all-objects --batch-check",
        "archive HEAD | sha256sum",
    ] {
        pair.same(&format!("git -C repo {line}"));
    }
    pair.same("git -C repo fsck --full --strict 2>&1 && echo ok");
    let status = |line: &str| run(&pair.mounted, &format!("git -C repo {line}status --porcelain"));
    assert_eq!(status("--no-optional-locks "), status(""), "the index cannot be refreshed, which is no error");
    run(&pair.scratch, &format!("git clone -q {}/repo clone", pair.mounted.display()));
    let head = |dir: &Path| run(dir, "git rev-parse 'HEAD^{tree}' refs/tags/v1");
    assert_eq!(head(&pair.scratch.join("clone")), head(&pair.original.join("repo")));
    let written = sh(&pair.mounted, "git -C repo commit --allow-empty -m no");
    assert!(!written.status.success(), "an archive cannot be committed to");
}

fn search(pair: &Pair) {
    pair.same("grep -rn needle . | sort");
    pair.same("grep -rcD skip archive . | sort");
    pair.same("rg -uuu --no-config --sort path -n needle");
    pair.same("rg -uuu --no-config --mmap --sort path -c model");
    pair.same("find . -name '*in*' -newermt 2020-01-01 | sort");
}

fn metadata(pair: &Pair) {
    pair.same(METADATA);
    pair.same("ls -ARn --time-style=full-iso big sizes names bin | grep -v -e ^total -e ^d");
    pair.same(ATTRIBUTES);
    pair.same(ACLS);
    pair.same("readlink names/link dangling && stat -c '%s %F' pipe dangling sparse");
    pair.same("test -x bin/hello && test ! -x big/text && test -u sizes/511 && echo ok");
}

fn whole_reads(pair: &Pair) {
    pair.same(DIGESTS);
    let diff = format!("diff -r --no-dereference -x pipe {} .", pair.original.display());
    assert!(run(&pair.mounted, &diff).is_empty());
    for file in ["big/text", "big/noise", "sparse", "db"] {
        run(&pair.mounted, &format!("cmp {}/{file} {file}", pair.original.display()));
        run(&pair.mounted, &format!("cmp -i 1000:1000 -n 701 {0}/{file} {file}", pair.original.display()));
    }
    pair.same("cat big/* sizes/* | cksum && wc big/* sizes/*");
}

fn odd_reads(pair: &Pair) {
    for file in ["big/text", "big/noise", "sizes/513"] {
        pair.same(&format!("tail -c 300 {file} | od -An -tx1 && tail -n 2 {file} | od -An -c | head -n 50"));
        pair.same(&format!("head -c 501 {file} | sha256sum && head -c -7 {file} | sha256sum"));
        pair.same(&format!("tail -c +400 {file} | sha256sum && od -j 333 -N 99 {file}"));
        for dd in ["bs=7", "bs=511", "bs=4097", "bs=100003", "bs=1 skip=123 count=321", "bs=13 skip=17", "bs=1M"] {
            pair.same(&format!("dd if={file} {dd} status=none | sha256sum"));
        }
        pair.same(&format!("dd if={file} bs=512 skip=1 iflag=direct status=none | sha256sum"));
    }
    pair.same("dd if=sparse bs=4096 skip=255 count=3 status=none | sha256sum && tail -c 5000 sparse | cksum");
}

fn mappings(pair: &Pair) {
    fs::write(pair.scratch.join("reader.py"), READER).unwrap();
    let script = pair.scratch.join("reader.py");
    pair.same(&format!("python3 {} big/text big/noise sizes/513 sizes/1 db", script.display()));
}

fn programs(pair: &Pair) {
    pair.same("bin/true && bin/hello");
    pair.same("cp bin/hello /dev/null && . bin/hello && (cd big && ../bin/true) && echo ran");
    pair.same("sqlite3 -readonly db 'pragma integrity_check; select word, count(*), sum(length(x)) from t group by 1'");
    pair.same("sqlite3 -readonly db .dump && sqlite3 -readonly db \"select n, hex(x) from t where word > 'word 4'\"");
    let written = sh(&pair.mounted, "sqlite3 db 'delete from t'");
    assert!(String::from_utf8_lossy(&written.stderr).contains("readonly"), "{written:?}");
}

fn copies(pair: &Pair) {
    let mounted = pair.mounted.display();
    for name in ["cp", "cp-sparse", "tar", "tar-sparse", "rsync"] {
        fs::create_dir(pair.scratch.join(name)).unwrap();
    }
    let copy = |line: &str| drop(run(&pair.scratch, line));
    copy(&format!("cp -a {mounted}/. cp"));
    copy(&format!("cp -a --sparse=always {mounted}/. cp-sparse"));
    copy(&format!("tar -C {mounted} --xattrs --acls -cf - . | tar -C tar --xattrs --xattrs-include='*' --acls -xpf -"));
    let sparse = "--sparse --xattrs --acls";
    copy(&format!("tar -C {mounted} {sparse} -cf - . | tar -C tar-sparse --xattrs-include='*' --xattrs --acls -xpf -"));
    copy(&format!("rsync -aHAX {mounted}/ rsync/"));
    ["cp", "cp-sparse", "tar", "tar-sparse", "rsync"].into_iter().for_each(|name| pair.assert_copied(name));
    for name in ["cp", "cp-sparse", "tar-sparse"] {
        let blocks = fs::metadata(pair.scratch.join(name).join("sparse")).unwrap().blocks();
        assert!(blocks * 512 < 1 << 20, "{name} keeps the holes of 3 MiB: {blocks} blocks");
    }
    pair.same("tar --sort=name --exclude-backups -cf - * | sha256sum");
    let rsync =
        format!("rsync -aHAXn --checksum --delete --itemize-changes --exclude=/pipe . {}/", pair.original.display());
    let differences = String::from_utf8(run(&pair.mounted, &rsync)).unwrap();
    // The directory itself has no entry in an archive of what is in it.
    let differences: Vec<_> = differences.lines().filter(|line| !line.ends_with(" ./")).collect();
    assert_eq!(differences, Vec::<&str>::new());
}

type Check = (&'static str, fn(&Pair));

/// In this order, and in two halves where decoding takes long, so that each half begins with the hardest on what
/// is not decoded yet.
const CHECKS: [Check; 8] = [
    ("git", git),
    ("search", search),
    ("metadata", metadata),
    ("programs", programs),
    ("mappings", mappings),
    ("odd reads", odd_reads),
    ("whole reads", whole_reads),
    ("copies", copies),
];

/// Every `to_a_mount` checks get a mount of their own.
fn check_all(codec: CodecId, amount: Amount, to_a_mount: usize, options: &str) {
    need(&["git", "rsync", "rg", "sqlite3", "python3", "tar", "setfattr", "setfacl", "diff", "bash"]);
    let scene = Scene::of(|root| plant(root, amount), options);
    let reader = scene.reader("a.lma");
    let coded = reader.index().chunks.iter().filter(|chunk| chunk.codec == codec).count();
    assert!(coded >= 4, "{coded} chunks of {codec:?}");
    let spans = |kind: &Kind| matches!(kind, Kind::File(content) if content.extents.len() > 2);
    assert!(reader.entries().unwrap().iter().any(|entry| spans(&entry.kind)), "files span several chunks");
    for checks in CHECKS.chunks(to_a_mount) {
        let live = scene.mount("a.lma");
        for (name, check) in checks {
            let scratch = scene.subdir(&format!("scratch {name}").replace(' ', "-"));
            check(&Pair { original: scene.original(), mounted: live.path().to_path_buf(), scratch });
            assert!(live.is_served(), "after {name}");
        }
        live.unmount();
    }
}

#[test]
fn programs_agree_on_stored_chunks() {
    check_all(CodecId::Store, Amount::Much, 1, "--codec store --chunk-size 4K");
}

#[test]
fn programs_agree_on_chunks_of_zstd() {
    check_all(CodecId::Zstd, Amount::Much, 1, "--codec zstd --chunk-size 5K");
}

#[test]
fn programs_agree_on_chunks_of_context_mixing() {
    check_all(CodecId::Cm, Amount::Much, 4, "--codec cm --chunk-size 16K");
}

#[test]
fn programs_agree_on_chunks_of_the_model() {
    check_all(CodecId::Mix, Amount::Little, 4, "--codec mix --chunk-size 1K");
}
