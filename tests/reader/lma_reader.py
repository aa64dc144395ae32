#!/usr/bin/env python3
"""A second reader of lma archives, written from spec/lma-format.md alone.

    lma_reader.py ARCHIVE                 the whole stream, checked, as JSON on stdout
    lma_reader.py --judge ARCHIVE...      one line for each: its verdict, its name

Exit codes: 0 read and checked, 2 unsupported, 3 corrupt, 64 usage. Chunks of the codecs lm, cm and mix are
checked as far as their record goes ("decoded": false), and so are the files that need them. zstd frames are
decompressed by the Python module `zstandard` or the program `zstd`. It has no limits of its own: it is
for files that fit into memory.
"""

import json
import subprocess
import struct
import sys
import zlib

from blake3 import blake3

HEADER_MAGIC = bytes.fromhex("894c4d410d0a1a0a")
FOOTER_MAGIC = bytes.fromhex("89454e440d0a1a0a")
MARKER = bytes.fromhex("b54c6da1")
MODEL, CHUNK, ENTRIES, INDEX = 1, 2, 3, 4
STORE, ZSTD, LM, CM, MIX = 0, 1, 2, 3, 4
OF_A_MODEL = (LM, MIX)
KINDS = ("file", "directory", "symlink", "hardlink", "fifo", "chardevice", "blockdevice")


class Corrupt(Exception):
    """The bytes contradict a checksum or the specification (§9.1)."""


class Unsupported(Exception):
    """Something that version 1 does not define (§9.1)."""


def check(condition, why):
    if not condition:
        raise Corrupt(why)


class Cursor:
    """§2: fields off the front of bytes."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, n):
        check(n <= len(self.data) - self.at, f"{self.what} is cut short")
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self):
        return self.take(1)[0]

    def unpack(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def varint(self, bits=64):
        value = 0
        for i in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                check(byte != 0 or i == 0, f"{self.what}: overlong varint")
                check(value < 1 << bits, f"{self.what}: varint beyond {bits} bits")
                return value
        raise Corrupt(f"{self.what}: varint of more than 10 bytes")

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self, most=None):
        n = self.varint()
        check(most is None or n <= most, f"{self.what}: {n} bytes, at most {most} allowed")
        return self.take(n)

    def end(self):
        check(self.at == len(self.data), f"bytes follow {self.what}")

    def extensions(self):
        """§2.4"""
        last = -1
        while self.at < len(self.data):
            tag = self.varint()
            self.bytes()
            check(tag > last, f"{self.what}: tags of extension fields do not ascend")
            if tag & 1:
                raise Unsupported(f"{self.what}: critical extension field {tag}")
            last = tag


def frame_len(data):
    """RFC 8878 §3.1.1: the length of the frame at the front, and its window."""
    cursor = Cursor(data, "a zstd frame")
    magic, descriptor = cursor.unpack("IB")
    check(magic == 0xFD2FB528, "not a zstd frame")
    single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    window = 0
    if not single:
        exponent, mantissa = divmod(cursor.u8(), 8)
        window = (1 << 10 + exponent) * (8 + mantissa) // 8
    check(descriptor & 3 == 0, "a zstd frame with a dictionary")
    size_len = (single, 2, 4, 8)[descriptor >> 6]
    size = int.from_bytes(cursor.take(size_len), "little") + 256 * (size_len == 2)
    last = 0
    while not last:
        block = int.from_bytes(cursor.take(3), "little")
        last, kind = block & 1, block >> 1 & 3
        cursor.take(1 if kind == 1 else block >> 3)
    cursor.take(4 * has_checksum)
    return cursor.at, size if single else window


def unzstd(frame, most_window=1 << 31):
    length, window = frame_len(frame)
    check(length == len(frame), "bytes follow a zstd frame")
    check(window <= most_window, f"a zstd window of {window} bytes")
    try:
        import zstandard
    except ImportError:
        run = subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=False)
        check(run.returncode == 0, f"zstd: {run.stderr.decode(errors='replace').strip()}")
        return run.stdout
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(frame)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd: {error}") from error


def unpack(body, encoding, raw_len, what):
    """§2.5"""
    if encoding > 1:
        raise Unsupported(f"{what}: encoding {encoding}")
    raw = unzstd(body, 8 << 20) if encoding == 1 else body
    check(len(raw) == raw_len, f"{what} unpacks to {len(raw)} bytes, {raw_len} are declared")
    return raw


def header(data):
    """§3"""
    cursor = Cursor(data[:24], "the stream header")
    magic, version, reserved, features, crc = cursor.unpack("8sHHQI")
    check(magic == HEADER_MAGIC, "not an lma archive")
    check(crc == zlib.crc32(data[:20]), "stream header: CRC")
    if version != 1 or reserved != 0 or features & 0xFFFFFFFF:
        raise Unsupported(f"version {version}, reserved {reserved}, features {features:#x}")


def record(data, position):
    """§4: kind, head, body, and the position behind the record."""
    cursor = Cursor(data[position : position + 16], f"the record header at {position}")
    marker, kind, flags, head_len, body_len, body_crc = cursor.unpack("4sBBHII")
    check(marker == MARKER, f"no record at {position}")
    check(head_len <= 4096, f"head of {head_len} bytes at {position}")
    cursor = Cursor(data[position + 16 :], f"the record at {position}")
    head = cursor.take(head_len)
    (crc,) = cursor.unpack("I")
    covered = data[position : position + 16 + head_len] + struct.pack("<Q", position)
    check(crc == zlib.crc32(covered), f"record header at {position}: CRC")
    if flags != 0 or (kind not in (MODEL, CHUNK, ENTRIES, INDEX) and kind < 0x80):
        raise Unsupported(f"record at {position}: flags {flags:#x}, type {kind}")
    body = cursor.take(body_len)
    check(body_crc == zlib.crc32(body), f"record body at {position}: CRC")
    return kind, head, body, position + 20 + head_len + body_len


def chunk_record(head, body, position, models):
    """§5"""
    cursor = Cursor(head, "a chunk head")
    number, codec = cursor.varint(), cursor.u8()
    if codec > MIX:
        raise Unsupported(f"chunk codec {codec}")
    model, raw_len, digest = cursor.varint(), cursor.varint(32), cursor.take(16)
    cursor.extensions()
    check(raw_len >= 1, f"chunk {number} is empty")
    check((model != 0) == (codec in OF_A_MODEL), f"chunk {number}: codec {codec} with model {model}")
    check(model <= len(models), f"chunk {number}: model {model - 1} is not before it")
    check(codec != STORE or len(body) == raw_len, f"chunk {number}: stored length")
    raw = None
    if codec in (STORE, ZSTD):
        raw = unzstd(body) if codec == ZSTD else body
        check(len(raw) == raw_len, f"chunk {number} decodes to {len(raw)} bytes, {raw_len} are declared")
        check(blake3(raw)[:16] == digest, f"chunk {number}: digest")
    return {"number": number, "position": position, "codec": codec, "model": model, "raw_len": raw_len,
            "stored_len": len(body), "raw": raw}


def model_record(head, body, position):
    """§6"""
    check(not body, "a model record has a body")
    cursor = Cursor(head, "a model record")
    number, sha256, size = cursor.varint(32), cursor.take(32), cursor.varint()
    name, architecture = cursor.bytes(255), cursor.bytes(255)
    vocab_size, tokens = cursor.varint(32), cursor.take(32)
    window, overlap, numerics, canary = cursor.varint(32), cursor.varint(32), cursor.bytes(255), cursor.take(32)
    cursor.extensions()
    check(1 <= overlap < window and vocab_size > 0 and numerics, "model record: window, vocab_size or numerics")
    try:
        names = [text.decode() for text in (name, architecture, numerics)]
    except UnicodeDecodeError as error:
        raise Corrupt("model record: a string is not UTF-8") from error
    return {"number": number, "position": position, "sha256": sha256.hex(), "size": size, "name": names[0],
            "architecture": names[1], "vocab_size": vocab_size, "tokens": tokens.hex(), "window": window,
            "overlap": overlap, "numerics": names[2], "canary": canary.hex()}


def path_of(raw, what):
    """§7.1"""
    good = all(part not in (b"", b".", b"..") and len(part) <= 255 for part in raw.split(b"/"))
    check(good and b"\0" not in raw, f"{what} {raw!r} is not allowed")
    return raw


def content(cursor):
    """§7.2, kind file"""
    size, digest, extents = cursor.varint(), cursor.take(32), []
    for _ in range(cursor.varint()):
        c = cursor.varint()
        extent = ("hole", cursor.varint()) if c == 0 else ("data", c - 1, cursor.varint(32), cursor.varint(32))
        check(extent[-1] >= 1, "an extent is empty")
        extents.append(extent)
    check(sum(extent[-1] for extent in extents) == size < 1 << 63, "the extents do not add up to the size")
    return {"size": size, "digest": digest.hex(), "extents": extents}


def entry_of(data):
    """§7.2"""
    cursor = Cursor(data, "an entry")
    path, kind = path_of(cursor.bytes(), "path"), cursor.u8()
    entry = {"path": path.hex(), "mode": cursor.varint(), "uid": cursor.varint(32), "gid": cursor.varint(32)}
    entry["user"], entry["group"] = cursor.bytes(255).hex(), cursor.bytes(255).hex()
    entry["secs"], entry["nanos"] = cursor.zigzag(), cursor.varint(32)
    xattrs = [(cursor.bytes(), cursor.bytes()) for _ in range(cursor.varint())]
    names = [name for name, _ in xattrs]
    check(all(name and b"\0" not in name for name in names), "an extended attribute's name")
    check(all(a < b for a, b in zip(names, names[1:])), "extended attributes do not ascend")
    check(entry["mode"] <= 0o7777 and entry["nanos"] < 10**9, "mode or mtime")
    check("00" not in (entry[owner][i : i + 2] for owner in ("user", "group")
                       for i in range(0, len(entry[owner]), 2)), "an owner's name holds NUL")
    entry["xattrs"] = [(name.hex(), value.hex()) for name, value in xattrs]
    if kind >= len(KINDS):
        raise Unsupported(f"entry kind {kind}")
    entry["kind"] = KINDS[kind]
    if kind == 0:
        entry.update(content(cursor))
    elif kind == 2:
        target = cursor.bytes()
        check(target and b"\0" not in target, "a link target is empty or holds NUL")
        entry["target"] = target.hex()
    elif kind == 3:
        entry["target"] = path_of(cursor.bytes(), "hard link target").hex()
    elif kind >= 5:
        entry["major"], entry["minor"] = cursor.varint(32), cursor.varint(32)
    cursor.extensions()
    return entry


class Rules:
    """§7.3"""

    def __init__(self):
        self.kinds, self.parents = {}, set()

    def add(self, entry, chunks):
        path = bytes.fromhex(entry["path"])
        parts = path.split(b"/")
        above = [b"/".join(parts[:i]) for i in range(1, len(parts))]
        check(path not in self.kinds, f"{path!r} occurs twice")
        check(all(self.kinds.get(up, "directory") == "directory" for up in above), f"{path!r} is below a non-directory")
        check(entry["kind"] == "directory" or path not in self.parents, f"entries are below {path!r}")
        if entry["kind"] == "hardlink":
            target = self.kinds.get(bytes.fromhex(entry["target"]), "directory")
            check(target != "directory", f"{path!r} links to nothing earlier")
        if entry["kind"] == "file":
            self.file(path, entry, chunks)
        self.kinds[path] = entry["kind"]
        self.parents.update(above)

    @staticmethod
    def file(path, entry, chunks):
        pieces = []
        for extent in entry["extents"]:
            if extent[0] == "data":
                _, number, offset, length = extent
                check(number < len(chunks), f"{path!r} refers to chunk {number}")
                check(offset + length <= chunks[number]["raw_len"], f"{path!r} goes beyond chunk {number}")
                raw = chunks[number]["raw"]
                pieces.append(None if raw is None else raw[offset : offset + length])
        entry["decoded"] = None not in pieces
        if entry["decoded"]:
            check(blake3(b"".join(pieces)).hex() == entry["digest"], f"{path!r}: digest")


def entries_record(head, body, position, before):
    """§7"""
    cursor = Cursor(head, "an entry batch's head")
    first, count, encoding, raw_len = cursor.varint(), cursor.varint(), cursor.u8(), cursor.varint()
    cursor.extensions()
    check(1 <= count <= 1024, f"a batch of {count} entries")
    check(first == before, f"a batch starts at entry {first}, {before} precede it")
    cursor = Cursor(unpack(body, encoding, raw_len, "an entry batch"), "an entry batch")
    entries = [entry_of(cursor.bytes()) for _ in range(count)]
    cursor.end()
    return {"position": position, "first": first, "count": count}, entries


def index_record(head, body, position, models, chunks, batches):
    """§8: the index must say what the stream has shown."""
    cursor = Cursor(head, "the index head")
    encoding, raw_len = cursor.u8(), cursor.varint()
    cursor.extensions()
    check(raw_len <= position + 64, "the index is too large for its archive")
    cursor = Cursor(unpack(body, encoding, raw_len, "the index"), "the index")
    end, found = 0, []
    for _ in range(cursor.varint()):
        end += cursor.varint()
        found.append(end)
    check(found == [model["position"] for model in models], "the index disagrees on the models")
    end, found = 0, []
    for _ in range(cursor.varint()):
        at = end + cursor.varint()
        stored_len, raw, codec = cursor.varint(32), cursor.varint(32), cursor.u8()
        found.append((at, stored_len, raw, codec, cursor.varint(32) + 1 if codec in OF_A_MODEL else 0))
        end = at + stored_len
    seen = [tuple(chunk[key] for key in ("position", "stored_len", "raw_len", "codec", "model")) for chunk in chunks]
    check(found == seen, "the index disagrees on the chunks")
    end, found = 0, []
    for _ in range(cursor.varint()):
        end += cursor.varint()
        found.append((end, cursor.varint()))
    check(found == [(batch["position"], batch["count"]) for batch in batches], "the index disagrees on the batches")
    cursor.end()


def read(data):
    """§9.2: the whole stream."""
    header(data)
    position, models, chunks, batches, entries, rules = 24, [], [], [], [], Rules()
    while True:
        at = position
        kind, head, body, position = record(data, at)
        if kind == MODEL:
            models.append(model_record(head, body, at))
            check(models[-1]["number"] == len(models) - 1, "model numbers are not contiguous")
        elif kind == CHUNK:
            chunks.append(chunk_record(head, body, at, models))
            check(chunks[-1]["number"] == len(chunks) - 1, "chunk numbers are not contiguous")
        elif kind == ENTRIES:
            batch, new = entries_record(head, body, at, len(entries))
            for entry in new:
                rules.add(entry, chunks)
            batches.append(batch)
            entries.extend(new)
        elif kind == INDEX:
            index_record(head, body, at, models, chunks, batches)
            break
    check(len(data) == position + 32, "the archive does not end with one footer")
    index_position, archive_len, reserved, crc, magic = struct.unpack("<QQII8s", data[position:])
    check(magic == FOOTER_MAGIC and crc == zlib.crc32(data[position : position + 20]), "footer: magic or CRC")
    if reserved:
        raise Unsupported("footer: reserved field")
    check((index_position, archive_len) == (at, len(data)), "the footer's positions")
    for chunk in chunks:
        chunk["decoded"] = chunk.pop("raw") is not None
    return {"models": models, "chunks": chunks, "batches": batches, "entries": entries}


def judge(path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        read(data)
    except Corrupt:
        return "corrupt"
    except Unsupported:
        return "unsupported"
    return "good"


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--judge":
        for path in sys.argv[2:]:
            print(judge(path), path)
        return 0
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    try:
        json.dump(read(data), sys.stdout, indent=1)
    except Corrupt as error:
        print(f"corrupt: {error}", file=sys.stderr)
        return 3
    except Unsupported as error:
        print(f"unsupported: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
