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


def rep3_matmul(x0, x1, y0, y1, ka, kb, step, me):
    """Party me's part of X @ Y plus F(ka) - F(kb), the streams in row-major order of Z.

    Party t has turn t: a third of the depth, or party 0 all of it if k < 32. Whose turn it is adds
    (X0+X1) @ (Y0+Y1), the next party X0 @ Y1 + X1 @ (Y0+Y1), the last one X0 @ Y1 + X1 @ Y0.
    """
    k = x0.shape[1]
    turns = 3 if k >= 32 else 1
    z = np.zeros((x0.shape[0], y0.shape[1]), U64)
    for turn in range(turns):
        s = slice(k * turn // turns, k * (turn + 1) // turns)
        a, b, c, d = x0[:, s], x1[:, s], y0[s], y1[s]
        z += ((a + b) @ (c + d), a @ d + b @ (c + d), a @ d + b @ c)[(me - turn) % 3]
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


def gf256_product(x, y):
    """Products of u8 in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1: FIPS-197, section 4.2."""
    x, out = x.copy(), np.zeros_like(x)
    for k in range(8):
        out ^= x * (y >> np.uint8(k) & np.uint8(1))
        x = (x << np.uint8(1)) ^ (x >> np.uint8(7)) * np.uint8(0x1B)
    return out


def gf256_mul(x, y, i: int, j: int):
    """x^(2^i) y^(2^j), byte by byte of the words."""
    x, y = (np.ascontiguousarray(v).view(np.uint8) for v in (x, y))
    for _ in range(i):
        x = gf256_product(x, x)
    for _ in range(j):
        y = gf256_product(y, y)
    return gf256_product(x, y).view(U64)


def rep3_gf256_mul(x0, x1, y0, y1, i: int, j: int, ka, kb, step):
    """z = X0 (Y0 + Y1) + X1 Y0 + F(ka) + F(kb) for X = x^(2^i), Y = y^(2^j); streams in row-major order."""
    zero = prg_words(ka, step, x0.size) ^ prg_words(kb, step, x0.size)
    return gf256_mul(x0, y0 ^ y1, i, j) ^ gf256_mul(x1, y0, i, j) ^ zero.reshape(x0.shape)


def aes_layer(x, key, mix: bool):
    """The linear part of SubBytes, ShiftRows, MixColumns where `mix`, AddRoundKey: FIPS-197, section 5.1."""
    state = x.view(np.uint8).reshape(-1, 4, 4).transpose(0, 2, 1)
    bits = np.unpackbits(state[..., None], axis=-1, bitorder="little")
    affine = np.bitwise_xor.reduce([np.roll(bits, k, axis=-1) for k in range(5)])
    state = np.packbits(affine, axis=-1, bitorder="little")[..., 0]
    state = np.stack([np.roll(state[:, r], -r, axis=1) for r in range(4)], axis=1)
    if mix:
        rows = [np.roll(state, -r, axis=1) for r in range(4)]
        twice, thrice = (gf256_product(rows[r], np.full_like(state, r + 2)) for r in (0, 1))
        state = twice ^ thrice ^ rows[2] ^ rows[3]
    out = np.ascontiguousarray(state.transpose(0, 2, 1)).reshape(-1).view(U64)
    return out ^ (key if key.size == x.size else np.tile(key, x.size // 2))


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
    """[g, W] planes of a digit -> [2^g - 1, W]: plane v-1 is [digit == v], v = 1 .. 2^g - 1. 1 <= g <= 9."""
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


def hot_rows(x, drop: int, g: int):
    """One-hot rows of x >> drop modulo 2^g: [64 ceil(n / 64), 2^g / 64], bit i of a row is [== i]; 6 <= g <= 16."""
    n = x.size
    rows = np.zeros((64 * -(-n // 64), 2**g), dtype=np.uint8)
    rows[np.arange(n), (x >> U64(drop)) & U64(2**g - 1)] = 1
    return np.packbits(rows, axis=1, bitorder="little").view(U64)


def look_up_rows(hot, r, drop: int, table):
    """XOR-shares of table[(c + (r >> drop)) mod 2^g] given this party's XOR-share of the one-hot rows of c."""
    bits = np.unpackbits(hot.view(np.uint8), axis=1, bitorder="little")
    places = (np.arange(table.size, dtype=U64) + (r[:, None] >> U64(drop))) & U64(table.size - 1)
    return np.bitwise_xor.reduce(bits[: r.size] * table[places], axis=1)


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


# --- steps of a vector whose thirds rotate the roles --------------------------------------------------------------
# Party me has role q in third (me - q) mod 3; a third is whole words of 64 elements. In role q it holds components q
# and q + 1: r = x2 is the second of them in role 1 and the first in role 2, and role 0 has the key of the other one.


def third(me: int, role: int, n: int):
    """(turn, elements, words) of the third in which a party has a role."""
    turn, words = (me - role) % 3, -(-n // 64)
    lo, hi = words * turn // 3, words * (turn + 1) // 3
    return turn, slice(min(n, 64 * lo), min(n, 64 * hi)), slice(lo, hi)


def _reshared(me: int, n: int, values, ka, kb, step):
    """values[role - 1]: T and S. (y0, y1) with T - F and S - F in the place of component 2."""
    y0, y1 = np.empty(n, dtype=U64), np.empty(n, dtype=U64)
    turn, e, _ = third(me, 0, n)
    y0[e], y1[e] = (prg_words(k, step + turn, e.stop - e.start) for k in (ka, kb))
    for role, key, value in ((1, ka, values[0]), (2, kb, values[1])):
        turn, e, _ = third(me, role, n)
        stream = prg_words(key, step + turn, value.size)
        stay, go = (y0, y1) if role == 1 else (y1, y0)
        stay[e], go[e] = stream, value - stream
    return y0, y1


def reshare_planes(me: int, n: int, x1, x2, ka, kb, step):
    """((y0, y1), messages): y0 and y1 are `[planes, words]`, and zero here in the place of component 2."""
    y = tuple(np.zeros((len(x1), -(-n // 64)), dtype=U64) for _ in range(2))
    turn, _, w = third(me, 0, n)
    for part, key in zip(y, (ka, kb), strict=True):
        part[:, w] = prg_words(key, step + turn, part[:, w].size).reshape(part[:, w].shape)
    messages = []
    for role, key, value in ((1, ka, x1), (2, kb, x2)):
        turn, _, w = third(me, role, n)
        stream = prg_words(key, step + turn, value.size).reshape(value.shape)
        y[role - 1][:, w] = stream
        messages.append(value ^ stream)
    return y, tuple(messages)


def b2a_send(me: int, n: int, a, b, key, step):
    """Role 0: for each bit i, beta - F(key, step + 3i + turn) at 64 - i bits."""
    turn, e, w = third(me, 0, n)
    beta, size = (a ^ b)[:, w], e.stop - e.start
    return np.concatenate(
        [
            pack(from_planes(plane[None], size) - prg_words(key, step + 3 * i + turn, size), 64 - i)
            for i, plane in enumerate(beta)
        ]
    )


def b2a_combine(me: int, n: int, a, b, received, ka, kb, step, after):
    """The sum of 2^i (u_i (1 - 2 b2) + b2 in role 1), reshared with streams `after`."""
    values, at = [], 0
    for role, planes in ((1, b), (2, a)):
        turn, e, w = third(me, role, n)
        size, total = e.stop - e.start, np.zeros(e.stop - e.start, dtype=U64)
        for i, plane in enumerate(planes[:, w]):
            if role == 1:
                length = -(-size * (64 - i) // 8)
                u = unpack(received[at : at + length], size, 64 - i)
                at += length
            else:
                u = prg_words(kb, step + 3 * i + turn, size)
            b2 = from_planes(plane[None], size)
            total += (u * (U64(1) - U64(2) * b2) + (b2 if role == 1 else U64(0))) << U64(i)
        values.append(total)
    return _reshared(me, n, values, ka, kb, after)


def inject_send(me: int, a, b, x0, x1, key, step):
    """Role 0: beta c and beta, each minus a stream."""
    turn, e, w = third(me, 0, x0.size)
    c = (x0 + x1)[e]
    beta = from_planes((a ^ b)[:, w], c.size)
    u, v = (prg_words(key, step + 2 * turn + i, c.size) for i in range(2))
    return np.concatenate([beta * c - u, beta - v]).view(np.uint8)


def inject_combine(me: int, a, b, x0, x1, received, ka, kb, step, after):
    """(1 - 2 b2)(u + r v) + b2 (own, and r in role 1), reshared with streams `after`."""
    n, values = x0.size, []
    for role, plane, own, r in ((1, b, x0, x1), (2, a, x1, x0)):
        turn, e, w = third(me, role, n)
        b2 = from_planes(plane[:, w], e.stop - e.start)
        if role == 1:
            u, v = received.view(U64).reshape(2, -1)
        else:
            u, v = (prg_words(kb, step + 2 * turn + i, b2.size) for i in range(2))
        held = own[e] + r[e] if role == 1 else own[e]
        values.append((U64(1) - U64(2) * b2) * (u + r[e] * v) + b2 * held)
    return _reshared(me, n, values, ka, kb, after)


def trunc_send(me: int, x0, x1, f: int, exact: bool, ka, kb, step):
    """(y0, y1, message): y0 and y1 are zero here but where the party has role 0."""
    y0, y1 = np.zeros_like(x0), np.zeros_like(x1)
    turn, e, _ = third(me, 0, x0.size)
    a1, t, y0[e], y1[e] = trunc_0(x0[e], x1[e], f, exact, ka, kb, step + 3 * turn)
    return y0, y1, np.concatenate([a1.view(np.uint8), t])


def trunc_exchange(me: int, y0, y1, x0, x1, received, f: int, ka, kb, step):
    """The messages of roles 1 and 2; fills their shares y1 and y0 in."""
    turn, e, _ = third(me, 1, x0.size)
    size = e.stop - e.start
    one, y0[e] = trunc_1(x1[e], received[: 8 * size].view(U64), received[8 * size :], f, ka, step + 3 * turn)
    turn, e, _ = third(me, 2, x0.size)
    two, y1[e] = trunc_2(x0[e], f, kb, step + 3 * turn)
    return one, two


def trunc_finish(me: int, y0, y1, x0, x1, s1, s2, r1, r2, f: int) -> None:
    """Fills component 2 in."""
    _, e, _ = third(me, 1, x0.size)
    y1[e] = trunc_wrap(x1[e], s1, r1, f)
    _, e, _ = third(me, 2, x0.size)
    y0[e] = trunc_wrap(x0[e], s2, r2, f)


# --- truncation by f bits, protocol T1; see src/tacit/protocols/rep3.py ------------------------------------------
# Role 0 holds (x0, x1) and knows c = x0 + x1 + 2^62; roles 1 and 2 know r = x2. Streams: step (a0), step+1 (s),
# step+2 (rho). m(.) is "mod 2^f".


def trunc_0(x0, x1, f: int, exact: bool, ka, kb, step):
    """Role 0 (keys K0, K1). Returns (a1 [n] u64, t packed at f bits, y0, y1); the first two go to role 1.

    `exact` rounds c to the nearest; otherwise it is c - 1 that is rounded down.
    """
    n, m = x0.size, U64((1 << f) - 1)
    c = x0 + x1 + U64((1 << 62) - (not exact))
    a0 = prg_words(ka, step, n)
    a1 = (c >> U64(f)) - a0
    if exact:
        a1 += c >> U64(f - 1) & U64(1)
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


def trunc_wrap(r, sent, received, f: int):
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


def difference_planes(x, left, right, bits: int, offset: int):
    """Planes of x[left] - x[right] + offset for flat u64 x and flat intp left and right."""
    return to_planes(x[left] - x[right] + U64(offset), bits)


def gather(x, perm, first=0):
    """x[perm, first:] for u64 x of rows and flat u32 perm."""
    return x[perm, first:]


def segment_pairs(rows, starts, sizes, parted: int, room: int):
    """The rows that a batch of a quicksort compares: with the first one of `parted` segments, in the rest all pairs.

    Filled up to `room` comparisons with the first row of all and itself.
    """
    left, right = [], []
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        segment = rows[start : start + size].tolist()
        for at, row in enumerate(segment[: 1 if i < parted else size]):
            for other in segment[at + 1 :]:
                left.append(other if i < parted else row)
                right.append(row if i < parted else other)
    for side in (left, right):
        side += [rows[0]] * (room - len(side))
    return np.array(left, np.intp), np.array(right, np.intp)


def segment_parts(rows, starts, sizes, parted: int, outcomes):
    """The rows rearranged by whether left comes before right, and how many come before each of `parted` pivots."""
    rows, less, outcomes = rows.copy(), [], iter(outcomes.tolist())
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        first, *others = segment = rows[start : start + size].tolist()
        if i < parted:
            lower = [next(outcomes) for _ in others]
            below = [row for row, is_lower in zip(others, lower, strict=True) if is_lower]
            less.append(len(below))
            segment = [*below, first, *(row for row, is_lower in zip(others, lower, strict=True) if not is_lower)]
        else:
            places = [0] * size
            for a in range(size):
                for b in range(a + 1, size):
                    places[b if next(outcomes) else a] += 1
            segment = [row for _, row in sorted(zip(places, segment, strict=True))]
        rows[start : start + size] = segment
    return rows, np.array(less, np.intp)


def thermometer_digits(monomials, n: int):
    """Rows of 4-bit digits, bit v of 16 saying that a digit is v or more, four to a word: [n, ceil(D / 4)].

    monomials [16, D, W]: plane u is the product of the bits in u. Linear in them: a bit of a code is the sum over the
    values from v on of the sum over the monomials that have all of the value's bits, since a bit that is to be 0 counts
    as 1 minus itself.
    """
    digits = monomials.shape[1]
    out = np.zeros((n, -(-digits // 4)), dtype=U64)
    for d in range(digits):
        hot = [np.bitwise_xor.reduce([monomials[u, d] for u in range(16) if u & v == v]) for v in range(16)]
        codes = np.stack([np.bitwise_xor.reduce(hot[v:]) for v in range(16)])
        out[:, d // 4] |= from_planes(codes, n) << U64(16 * (d % 4))
    return out


def rep3_less(x0, x1, digits: int, left, right, ka, kb, step: int):
    """Shares of [x < y] for all digits, then of [x == y] for all but the first, of rows x = left, y = right."""

    def bits(x, rows):
        words = x[rows][:, :, None] >> np.arange(64, dtype=U64) & U64(1)
        return words.reshape(len(rows), 4 * x.shape[1], 16)[:, :digits]

    def equal(codes):
        return codes ^ np.concatenate([codes[..., 1:], np.zeros_like(codes[..., :1])], axis=-1)

    def product(x, y):
        return (x & y).sum(axis=-1) % 2

    (a0, a1), (b0, b1) = ([bits(x, rows) for x in (x0, x1)] for rows in (left, right))
    out = []
    for shift in (lambda c: np.concatenate([c[..., 1:], np.zeros_like(c[..., :1])], axis=-1), equal):
        share = product(equal(a0), shift(b0 ^ b1)) ^ product(equal(a1), shift(b0))
        out += [to_planes(np.ascontiguousarray(share[:, d].astype(U64)), 1) for d in range(shift is equal, digits)]
    z = np.concatenate(out)
    return xor_prg(xor_prg(z, ka, step), kb, step)


def rep3_and_rows(x0, x1, left, right, ka, kb, step: int):
    """rep3_and of rows left and rows right of the same planes."""
    return rep3_and(x0[left], x1[left], x0[right], x1[right], ka, kb, step)
