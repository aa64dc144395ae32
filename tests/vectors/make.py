#!/usr/bin/env python3
"""Makes the archives of this folder and the table in README.md; prints nothing when nothing changes.

    python3 tests/vectors/make.py

Each archive is built from spec/lma-format.md with one thing wrong, and valid checksums unless the
checksum is what is wrong. Files that are there already must come out the same: a vector is for ever.
Only the standard library is needed; zstd frames are written by hand with raw and RLE blocks.
"""

import pathlib
import struct
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reader"))
from blake3 import blake3  # noqa: E402

MODEL, CHUNK, ENTRIES, INDEX = 1, 2, 3, 4


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def string(data):
    return varint(len(data)) + data


def with_crc(data):
    return data + struct.pack("<I", zlib.crc32(data))


def header(magic=bytes.fromhex("894c4d410d0a1a0a"), version=1, reserved=0, features=0):
    return with_crc(magic + struct.pack("<HHQ", version, reserved, features))


def footer(index_position, archive_len, reserved=0):
    return with_crc(struct.pack("<QQI", index_position, archive_len, reserved)) + bytes.fromhex("89454e440d0a1a0a")


def zstd_frame(data, rle=None):
    """One frame with an 8-byte content size: raw blocks of data, or one RLE block of `rle` bytes."""
    size = len(data) if rle is None else rle
    out = struct.pack("<IBQ", 0xFD2FB528, 0xE0, size)
    if rle is not None:
        return out + struct.pack("<I", rle << 3 | 1 << 1 | 1)[:3] + data[:1]
    return out + struct.pack("<I", len(data) << 3 | 1)[:3] + data


class Archive:
    """An archive that is right in everything that is not asked for otherwise."""

    def __init__(self, head=None):
        self.out = header() if head is None else head
        self.models, self.chunks, self.batches, self.count = [], [], [], 0

    def record(self, kind, head, body, flags=0, position=None, crc=0, body_crc=0):
        position = len(self.out) if position is None else position
        data = b"\xb5Lm\xa1" + struct.pack("<BBHII", kind, flags, len(head), len(body), zlib.crc32(body) ^ body_crc)
        data += head
        data += struct.pack("<I", zlib.crc32(data + struct.pack("<Q", position)) ^ crc)
        at = len(self.out)
        self.out += data + body
        return at

    def model(self, window=64, overlap=8, extra=b""):
        head = varint(len(self.models)) + blake3(b"gguf") + varint(1000) + string(b"tiny") + string(b"llama")
        head += varint(300) + blake3(b"tokens") + varint(window) + varint(overlap) + string(b"test-1") + blake3(b"canary")
        self.models.append(self.record(MODEL, head + extra, b""))
        return self

    def chunk(self, raw, codec=0, model=0, stored=None, raw_len=None, number=None, digest=None, extra=b"", varints=varint, **how):
        stored = raw if stored is None else stored
        raw_len = len(raw) if raw_len is None else raw_len
        number = len(self.chunks) if number is None else number
        head = varints(number) + bytes([codec]) + varint(model) + varint(raw_len) + (digest or blake3(raw)[:16]) + extra
        at = self.record(CHUNK, head, stored, **how)
        self.chunks.append((at, len(stored), raw_len, codec, model))
        return self

    def entries(self, *entries, first=None, count=None, encoding=0, raw_len=None, body=None, extra=b"", **how):
        raw = b"".join(string(entry) for entry in entries)
        first = self.count if first is None else first
        count = len(entries) if count is None else count
        head = varint(first) + varint(count) + bytes([encoding]) + varint(len(raw) if raw_len is None else raw_len) + extra
        at = self.record(ENTRIES, head, raw if body is None else body, **how)
        self.batches.append((at, count))
        self.count += count
        return self

    def tables(self):
        raw, end = varint(len(self.models)), 0
        for at in self.models:
            raw, end = raw + varint(at - end), at
        raw, end = raw + varint(len(self.chunks)), 0
        for at, stored_len, raw_len, codec, model in self.chunks:
            raw += varint(at - end) + varint(stored_len) + varint(raw_len) + bytes([codec])
            raw += varint(model - 1) if codec in (2, 4) else b""
            end = at + stored_len
        raw, end = raw + varint(len(self.batches)), 0
        for at, count in self.batches:
            raw, end = raw + varint(at - end) + varint(count), at
        return raw

    def end(self, raw=None, encoding=0, raw_len=None, body=None, gap=b"", tail=b"", moved=0, longer=0, reserved=0, extra=b""):
        raw = self.tables() if raw is None else raw
        head = bytes([encoding]) + varint(len(raw) if raw_len is None else raw_len) + extra
        at = self.record(INDEX, head, raw if body is None else body)
        self.out += gap
        return self.out + footer(at + moved, len(self.out) + 32 + longer, reserved) + tail


def entry(path, kind, content=b"", mode=0o644, nanos=5, xattrs=(), extra=b"", user=b"anna"):
    out = string(path) + bytes([kind]) + varint(mode) + varint(1000) + varint(100) + string(user) + string(b"users")
    out += varint(2 * 1_700_000_000) + varint(nanos) + varint(len(xattrs))
    out += b"".join(string(name) + string(value) for name, value in xattrs)
    return out + content + extra


def data(chunk, offset, length):
    return varint(chunk + 1) + varint(offset) + varint(length)


def file(path, *extents, size, raw=b"", **more):
    content = varint(size) + blake3(raw) + varint(len(extents)) + b"".join(extents)
    return entry(path, 0, content, **more)


def hello(path=b"hello", **more):
    return file(path, data(0, 0, 5), size=5, raw=b"hello", **more)


def directory(path):
    return entry(path, 1, mode=0o755)


def symlink(path, target=b"/etc"):
    return entry(path, 2, string(target))


def hard_link(path, target):
    return entry(path, 3, string(target))


def fifo(path, **more):
    return entry(path, 4, **more)


def one(*entries, **how):
    """Chunk 0 is `hello`; the entries; the end."""
    return Archive().chunk(b"hello").entries(*entries, **how).end()


def changed(archive, at, mask=1):
    out = bytearray(archive)
    out[at] ^= mask
    return bytes(out)


VECTORS = []
BOTH, STREAM, DECODE = "stream and index", "stream", "decoding"


def vector(name, what, spec, archive, where=BOTH, limit=False):
    kind = "limit" if limit else {"good": "good", "bad": "corrupt", "unsupported": "unsupported"}[name.split("-")[0]]
    VECTORS.append((name, kind, "" if kind == "good" else where, spec, what, archive))


def good():
    whole = one(hello())
    vector("good-empty", "no entries", "§1", Archive().end())
    vector("good-store", "one stored chunk, one file", "§5", whole)
    frame = zstd_frame(b"hello")
    packed = string(hello())
    archive = Archive().chunk(b"hello", codec=1, stored=frame)
    archive.entries(hello(), encoding=1, raw_len=len(packed), body=zstd_frame(packed))
    tables = archive.tables()
    vector("good-zstd", "chunk, batch and index are zstd frames", "§2.5",
           archive.end(encoding=1, raw_len=len(tables), body=zstd_frame(tables)))
    kinds = [directory(b"d"), hello(b"d/file", xattrs=[(b"security.x", b""), (b"user.a", b"\0\xff")]), symlink(b"d/sym"),
             hard_link(b"link", b"d/file"), hard_link(b"link2", b"link"), fifo(b"implied/parent/fifo", mode=0o7777),
             entry(b"null", 5, varint(1) + varint(3)), entry(b"disk", 6, varint(8) + varint(2**32 - 1)),
             file(b"empty", size=0), fifo(b"no\xffutf8\n", user=b"")]
    vector("good-kinds", "every kind of entry", "§7.2", one(*kinds))
    hole = varint(0) + varint(1 << 40)
    vector("good-sparse", "a file of holes and data, a file of one hole", "§7.2",
           one(file(b"s", hole, data(0, 1, 2), hole, size=(1 << 41) + 2, raw=b"el"), file(b"h", hole, size=1 << 40)))
    archive = Archive().chunk(b"hello").entries(hello()).chunk(b"world")
    back = file(b"back", data(1, 0, 5), data(0, 4, 1), data(0, 4, 1), size=7, raw=b"worldoo")
    vector("good-shared", "two batches; chunks that several files share, and not in their order", "§7.2",
           archive.entries(hello(b"again"), back).end())
    vector("good-model", "a model record that no chunk needs", "§6", Archive().model().chunk(b"hello").entries(hello()).end())
    archive = Archive()
    archive.record(0x89, b"head", b"body")
    vector("good-ancillary-record", "an ancillary record of unknown type", "§4", archive.chunk(b"hello").entries(hello()).end())
    extra = varint(2) + string(b"later") + varint(4) + string(b"")
    archive = Archive().model(extra=extra).chunk(b"hello", extra=extra).entries(hello(extra=extra), extra=extra)
    vector("good-ancillary-fields", "ancillary extension fields wherever they may stand", "§2.4", archive.end(extra=extra))
    vector("good-ancillary-feature", "an unknown ancillary feature bit", "§3",
           Archive(header(features=1 << 63)).chunk(b"hello").entries(hello()).end())


def bad_frames():
    whole = one(hello())
    vector("bad-text-mode", "CR LF became LF on the way", "§3", whole.replace(b"\r\n", b"\n"))
    vector("bad-header-crc", "the header's CRC", "§3", changed(whole, 20))
    vector("bad-truncated", "the footer is missing", "§10", whole[:-32])
    vector("bad-truncated-record", "ends within the batch", "§4", whole[:120])
    vector("bad-trailing", "a byte behind the footer", "§4", whole + b"\0")
    vector("bad-gap", "a byte between index and footer", "§4", Archive().end(gap=b"\0"))
    archive = Archive()
    archive.out += b"\0" * 8
    vector("bad-marker", "8 bytes between header and first record", "§4", archive.chunk(b"hello").entries(hello()).end(), STREAM)
    vector("bad-record-crc", "a chunk record's header CRC", "§4", Archive().chunk(b"hello", crc=1).entries(hello()).end())
    vector("bad-record-position", "a record's CRC is of another position", "§4",
           Archive().chunk(b"hello", position=25).entries(hello()).end())
    vector("bad-body-crc", "a chunk's body CRC", "§4", Archive().chunk(b"hello", body_crc=1).entries(hello()).end())
    vector("bad-head-len", "a head of 4097 bytes", "§4",
           Archive().chunk(b"hello", extra=varint(2) + string(bytes(4097 - 23))).entries(hello()).end())
    vector("bad-varint", "the chunk's number is 0 in two bytes", "§2.2",
           Archive().chunk(b"hello", varints=lambda n: b"\x80\0").entries(hello()).end())
    vector("bad-extension-order", "tags of extension fields descend", "§2.4",
           one(hello(extra=varint(4) + string(b"") + varint(2) + string(b""))))
    vector("bad-footer-crc", "the footer's CRC", "§10", changed(whole, len(whole) - 12))
    vector("bad-footer-magic", "the footer's magic", "§10", changed(whole, len(whole) - 1))
    vector("bad-footer-len", "archive_len is 1 too large", "§10", Archive().end(longer=1))
    vector("bad-footer-position", "index_position is 1 too large", "§10", Archive().end(moved=1))


def bad_chunks():
    def with_chunk(**how):
        return Archive().chunk(b"hello", **how).entries(hello()).end()

    vector("bad-chunk-number", "the first chunk has number 1", "§5", with_chunk(number=1))
    vector("bad-chunk-empty", "a chunk with raw_len 0", "§5", Archive().chunk(b"").end())
    vector("bad-chunk-stored-len", "a stored chunk with another raw_len", "§5", with_chunk(raw_len=6))
    vector("bad-chunk-model", "a stored chunk names a model", "§5", Archive().model().chunk(b"hello", model=1).entries(hello()).end())
    archive = Archive().model().chunk(b"hello", codec=2, model=0)
    archive.chunks = [(at, 5, 5, 2, 1) for at, *_ in archive.chunks]
    vector("bad-chunk-no-model", "an lm chunk names no model", "§5", archive.end())
    vector("bad-chunk-absent-model", "an lm chunk names model 1 of 1", "§5",
           Archive().model().chunk(b"hello", codec=2, model=2).entries(hello()).end())
    vector("bad-chunk-cm-model", "a cm chunk names a model", "§5",
           Archive().model().chunk(b"hello", codec=3, model=1).entries(hello()).end())
    archive = Archive().model().chunk(b"hello", codec=4, model=0)
    archive.chunks = [(at, 5, 5, 4, 1) for at, *_ in archive.chunks]
    vector("bad-chunk-mix-no-model", "a mix chunk names no model", "§5", archive.end())
    vector("bad-chunk-mix-absent-model", "a mix chunk names model 1 of 1", "§5",
           Archive().model().chunk(b"hello", codec=4, model=2).entries(hello()).end())
    vector("bad-chunk-digest", "the digest of other bytes", "§5", with_chunk(digest=blake3(b"jello")[:16]), DECODE)
    vector("bad-chunk-zstd-short", "a zstd chunk decodes to fewer bytes", "§5",
           with_chunk(codec=1, stored=zstd_frame(b"hell")), DECODE)
    vector("bad-chunk-zstd-two-frames", "an empty zstd frame behind the first", "§5",
           with_chunk(codec=1, stored=zstd_frame(b"hello") + zstd_frame(b"")), DECODE)
    vector("bad-chunk-zstd-bomb", "a zstd chunk decodes to 128 KiB", "§5",
           with_chunk(codec=1, stored=zstd_frame(b"h", rle=1 << 17)), DECODE)
    vector("bad-chunk-zstd-noise", "a zstd chunk is no zstd frame", "§5", with_chunk(codec=1, stored=b"hello"), DECODE)
    vector("bad-model-window", "a model record with overlap = window", "§6", Archive().model(window=8).end())
    vector("bad-file-digest", "a file's digest is of other bytes", "§7.2",
           one(file(b"f", data(0, 0, 5), size=5, raw=b"jello")), DECODE)


def bad_entries():
    for name, what, path in (("absolute", "/a", b"/a"), ("dotdot", "a/../b", b"a/../b"), ("dot", "./a", b"./a"),
                             ("empty", "no bytes", b""), ("slash", "a directory's path ends in a slash", b"a/"),
                             ("double-slash", "a//b", b"a//b"), ("nul", "a NUL", b"a\0b"),
                             ("component", "a component of 256 bytes", b"a" * 256)):
        vector(f"bad-path-{name}", f"path: {what}", "§7.1", one(directory(path)))
    vector("bad-duplicate", "two entries with one path", "§7.3", one(hello(), hello()))
    vector("bad-duplicate-directory", "two directories with one path", "§7.3", one(directory(b"a"), directory(b"a")))
    vector("bad-below-symlink", "an entry below a symlink", "§7.3", one(symlink(b"a"), hello(b"a/b")))
    vector("bad-below-symlink-late", "a symlink above an earlier entry", "§7.3", one(hello(b"a/b"), symlink(b"a")))
    vector("bad-below-file", "an entry below a file, in another batch", "§7.3",
           Archive().chunk(b"hello").entries(hello(b"a")).entries(fifo(b"a/b/c")).end())
    vector("bad-hard-link-forward", "a hard link to a later entry", "§7.3", one(hard_link(b"a", b"hello"), hello()))
    vector("bad-hard-link-self", "a hard link to itself", "§7.3", one(hard_link(b"a", b"a")))
    vector("bad-hard-link-directory", "a hard link to a directory", "§7.3", one(directory(b"d"), hard_link(b"a", b"d")))
    vector("bad-hard-link-outside", "a hard link to ../x", "§7.2", one(hard_link(b"a", b"../x")))
    vector("bad-symlink-empty", "a symlink with no target", "§7.2", one(symlink(b"a", b"")))
    vector("bad-symlink-nul", "a symlink's target holds NUL", "§7.2", one(symlink(b"a", b"x\0y")))
    vector("bad-mode", "mode 0o10000", "§7.2", one(fifo(b"a", mode=0o10000)))
    vector("bad-nanos", "1,000,000,000 nanoseconds", "§7.2", one(fifo(b"a", nanos=10**9)))
    vector("bad-user", "a user name holds NUL", "§7.2", one(fifo(b"a", user=b"a\0")))
    vector("bad-xattr-order", "extended attributes descend", "§7.2", one(fifo(b"a", xattrs=[(b"user.b", b""), (b"user.a", b"")])))
    vector("bad-xattr-twice", "an extended attribute twice", "§7.2", one(fifo(b"a", xattrs=[(b"user.a", b""), (b"user.a", b"")])))
    vector("bad-xattr-name", "an extended attribute without name", "§7.2", one(fifo(b"a", xattrs=[(b"", b"")])))


def bad_extents():
    vector("bad-extent-outside", "an extent ends behind its chunk", "§7.3", one(file(b"f", data(0, 1, 5), size=5, raw=b"ello\0")))
    vector("bad-extent-absent", "an extent of a chunk that is not there", "§7.3", one(file(b"f", data(1, 0, 5), size=5)))
    vector("bad-extent-later", "an extent of a chunk behind the batch", "§7.3", Archive().entries(hello()).chunk(b"hello").end())
    vector("bad-extent-overflow", "offset + len is 2^32", "§7.3", one(file(b"f", data(0, 2**32 - 1, 1), size=1)))
    vector("bad-extent-empty", "an extent of no bytes", "§7.2", one(file(b"f", data(0, 0, 0), size=0)))
    vector("bad-size", "the size is not the extents' sum", "§7.2", one(file(b"f", data(0, 0, 5), size=6, raw=b"hello")))
    holes = [varint(0) + varint(1 << 63)] * 2
    vector("bad-size-overflow", "the extents' sum is 2^64, the size 0", "§7.2", one(file(b"f", *holes, size=0)))
    vector("bad-size-negative", "the size is 2^63", "§7.2", one(file(b"f", holes[0], size=1 << 63)))
    cut = varint(5) + blake3(b"hello") + varint(2**64 - 1) + data(0, 0, 5)
    vector("bad-extent-count", "2^64 - 1 extents are declared, one is there", "§7.2", one(entry(b"f", 0, cut)))


def bad_batches():
    vector("bad-batch-first", "the first batch starts at entry 1", "§7.3", one(hello(), first=1))
    vector("bad-batch-count", "a batch of no entries", "§7", Archive().entries().end())
    vector("bad-batch-many", "a batch of 1025 entries", "§7", Archive().entries(*(fifo(b"%d" % i) for i in range(1025))).end())
    vector("bad-batch-short", "two entries are declared, one is there", "§7", one(hello(), count=2))
    vector("bad-batch-trailing", "a byte behind the last entry", "§7",
           one(hello(), body=string(hello()) + b"\0", raw_len=len(string(hello())) + 1))
    vector("bad-batch-raw-len", "raw_len is 1 too small", "§2.5", one(hello(), raw_len=len(string(hello())) - 1))
    vector("bad-batch-bomb", "a batch unpacks to 128 KiB, 10 bytes are declared", "§2.5",
           one(hello(), encoding=1, raw_len=10, body=zstd_frame(b"h", rle=1 << 17)))
    vector("bad-batch-limit", "a batch declares 1 TiB", "§11", one(hello(), encoding=1, raw_len=1 << 40, body=zstd_frame(b"")), limit=True)
    packed = string(hello())
    twice = zstd_frame(packed) + zstd_frame(b"")
    vector("bad-batch-two-frames", "an empty zstd frame behind the first", "§2.5",
           one(hello(), encoding=1, raw_len=len(packed), body=twice))


def bad_indexes():
    def build():
        return Archive().chunk(b"hello").entries(hello())

    archive = build()
    archive.chunks = []
    vector("bad-index-missing", "a chunk is not in the index", "§8", archive.end())
    archive = build()
    archive.batches = []
    vector("bad-index-missing-batch", "a batch is not in the index", "§8", archive.end(), STREAM)
    archive = build()
    archive.batches *= 2
    vector("bad-index-twice", "a batch is in the index twice", "§8", archive.end())
    archive = build()
    archive.chunks = [(at, 5, 4, 0, 0) for at, *_ in archive.chunks]
    vector("bad-index-raw-len", "a chunk's raw_len differs", "§8", archive.end())
    archive = build()
    archive.batches = [(at, 2) for at, _ in archive.batches]
    vector("bad-index-count", "a batch's count differs", "§8", archive.end())
    vector("bad-index-trailing", "a byte behind the tables", "§8", Archive().end(raw=b"\0\0\0\0"))
    vector("bad-index-outside", "a batch behind the index", "§8", Archive().end(raw=b"\0\0\x01" + varint(1 << 40) + b"\x01"))
    vector("bad-index-overflow", "positions beyond 2^64", "§8",
           Archive().end(raw=b"\0\0\x02" + varint(24) + b"\x01" + varint(2**64 - 1) + b"\x01"))
    vector("bad-index-huge", "2^60 chunks are declared", "§8", Archive().end(raw=b"\0" + varint(1 << 60) + b"\0"))
    vector("bad-index-bomb", "raw_len of 1 MiB in an archive of 100 bytes", "§8",
           Archive().end(encoding=1, raw_len=1 << 20, body=zstd_frame(b"\0", rle=1 << 17)))


def unsupported():
    def with_header(**how):
        return Archive(header(**how)).chunk(b"hello").entries(hello()).end()

    vector("unsupported-version", "version 2", "§3", with_header(version=2))
    vector("unsupported-reserved", "a reserved bit of the header", "§3", with_header(reserved=0x8000))
    vector("unsupported-feature", "an unknown critical feature", "§3", with_header(features=1))
    archive = Archive()
    archive.record(9, b"", b"")
    vector("unsupported-record", "a critical record of unknown type", "§4", archive.chunk(b"hello").entries(hello()).end(), STREAM)
    vector("unsupported-flags", "a reserved flag of a record", "§4", Archive().chunk(b"hello", flags=1).entries(hello()).end())
    vector("unsupported-codec", "codec 255", "§5", Archive().chunk(b"hello", codec=255).entries(hello()).end())
    vector("unsupported-kind", "entry kind 7", "§7.2", one(entry(b"a", 7)))
    vector("unsupported-encoding", "a batch with encoding 2", "§2.5", one(hello(), encoding=2))
    vector("unsupported-index-encoding", "the index with encoding 2", "§2.5", Archive().end(encoding=2))
    extra = varint(3) + string(b"")
    vector("unsupported-entry-field", "a critical extension field in an entry", "§2.4", one(hello(extra=extra)))
    vector("unsupported-chunk-field", "a critical extension field in a chunk head", "§2.4",
           Archive().chunk(b"hello", extra=extra).entries(hello()).end())
    vector("unsupported-footer", "the footer's reserved field", "§10", Archive().end(reserved=1))


def main():
    for part in (good, bad_frames, bad_chunks, bad_entries, bad_extents, bad_batches, bad_indexes, unsupported):
        part()
    lines = [
        "# Test vectors of the container",
        "",
        "Made by `make.py`; never changed once released. `tests/container_vectors.rs` holds the reader to this",
        "table, and `tests/reader/lma_reader.py` too. Rejected by *stream and index*: by the push parser, and by",
        "whoever opens the archive through its index and reads all of it; *stream*: by the push parser, since",
        "random access does not look there; *decoding*: when the chunk is decoded.",
        "",
        "| file | verdict | rejected by | spec | what is special or wrong |",
        "|---|---|---|---|---|",
    ]
    for name, kind, where, spec, what, archive in VECTORS:
        path = HERE / f"{name}.lma"
        if path.exists() and path.read_bytes() != archive:
            print(f"{path.name} would change: give the new vector another name", file=sys.stderr)
            if "--overwrite" not in sys.argv:
                return 1
        path.write_bytes(archive)
        lines.append(f"| {path.name} | {kind} | {where} | {spec} | {what} |")
    (HERE / "README.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
