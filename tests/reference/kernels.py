"""Plain NumPy reference of every native kernel: slow, short, and the specification of each bit.

`tests/test_kernels.py` compares the Rust kernels with these, bit for bit, on every dispatch path.

Conventions
-----------
* `PrgKey(bytes16)` is an AES-128 key. `F(key, step)` is its stream number `step`: AES-CTR with initial counter block
  `be64(step) || be64(0)`, read as little-endian u64 words (SP 800-38A, FIPS-197). Word i is `F(key, step)[i]`.
* Ring vectors are flat u64. Bit planes are `[planes, words]` u64: bit (i mod 64) of word i//64 of plane j is bit j of
  element i; `words = ceil(n/64)`; bits beyond n are zero in `to_planes` and arbitrary elsewhere.
* In replicated sharing x = x0+x1+x2 party p holds (x_p, x_{p+1}) and the keys (K_p, K_{p+1}); arguments `a, b` and
  `ka, kb` are those two.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

U64 = np.uint64
MASK64 = (1 << 64) - 1


class PrgKey:
    def __init__(self, key: bytes) -> None:
        assert len(key) == 16
        self.key = key


def prg_words(key, step: int, n: int, offset: int = 0):
    """Words offset .. offset+n of stream `step`."""
    enc = Cipher(algorithms.AES(key.key), modes.CTR(step.to_bytes(8, "big") + bytes(8))).encryptor()
    raw = enc.update(bytes(8 * (offset + n + 1)))
    return np.frombuffer(raw, dtype="<u8")[offset : offset + n].astype(U64)


# --- ring -------------------------------------------------------------------------------------------------------


def matmul(x, y):
    """[m, k] @ [k, n] mod 2^64."""
    return np.matmul(x, y)


def rep3_mul(x0, x1, y0, y1, ka, kb, step):
    """z = x0*(y0+y1) + x1*y0 + F(ka) - F(kb), flat."""
    n = x0.size
    return x0 * (y0 + y1) + x1 * y0 + prg_words(ka, step, n) - prg_words(kb, step, n)


def rep3_matmul(x0, x1, y0, y1, ka, kb, step):
    """Z = X0 @ (Y0+Y1) + X1 @ Y0 + F(ka) - F(kb), the streams in row-major order of Z."""
    z = x0 @ (y0 + y1) + x1 @ y0
    zero = prg_words(ka, step, z.size) - prg_words(kb, step, z.size)
    return z + zero.reshape(z.shape)


def add_prg(x, key, step):
    """x + F(key)."""
    return x + prg_words(key, step, x.size)


def sub_prg(x, key, step):
    """x - F(key)."""
    return x - prg_words(key, step, x.size)


# --- bits -------------------------------------------------------------------------------------------------------


def rep3_and(x0, x1, y0, y1, ka, kb, step):
    """z = x0&(y0^y1) ^ x1&y0 ^ F(ka) ^ F(kb), flat or planes; streams in row-major order."""
    zero = prg_words(ka, step, x0.size) ^ prg_words(kb, step, x0.size)
    return (x0 & (y0 ^ y1)) ^ (x1 & y0) ^ zero.reshape(x0.shape)


def xor_prg(x, key, step):
    """x ^ F(key), any shape; stream in row-major order."""
    return x ^ prg_words(key, step, x.size).reshape(x.shape)


def to_planes(x, bits: int):
    """[n] u64 -> [bits, ceil(n/64)] planes of the low `bits` bits, zero padded."""
    words = -(-x.size // 64)
    padded = np.zeros(64 * words, dtype=U64)
    padded[: x.size] = x
    rows = padded.reshape(words, 64)
    out = np.zeros((bits, words), dtype=U64)
    for j in range(bits):
        bit = (rows >> U64(j)) & U64(1)
        out[j] = (bit << np.arange(64, dtype=U64)).sum(axis=1, dtype=U64)
    return out


def from_planes(planes, n: int):
    """[bits, words] planes -> [n] u64, bits above `bits` zero. bits <= 64, n <= 64*words."""
    bits, words = planes.shape
    out = np.zeros((words, 64), dtype=U64)
    for j in range(bits):
        out |= ((planes[j][:, None] >> np.arange(64, dtype=U64)) & U64(1)) << U64(j)
    return out.reshape(-1)[:n].copy()


def pack(x, bits: int):
    """The low `bits` bits of each element, concatenated least significant first: ceil(n*bits/8) bytes."""
    b = (x[:, None] >> np.arange(bits, dtype=U64)) & U64(1)
    return np.packbits(b.astype(np.uint8).reshape(-1), bitorder="little")


def unpack(data, n: int, bits: int):
    """Inverse of `pack`."""
    b = np.unpackbits(data, bitorder="little")[: n * bits].reshape(n, bits).astype(U64)
    return (b << np.arange(bits, dtype=U64)).sum(axis=1, dtype=U64)


def one_hot(planes):
    """[g, W] planes of a digit -> [2^g - 1, W]: plane v-1 is [digit == v], v = 1 .. 2^g - 1. 1 <= g <= 8."""
    g, words = planes.shape
    out = np.empty((2**g - 1, words), dtype=U64)
    for v in range(1, 2**g):
        acc = np.full(words, MASK64, dtype=U64)
        for j in range(g):
            acc &= planes[j] if v >> j & 1 else ~planes[j]
        out[v - 1] = acc
    return out


def lut_combine(hot, digit, table, out_bits: int, first: bool):
    """XOR-share of table[delta ^ digit] given this party's XOR-share `hot` of one_hot(delta).

    hot [2^g - 1, W]; digit [g, W] planes known to both holders; table [2^g] u64; returns [out_bits, W] planes.
    The share of [delta == 0] is the XOR of the others, complemented where `first` (exactly one holder is first).
    """
    g, words = digit.shape
    zero = np.bitwise_xor.reduce(hot, axis=0)
    full = np.concatenate([(~zero if first else zero)[None], hot])
    # rotate by XOR: row u becomes the share of [delta ^ digit == u]
    for j in range(g):
        pairs = full.copy()
        for v in range(2**g):
            pairs[v] = (full[v] & ~digit[j]) | (full[v ^ (1 << j)] & digit[j])
        full = pairs
    out = np.zeros((out_bits, words), dtype=U64)
    for v in range(2**g):
        for j in range(out_bits):
            if int(table[v]) >> j & 1:
                out[j] ^= full[v]
    return out


def digit_widths(bits: int, digit: int = 3) -> list[int]:
    """Widths of the digits of a `bits`-bit number, lowest first: 3, 3, ..., then what is left."""
    return [digit] * (bits // digit) + ([bits % digit] if bits % digit else [])


def carry_hot(planes, digit: int = 3):
    """One-hot planes of every digit of [bits, W] planes, lowest digit first: [sum(2^w - 1), W]."""
    out, at = [], 0
    for w in digit_widths(planes.shape[0], digit):
        out.append(one_hot(planes[at : at + w]))
        at += w
    return np.concatenate(out)


def carry_combine(hot, r, first: bool, carried: bool = False, digit: int = 3):
    """Shares of generate and propagate per digit of c + r, from shares of the one-hot digits of c and from clear r.

    hot: [sum(2^w - 1), W] as laid out by `carry_hot`; r: [bits, W] planes. Returns [2D - 1, W]: G of digits 0..D-1,
    then P of digits 1..D-1 (of all digits with `carried`: [2D, W]), where
    G = [digit_c + digit_r >= 2^w], P = [digit_c + digit_r == 2^w - 1].
    """
    widths = digit_widths(r.shape[0], digit)
    gs, ps, at, low = [], [], 0, 0
    for d, w in enumerate(widths):
        h = hot[at : at + 2**w - 1]
        digit = [r[low + j] for j in range(w)]
        zero = np.bitwise_xor.reduce(h, axis=0)
        rows = [(~zero if first else zero), *h]
        g = np.zeros_like(r[0])
        p = np.zeros_like(r[0])
        for v in range(2**w):
            equals = np.full_like(r[0], MASK64)
            for j in range(w):
                equals &= digit[j] if v >> j & 1 else ~digit[j]
            # the clear digit of r is v: G needs digit_c >= 2^w - v, P needs digit_c == 2^w - 1 - v
            for u in range(2**w - v, 2**w):
                g ^= rows[u] & equals
            p ^= rows[2**w - 1 - v] & equals
        gs.append(g)
        if d or carried:
            ps.append(p)
        at += 2**w - 1
        low += w
    return np.stack(gs + ps)


# --- truncation by f bits, protocol T1; see src/tacit/protocols/rep3.py ------------------------------------------
# Role 0 holds (x0, x1) and knows c = x0 + x1 + 2^62; roles 1 and 2 know r = x2. Streams: step (a0), step+1 (s),
# step+2 (rho). m(.) is "mod 2^f".


def trunc_0(x0, x1, f: int, ka, kb, step):
    """Role 0 (keys K0, K1). Returns (a1 [n] u64, t packed at f bits, y0, y1); the first two go to role 1."""
    n, m = x0.size, U64((1 << f) - 1)
    c = x0 + x1 + U64(1 << 62)
    a0 = prg_words(ka, step, n)
    a1 = (c >> U64(f)) - a0
    s = prg_words(ka, step + 1, n)
    t = ((c >> U64(63)) - s) & m
    y0, y1 = _trunc_y(a0, f, ka, step, 1 - (1 << (62 - f))), _trunc_y(a1, f, kb, step, 0)
    return a1, pack(t, f), y0, y1


def trunc_1(r, a1, t_packed, f: int, kb, step):
    """Role 1 (`kb` = K1, the key it shares with role 0). Returns (message to role 2 packed at f bits, y1)."""
    n, m = r.size, U64((1 << f) - 1)
    mr = r >> U64(63)
    t = unpack(t_packed, n, f) * (U64(1) - mr)
    rho = prg_words(kb, step + 2, n)
    return pack((t - rho) & m, f), _trunc_y(a1, f, kb, step, 0)


def trunc_2(r, f: int, ka, step):
    """Role 2 (`ka` = K0, the key it shares with role 0). Returns (message to role 1 packed at f bits, y0)."""
    n, m = r.size, U64((1 << f) - 1)
    mr = r >> U64(63)
    s = prg_words(ka, step + 1, n) * (U64(1) - mr)
    rho = prg_words(ka, step + 2, n)
    return pack((s - rho) & m, f), _trunc_y(prg_words(ka, step, n), f, ka, step, 1 - (1 << (62 - f)))


def trunc_finish(r, sent, received, f: int):
    """Roles 1 and 2: y2 = (r >> f) - 2^(64-f) * (msb(r) + sent + received mod 2^f)."""
    n = r.size
    w = (r >> U64(63)) + unpack(sent, n, f) + unpack(received, n, f)
    return (r >> U64(f)) - (w << U64(64 - f))


def _trunc_y(a, f, key, step, constant):
    rho = prg_words(key, step + 2, a.size)
    return a - (rho << U64(64 - f)) + U64(constant & MASK64)


# --- permutations -----------------------------------------------------------------------------------------------


def prg_permutation(key, step: int, n: int):
    """A uniform permutation of 0..n-1 (u32) by Fisher-Yates from stream `step`, n < 2^32.

    For i = n-1 down to 1: j uniform in 0..i by multiply-shift with rejection (Lemire 2019, arXiv 1805.10941) on
    consecutive 64-bit words of the stream: m = word*(i+1); accept when (m mod 2^64) >= (2^64 mod (i+1)); j = m >> 64.
    """
    perm = np.arange(n, dtype=np.uint32)
    words, at = prg_words(key, step, 2 * n + 64), 0
    for i in range(n - 1, 0, -1):
        bound = i + 1
        while True:
            m = int(words[at]) * bound
            at += 1
            if m & MASK64 >= (1 << 64) % bound:
                break
        j = m >> 64
        perm[i], perm[j] = perm[j], perm[i]
    return perm


def gather(x, perm):
    """x[perm] for flat u64 x and u32 perm."""
    return x[perm]
