"""BLAKE3 (unkeyed, 32 bytes), from section 2 of its paper. Slow and short."""

import struct

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def _g(v, a, b, c, d, x, y):
    v[a] = (v[a] + v[b] + x) & MASK
    t = v[d] ^ v[a]
    v[d] = (t >> 16) | (t << 16) & MASK
    v[c] = (v[c] + v[d]) & MASK
    t = v[b] ^ v[c]
    v[b] = (t >> 12) | (t << 20) & MASK
    v[a] = (v[a] + v[b] + y) & MASK
    t = v[d] ^ v[a]
    v[d] = (t >> 8) | (t << 24) & MASK
    v[c] = (v[c] + v[d]) & MASK
    t = v[b] ^ v[c]
    v[b] = (t >> 7) | (t << 25) & MASK


def _compress(cv, block, counter, length, flags):
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    v = list(cv) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]
    for r in range(7):
        for i in range(4):
            _g(v, i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1])
        for i in range(4):
            _g(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i])
        if r < 6:
            m = [m[p] for p in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def _chunk(data, counter, root):
    cv = IV
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        flags = CHUNK_START * (i == 0)
        if i == len(blocks) - 1:
            flags |= CHUNK_END | ROOT * root
        cv = _compress(cv, block, counter, len(block), flags)
    return cv


def _tree(data, counter, root):
    """The left subtree takes the largest power of two of whole chunks that leaves some for the right."""
    if len(data) <= 1024:
        return _chunk(data, counter, root)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    pair = _tree(data[:left], counter, False) + _tree(data[left:], counter + left // 1024, False)
    return _compress(IV, struct.pack("<16I", *pair), 0, 64, PARENT | ROOT * root)


def blake3(data):
    """The 32-byte digest of data."""
    return struct.pack("<8I", *_tree(bytes(data), 0, True))


def self_test():
    """Vectors of the reference implementation: the first bytes count up modulo 251."""
    for length, start in ((0, "af1349b9f5f9a1a6"), (1, "2d3adedff11b61f1"), (1024, "42214739f095a406"),
                          (1025, "d00278ae47eb27b3"), (2049, "5f4d72f40d7a5f82"), (31744, "62b6960e1a44bcc1")):
        digest = blake3(bytes(i % 251 for i in range(length)))
        assert digest.hex().startswith(start), f"BLAKE3 of {length} bytes is {digest.hex()}, expected {start}..."


if __name__ == "__main__":
    self_test()
