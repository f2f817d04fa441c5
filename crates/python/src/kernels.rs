// SPDX-License-Identifier: Apache-2.0
//! Bindings of the kernels: each checks its arguments, then works without the GIL on a fresh output array.

use std::cell::Cell;
use std::ops::RangeInclusive;

use numpy::{
    Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use tacit_gemm::Size;
use tacit_perm::Segments;
use tacit_prg::PrgKey;
use tacit_ring::{Bits, F_MAX, Line, Reshare, Ring, Role, Round, Step, Thirds, Work};
use tacit_simd::Path;

/// An array of any shape.
type Array<'py, T> = Bound<'py, PyArrayDyn<T>>;

/// An expanded AES-128 key, made from 16 bytes. It shows nothing, cannot be pickled or copied, and is wiped when freed.
#[pyclass(frozen, name = "PrgKey", module = "tacit.kernels")]
struct PyPrgKey(PrgKey);

#[pymethods]
impl PyPrgKey {
    #[new]
    fn new(key: &[u8]) -> PyResult<Self> {
        let key = key
            .try_into()
            .map_err(|_| PyValueError::new_err("key must be 16 bytes"))?;
        Ok(Self(PrgKey::new(key)))
    }

    fn __repr__(&self) -> &'static str {
        "PrgKey"
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a PrgKey cannot be pickled or copied"))
    }
}

/// A C-contiguous array that was given as an argument, borrowed until the call ends.
struct Input<'py, T: Element>(PyReadonlyArrayDyn<'py, T>);

impl<'py, T: Element> Input<'py, T> {
    fn new(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = value.cast::<PyArrayDyn<T>>().map_err(|_| {
            let dtype = numpy::dtype::<T>(value.py());
            PyTypeError::new_err(format!("{name} must be a NumPy array of dtype {dtype}"))
        })?;
        let array = array
            .try_readonly()
            .map_err(|_| PyValueError::new_err(format!("{name} is being written")))?;
        if !array.is_c_contiguous() || array.as_slice().is_err() {
            return Err(PyValueError::new_err(format!(
                "{name} must be C-contiguous and aligned"
            )));
        }
        Ok(Self(array))
    }

    fn slice(&self) -> &[T] {
        self.0
            .as_slice()
            .expect("contiguity was checked when the argument was taken")
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// The shape, which must have `N` dimensions.
    fn dims<const N: usize>(&self, name: &str) -> PyResult<[usize; N]> {
        let shape = self.shape();
        shape.try_into().map_err(|_| {
            PyValueError::new_err(format!(
                "{name} must have {N} dimension(s), not {}",
                shape.len()
            ))
        })
    }

    fn check_shape(&self, name: &str, expected: &[usize]) -> PyResult<()> {
        if self.shape() != expected {
            let shape = self.shape();
            return Err(PyValueError::new_err(format!(
                "{name} must have shape {expected:?}, not {shape:?}"
            )));
        }
        Ok(())
    }
}

/// Takes arguments that must all have the shape of the first one: `shape` is that shape, and each name becomes a slice.
macro_rules! same_shape {
    ($shape:ident = $first:ident $(, $other:ident)*) => {
        let $first = Input::<u64>::new(stringify!($first), $first)?;
        let $shape = $first.shape();
        $(
            let $other = Input::<u64>::new(stringify!($other), $other)?;
            $other.check_shape(stringify!($other), $shape)?;
            let $other = $other.slice();
        )*
        let $first = $first.slice();
    };
}

/// Takes key arguments by name.
macro_rules! keys {
    ($($key:ident),+) => {
        $(
            let $key = $key
                .cast::<PyPrgKey>()
                .map_err(|_| PyTypeError::new_err(concat!(stringify!($key), " must be a PrgKey")))?;
            let $key = &$key.get().0;
        )+
    };
}

/// A packed argument of `n` elements of `bits` bits.
fn packed<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
    n: usize,
    bits: usize,
) -> PyResult<Input<'py, u8>> {
    let data = Input::<u8>::new(name, value)?;
    match tacit_bits::packed_len(n, bits) {
        Some(bytes) if data.shape() == [bytes] => Ok(data),
        _ => Err(PyValueError::new_err(format!(
            "{name} must hold {n} elements of {bits} bits, flat and no more"
        ))),
    }
}

/// An integer argument within a range.
fn integer(name: &str, value: &Bound<'_, PyAny>, range: RangeInclusive<u64>) -> PyResult<u64> {
    let outside = || {
        PyValueError::new_err(format!(
            "{name} must be in {} .. {}",
            range.start(),
            range.end()
        ))
    };
    match value.extract::<u64>() {
        Ok(value) if range.contains(&value) => Ok(value),
        Ok(_) => Err(outside()),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(outside()),
        Err(_) => Err(PyTypeError::new_err(format!("{name} must be an integer"))),
    }
}

fn size(name: &str, value: &Bound<'_, PyAny>, range: RangeInclusive<usize>) -> PyResult<usize> {
    Ok(integer(name, value, *range.start() as u64..=*range.end() as u64)? as usize)
}

fn check_size(name: &str, value: usize, range: RangeInclusive<usize>) -> PyResult<()> {
    if !range.contains(&value) {
        let (low, high) = range.into_inner();
        return Err(PyValueError::new_err(format!(
            "{name} must be in {low} .. {high}, not {value}"
        )));
    }
    Ok(())
}

fn step_number(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("step", value, 0..=u64::MAX)
}

/// The first of `count` steps.
fn steps(value: &Bound<'_, PyAny>, count: usize) -> PyResult<u64> {
    integer("step", value, 0..=u64::MAX - (count as u64 - 1))
}

/// An array of words of a shape that the call writes to.
fn output<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
    shape: &[usize],
) -> PyResult<Array<'py, u64>> {
    Input::<u64>::new(name, value)?.check_shape(name, shape)?;
    Ok(value.cast::<PyArrayDyn<u64>>()?.clone())
}

thread_local! {
    /// How many threads a kernel that this thread calls may use.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Lets the kernels that this thread calls from now on use so many threads (1 to 1024) where they have much to do;
/// returns how many it was. Results do not depend on it. `threads` sets it for a while.
#[pyfunction]
fn use_threads(count: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(THREADS.replace(size("count", count, 1..=1024)?))
}

/// A fresh array with arbitrary contents, from `numpy.empty`: it advises huge pages and raises where memory is short.
fn empty<'py, T: Element>(py: Python<'py>, shape: &[usize]) -> PyResult<Array<'py, T>> {
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = EMPTY.import(py, "numpy", "empty")?;
    let array = make.call1((PyTuple::new(py, shape)?, numpy::dtype::<T>(py)))?;
    Ok(array.cast_into::<PyArrayDyn<T>>()?)
}

/// A borrow for writing, which only an array that was given as an argument can refuse.
fn writable<'py, T: Element>(
    name: &str,
    array: &Array<'py, T>,
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    array.try_readwrite().map_err(|_| {
        PyValueError::new_err(format!(
            "{name} must be writable and no other argument's memory"
        ))
    })
}

/// Fills fresh arrays, or those that an argument gave to write to, without the GIL: within the expression each name is
/// the array's mutable slice, then come the path and, for kernels that can use several, the number of threads.
macro_rules! fill {
    ($py:ident, [$($out:ident),+], |$path:ident $(, $threads:ident)?| $work:expr) => {{
        $(
            let mut guard = writable(stringify!($out), &$out)?;
            let $out = guard.as_slice_mut()?;
        )+
        let $path = Path::active();
        $(let $threads = THREADS.get();)?
        $py.detach(|| $work)
    }};
}

/// Words `offset` .. `offset + n` of stream `step` of a key.
#[pyfunction]
#[pyo3(signature = (key, step, n, offset = None))]
fn prg_words<'py>(
    py: Python<'py>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    offset: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py, u64>> {
    keys!(key);
    let step = step_number(step)?;
    let n = size("n", n, 0..=isize::MAX as usize)?;
    let offset = offset.map_or(Ok(0), |offset| {
        integer("offset", offset, 0..=u64::MAX - n as u64)
    })?;
    let out = empty(py, &[n])?;
    fill!(py, [out], |path, threads| tacit_prg::in_parts(
        threads,
        out,
        |from, out| key.fill(path, step, offset + from as u64, out)
    ));
    Ok(out)
}

/// `x @ y` mod 2^64, `[m, k] @ [k, n]` to `[m, n]`.
#[pyfunction]
fn matmul<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let (x, y) = (Input::new("x", x)?, Input::new("y", y)?);
    let size = product_size("x", &x, "y", &y)?;
    let (x, y) = (x.slice(), y.slice());
    let z = empty(py, &[size.m, size.n])?;
    fill!(py, [z], |path, threads| tacit_gemm::matmul(
        path, threads, z, x, y, size
    ));
    Ok(z)
}

/// Party `me`'s additive share of x @ y plus `F(ka) - F(kb)`, `[m, k] @ [k, n]` to `[m, n]`. The parties take turns at
/// thirds of the depth (at all of it, if k < 32): whose turn it is adds `(x0 + x1) @ (y0 + y1)`, the next party
/// `x0 @ y1 + x1 @ (y0 + y1)`, the last one `x0 @ y1 + x1 @ y0`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_matmul<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    me: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let (left, right) = (Input::new("x0", x0)?, Input::new("y0", y0)?);
    let size = product_size("x0", &left, "y0", &right)?;
    same_shape!(_shape = x0, x1);
    same_shape!(_shape = y0, y1);
    keys!(ka, kb);
    let (step, me) = (step_number(step)?, self::size("me", me, 0..=2)?);
    let z = empty(py, &[size.m, size.n])?;
    fill!(py, [z], |path, threads| tacit_gemm::rep3_matmul(
        path,
        threads,
        z,
        [x0, x1],
        [y0, y1],
        [ka, kb],
        step,
        me,
        size
    ));
    Ok(z)
}

fn product_size(left: &str, x: &Input<'_, u64>, right: &str, y: &Input<'_, u64>) -> PyResult<Size> {
    let [m, k] = x.dims(left)?;
    let [rows, n] = y.dims(right)?;
    if rows != k {
        return Err(PyValueError::new_err(format!(
            "{right} must have {k} rows, as {left} has columns, not {rows}"
        )));
    }
    Ok(Size { m, k, n })
}

/// This party's additive share of x y: `x0 (y0 + y1) + x1 y0 + F(ka) - F(kb)`, elementwise, any shape.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_mul<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x0, x1, y0, y1);
    keys!(ka, kb);
    let step = step_number(step)?;
    let z = empty(py, shape)?;
    fill!(py, [z], |path, threads| tacit_ring::rep3_product::<Ring>(
        path, threads, z, x0, x1, y0, y1, ka, kb, step
    ));
    Ok(z)
}

/// This party's XOR-share of x & y: `x0 & (y0 ^ y1) ^ x1 & y0 ^ F(ka) ^ F(kb)`, elementwise, any shape.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_and<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x0, x1, y0, y1);
    keys!(ka, kb);
    let step = step_number(step)?;
    let z = empty(py, shape)?;
    fill!(py, [z], |path, threads| tacit_ring::rep3_product::<Bits>(
        path, threads, z, x0, x1, y0, y1, ka, kb, step
    ));
    Ok(z)
}

/// This party's XOR-shares of x[left] & x[right] for rows of `[rows, words]` planes: `[n, words]`, masked as `rep3_and`
/// does. intp left and right are flat, of one length n.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_and_rows<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let (x0, x1) = (Input::<u64>::new("x0", x0)?, Input::<u64>::new("x1", x1)?);
    let (left, right) = (
        Input::<isize>::new("left", left)?,
        Input::<isize>::new("right", right)?,
    );
    let ([rows, words], [n]) = (x0.dims("x0")?, left.dims("left")?);
    x1.check_shape("x1", &[rows, words])?;
    right.check_shape("right", &[n])?;
    let (left, right) = (left.slice(), right.slice());
    if left.iter().chain(right).any(|row| *row as usize >= rows) {
        return Err(PyValueError::new_err("left and right must hold rows of x0"));
    }
    keys!(ka, kb);
    let step = step_number(step)?;
    let x = [x0.slice(), x1.slice()];
    let z = empty(py, &[n, words])?;
    fill!(py, [z], |path, threads| {
        tacit_ring::rep3_row_products::<Bits>(path, z, x, words, left, right);
        tacit_ring::add_zero::<Bits>(path, threads, z, ka, kb, step);
    });
    Ok(z)
}

/// `x^(2^i) y^(2^j)` in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, byte by byte of the words; i and j at most 7.
#[pyfunction]
fn gf256_mul<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    i: &Bound<'py, PyAny>,
    j: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x, y);
    let squarings = [size("i", i, 0..=7)?, size("j", j, 0..=7)?];
    let z = empty(py, shape)?;
    fill!(py, [z], |path| {
        z.fill(0);
        tacit_simd::gf256_mul(path, z, x, y, squarings);
    });
    Ok(z)
}

/// This party's XOR-share of X Y in GF(2^8) for X = x^(2^i), Y = y^(2^j): `X0 (Y0 + Y1) + X1 Y0 + F(ka) + F(kb)`, byte by
/// byte of the words, any shape; i and j at most 7.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_gf256_mul<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    i: &Bound<'py, PyAny>,
    j: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x0, x1, y0, y1);
    let squarings = [size("i", i, 0..=7)?, size("j", j, 0..=7)?];
    keys!(ka, kb);
    let step = step_number(step)?;
    let z = empty(py, shape)?;
    fill!(py, [z], |path| tacit_ring::rep3_gf256_mul(
        path, z, x0, x1, y0, y1, squarings, ka, kb, step
    ));
    Ok(z)
}

/// The linear steps of a round of AES (FIPS-197) on `[2 n]` words, two for each block: the linear part of the S-box,
/// ShiftRows, MixColumns where `mix`, and `^ key`, which is `[2]` for all blocks or `[2 n]`.
#[pyfunction]
fn aes_layer<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    mix: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let x = Input::<u64>::new("x", x)?;
    let [n] = x.dims("x")?;
    if n % 2 == 1 {
        return Err(PyValueError::new_err("x must be blocks of two words"));
    }
    let key = Input::<u64>::new("key", key)?;
    if key.shape() != [2] {
        key.check_shape("key", &[n])?;
    }
    let (x, key) = (x.slice(), key.slice());
    let mix = boolean("mix", mix)?;
    let out = empty(py, &[n])?;
    fill!(py, [out], |path| tacit_ring::aes_layer_keyed(
        path, out, x, key, mix
    ));
    Ok(out)
}

/// `x + F(key)`, any shape.
#[pyfunction]
fn add_prg<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x);
    keys!(key);
    let step = step_number(step)?;
    let out = empty(py, shape)?;
    fill!(py, [out], |path, threads| tacit_ring::add_prg::<Ring>(
        path, threads, out, x, key, step
    ));
    Ok(out)
}

/// `x - F(key)`, any shape.
#[pyfunction]
fn sub_prg<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x);
    keys!(key);
    let step = step_number(step)?;
    let out = empty(py, shape)?;
    fill!(py, [out], |path, threads| tacit_ring::sub_prg::<Ring>(
        path, threads, out, x, key, step
    ));
    Ok(out)
}

/// `x ^ F(key)`, any shape.
#[pyfunction]
fn xor_prg<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = x);
    keys!(key);
    let step = step_number(step)?;
    let out = empty(py, shape)?;
    fill!(py, [out], |path, threads| tacit_ring::add_prg::<Bits>(
        path, threads, out, x, key, step
    ));
    Ok(out)
}

/// The low `bits` (0 to 64) bits of `[n]` elements as `[bits, ceil(n / 64)]` planes, zero padded.
#[pyfunction]
fn to_planes<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    bits: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let x = Input::<u64>::new("x", x)?;
    let [n] = x.dims("x")?;
    let x = x.slice();
    let bits = size("bits", bits, 0..=64)?;
    let planes = empty(py, &[bits, n.div_ceil(64)])?;
    fill!(py, [planes], |path| tacit_bits::to_planes(
        path, planes, x, bits
    ));
    Ok(planes)
}

/// The first `n` elements of `[bits, words]` planes, `bits` at most 64, `n` at most 64 words.
#[pyfunction]
fn from_planes<'py>(
    py: Python<'py>,
    planes: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let planes = Input::<u64>::new("planes", planes)?;
    let [bits, words] = planes.dims("planes")?;
    let planes = planes.slice();
    check_size("the number of planes", bits, 0..=64)?;
    let n = size("n", n, 0..=words.saturating_mul(64))?;
    let out = empty(py, &[n])?;
    fill!(py, [out], |path| tacit_bits::from_planes(
        path, out, planes, bits, words
    ));
    Ok(out)
}

/// The low `bits` (1 to 64) bits of `[n]` elements as `ceil(n bits / 8)` bytes.
#[pyfunction]
fn pack<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    bits: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u8>> {
    let x = Input::<u64>::new("x", x)?;
    let [n] = x.dims("x")?;
    let x = x.slice();
    let bits = size("bits", bits, 1..=64)?;
    let data = empty(py, &[packed_len("x", n, bits)?])?;
    fill!(py, [data], |path| tacit_bits::pack(path, data, x, bits));
    Ok(data)
}

/// The `[n]` elements of `bits` (1 to 64) bits that `pack` made `data` from.
#[pyfunction]
fn unpack<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    bits: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let bits = size("bits", bits, 1..=64)?;
    let n = size("n", n, 0..=isize::MAX as usize)?;
    let data = packed("data", data, n, bits)?;
    let data = data.slice();
    let out = empty(py, &[n])?;
    fill!(py, [out], |path| tacit_bits::unpack(path, out, data, bits));
    Ok(out)
}

/// The one-hot planes of a digit of g (1 to 9) bits: `[g, words]` to `[2^g - 1, words]`, row v - 1 is [digit == v].
#[pyfunction]
fn one_hot<'py>(py: Python<'py>, planes: &Bound<'py, PyAny>) -> PyResult<Array<'py, u64>> {
    let planes = Input::<u64>::new("planes", planes)?;
    let [g, words] = planes.dims("planes")?;
    let planes = planes.slice();
    check_size("the number of planes", g, 1..=tacit_bits::INDEX_MAX)?;
    let hot = empty(py, &[(1 << g) - 1, words])?;
    fill!(py, [hot], |path| tacit_bits::one_hot(
        path, hot, planes, g, words
    ));
    Ok(hot)
}

/// XOR-shares of `table[delta ^ digit]`, `[out_bits, words]`, from this party's XOR-share `hot`, `[2^g - 1, words]`, of
/// `one_hot(delta)`, and the clear `digit`, `[g, words]`. `table` is public, `[2^g]`. Exactly one holder is `first`.
#[pyfunction]
fn lut_combine<'py>(
    py: Python<'py>,
    hot: &Bound<'py, PyAny>,
    digit: &Bound<'py, PyAny>,
    table: &Bound<'py, PyAny>,
    out_bits: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let digit = Input::<u64>::new("digit", digit)?;
    let [g, words] = digit.dims("digit")?;
    check_size(
        "the number of planes of digit",
        g,
        1..=tacit_bits::INDEX_MAX,
    )?;
    let hot = Input::<u64>::new("hot", hot)?;
    hot.check_shape("hot", &[(1 << g) - 1, words])?;
    let table = Input::<u64>::new("table", table)?;
    table.check_shape("table", &[1 << g])?;
    let out_bits = size("out_bits", out_bits, 1..=64)?;
    let first = boolean("first", first)?;
    let (hot, digit, table) = (hot.slice(), digit.slice(), table.slice());
    let out = empty(py, &[out_bits, words])?;
    fill!(py, [out], |path| tacit_bits::lut_combine(
        path, out, hot, digit, words, table, out_bits, first
    ));
    Ok(out)
}

/// The one-hot rows of `x >> drop` modulo 2^g, 6 <= g <= 16, for flat x: `[64 ceil(n / 64), 2^g / 64]`, bit i mod 64 of
/// word i / 64 of row k is [x[k] >> drop == i]; rows beyond n are zero.
#[pyfunction]
fn hot_rows<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    drop: &Bound<'py, PyAny>,
    g: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let x = Input::<u64>::new("x", x)?;
    let [n] = x.dims("x")?;
    let x = x.slice();
    let drop = size("drop", drop, 0..=63)? as u32;
    let g = size("g", g, tacit_bits::ROW_BITS)?;
    let rows = empty(py, &[64 * n.div_ceil(64), 1 << (g - 6)])?;
    fill!(py, [rows], |path| tacit_bits::hot_rows(
        path, rows, x, drop, g
    ));
    Ok(rows)
}

/// XOR-shares of `table[(c + (r >> drop)) mod 2^g]`, flat like r, from this party's XOR-share `hot` of the one-hot rows
/// of c, as `hot_rows` lays them out, and clear flat r. `table` is public, `[2^g]`.
#[pyfunction]
fn look_up_rows<'py>(
    py: Python<'py>,
    hot: &Bound<'py, PyAny>,
    r: &Bound<'py, PyAny>,
    drop: &Bound<'py, PyAny>,
    table: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let r = Input::<u64>::new("r", r)?;
    let [n] = r.dims("r")?;
    let table = Input::<u64>::new("table", table)?;
    let [entries] = table.dims("table")?;
    if !entries.is_power_of_two() || !tacit_bits::ROW_BITS.contains(&(entries.ilog2() as usize)) {
        return Err(PyValueError::new_err(
            "table must have 2^g entries, 6 <= g <= 16",
        ));
    }
    let hot = Input::<u64>::new("hot", hot)?;
    hot.check_shape("hot", &[64 * n.div_ceil(64), entries / 64])?;
    let drop = size("drop", drop, 0..=63)? as u32;
    let (hot, r, table) = (hot.slice(), r.slice(), table.slice());
    let out = empty(py, &[n])?;
    fill!(py, [out], |path| tacit_bits::look_up_rows(
        path, out, hot, r, drop, table
    ));
    Ok(out)
}

/// The widths of digits: 3 bits unless said otherwise.
fn digits(bits: usize, digit: Option<&Bound<'_, PyAny>>) -> PyResult<tacit_bits::Digits> {
    let digit = digit.map_or(Ok(3), |d| size("digit", d, 1..=tacit_bits::DIGIT_MAX))?;
    Ok(tacit_bits::Digits::new(bits, digit))
}

/// The one-hot planes of every digit of `digit` (1 to 8) bits of `[bits, words]` planes, lowest digit first; the last
/// digit takes what is left of `bits` (1 to 64).
#[pyfunction]
#[pyo3(signature = (planes, digit=None))]
fn carry_hot<'py>(
    py: Python<'py>,
    planes: &Bound<'py, PyAny>,
    digit: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py, u64>> {
    let planes = Input::<u64>::new("planes", planes)?;
    let [bits, words] = planes.dims("planes")?;
    let planes = planes.slice();
    check_size("the number of planes", bits, 1..=64)?;
    let digits = digits(bits, digit)?;
    let hot = empty(py, &[digits.rows(), words])?;
    fill!(py, [hot], |path| tacit_bits::carry_hot(
        path, hot, planes, digits, words
    ));
    Ok(hot)
}

/// XOR-shares of generate and propagate per digit of c + r, from this party's XOR-share of `carry_hot(c, digit)` and the
/// clear `r`, `[bits, words]`: with D digits `[2 D - 1, words]`, G of digits 0 to D - 1, then P of digits 1 to D - 1; with
/// `carried`, for a sum that has a carry in, `[2 D, words]` with P of digit 0 too.
#[pyfunction]
#[pyo3(signature = (hot, r, first, carried=None, digit=None))]
fn carry_combine<'py>(
    py: Python<'py>,
    hot: &Bound<'py, PyAny>,
    r: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    carried: Option<&Bound<'py, PyAny>>,
    digit: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py, u64>> {
    let r = Input::<u64>::new("r", r)?;
    let [bits, words] = r.dims("r")?;
    check_size("the number of planes of r", bits, 1..=64)?;
    let digits = digits(bits, digit)?;
    let hot = Input::<u64>::new("hot", hot)?;
    hot.check_shape("hot", &[digits.rows(), words])?;
    let first = boolean("first", first)?;
    let carried = carried.map_or(Ok(false), |c| boolean("carried", c))?;
    let (hot, r) = (hot.slice(), r.slice());
    let rows = 2 * digits.count() - 1 + usize::from(carried);
    let out = empty(py, &[rows, words])?;
    fill!(py, [out], |path| tacit_bits::carry_combine(
        path, out, hot, r, digits, words, first
    ));
    Ok(out)
}

/// Resharing over Z_2: roles 1 and 2 hold `[planes, section words]` values `x1`, `x2` that XOR to what is shared. Returns
/// both parts, `[planes, words]`, of which those of component 2 are still missing, and what roles 1 and 2 send. Uses
/// streams `step` to `step + 2`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn reshare_planes<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    x2: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<(Shares<'py>, Shares<'py>)> {
    let thirds = thirds(me, size("n", n, 0..=isize::MAX as usize)?)?;
    let (x1, x2) = (Input::<u64>::new("x1", x1)?, Input::<u64>::new("x2", x2)?);
    let [planes, _] = x1.dims("x1")?;
    x1.check_shape("x1", &[planes, thirds.words(Role::One).len()])?;
    x2.check_shape("x2", &[planes, thirds.words(Role::Two).len()])?;
    keys!(ka, kb);
    let step = steps(step, 3)?;
    let words = thirds.len().div_ceil(64);
    let (y0, y1) = (empty(py, &[planes, words])?, empty(py, &[planes, words])?);
    let (m1, m2) = (empty(py, x1.shape())?, empty(py, x2.shape())?);
    let (x1, x2) = (x1.slice(), x2.slice());
    fill!(py, [y0, y1, m1, m2], |path| tacit_ring::reshare_planes(
        path,
        thirds,
        [y0, y1],
        [m1, m2],
        [x1, x2],
        [ka, kb],
        step
    ));
    Ok(((y0, y1), (m1, m2)))
}

/// Words of bits to ring elements, role 0's message to role 1: for each plane i of `a ^ b`, `[width, words]`, its bits
/// minus a stream, packed at 64 - i bits. Uses streams `step` to `step + 3 width - 1`.
#[pyfunction]
fn b2a_send<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u8>> {
    same_shape!(shape = a, b);
    let (thirds, width) = word_planes(me, n, "a", shape)?;
    keys!(key);
    let step = steps(step, 3 * width)?;
    let message = empty(py, &[b2a_sent(thirds, Role::Zero, width)?])?;
    fill!(py, [message], |path| tacit_ring::b2a_send(
        path,
        thirds,
        message,
        [a, b],
        key,
        step
    ));
    Ok(message)
}

/// Words of bits to ring elements, once role 1 has `received` its message: both parts of the result, flat, where those of
/// component 2 are what this party sends to the other of roles 1 and 2, and what it gets is still to be added. Uses
/// streams `step` to `step + 3 width - 1`, and for the resharing `after` to `after + 2`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn b2a_combine<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    received: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    after: &Bound<'py, PyAny>,
) -> PyResult<Shares<'py>> {
    same_shape!(shape = a, b);
    let (thirds, width) = word_planes(me, n, "a", shape)?;
    keys!(ka, kb);
    let (step, after) = (steps(step, 3 * width)?, steps(after, 3)?);
    let received = Input::<u8>::new("received", received)?;
    received.check_shape("received", &[b2a_sent(thirds, Role::One, width)?])?;
    let received = received.slice();
    let (y0, y1) = (empty(py, &[thirds.len()])?, empty(py, &[thirds.len()])?);
    fill!(py, [y0, y1], |path| {
        let mut y = Reshare::new(path, thirds, [y0, y1], [ka, kb], after);
        tacit_ring::b2a_combine(path, thirds, &mut y, [a, b], received, [ka, kb], step)
    });
    Ok((y0, y1))
}

/// A bit times a ring element, role 0's message to role 1: 16 bytes per element. `a ^ b` is `[1, words]`, `x0` and `x1`
/// are flat. Uses streams `step` to `step + 5`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn inject_send<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u8>> {
    let bits = Input::<u64>::new("a", a)?;
    same_shape!(shape = x0, x1);
    let thirds = flat_thirds(me, "x0", shape)?;
    bits.check_shape("a", &[1, thirds.len().div_ceil(64)])?;
    same_shape!(_shape = a, b);
    keys!(key);
    let step = steps(step, 6)?;
    let message = empty(py, &[16 * thirds.elements(Role::Zero).len()])?;
    fill!(py, [message], |path| tacit_ring::inject_send(
        path,
        thirds,
        message,
        [a, b],
        [x0, x1],
        key,
        step
    ));
    Ok(message)
}

/// A bit times a ring element, once role 1 has `received` its message; returns what `b2a_combine` does. Uses streams
/// `step` to `step + 5`, and for the resharing `after` to `after + 2`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn inject_combine<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    received: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    after: &Bound<'py, PyAny>,
) -> PyResult<Shares<'py>> {
    let bits = Input::<u64>::new("a", a)?;
    same_shape!(shape = x0, x1);
    let thirds = flat_thirds(me, "x0", shape)?;
    bits.check_shape("a", &[1, thirds.len().div_ceil(64)])?;
    same_shape!(_shape = a, b);
    keys!(ka, kb);
    let (step, after) = (steps(step, 6)?, steps(after, 3)?);
    let received = Input::<u8>::new("received", received)?;
    received.check_shape("received", &[16 * thirds.elements(Role::One).len()])?;
    let received = received.slice();
    let (y0, y1) = (empty(py, &[thirds.len()])?, empty(py, &[thirds.len()])?);
    fill!(py, [y0, y1], |path| {
        let mut y = Reshare::new(path, thirds, [y0, y1], [ka, kb], after);
        tacit_ring::inject_combine(
            path,
            thirds,
            &mut y,
            [a, b],
            [x0, x1],
            received,
            [ka, kb],
            step,
        )
    });
    Ok((y0, y1))
}

/// Truncation of flat x by `f` (1 to 61) bits, role 0's message to role 1: a1, 8 bytes each, and t packed at f bits.
/// Returns `(y0, y1, message)`: both parts of the result, complete in the third where this party has role 0. Uses streams
/// `step` to `step + 8`.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn trunc_send<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
    exact: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, u64>, Array<'py, u64>, Array<'py, u8>)> {
    same_shape!(shape = x0, x1);
    let thirds = flat_thirds(me, "x0", shape)?;
    keys!(ka, kb);
    let (f, exact, step) = (
        size("f", f, 1..=F_MAX)?,
        boolean("exact", exact)?,
        steps(step, 9)?,
    );
    let [n, ..] = role_sizes(thirds);
    let message = empty(py, &[8 * n + packed_len("x0", n, f)?])?;
    let (y0, y1) = (empty(py, shape)?, empty(py, shape)?);
    fill!(py, [y0, y1, message], |path| tacit_ring::trunc_send(
        path,
        thirds,
        message,
        [y0, y1],
        [x0, x1],
        f,
        exact,
        [ka, kb],
        step
    ));
    Ok((y0, y1, message))
}

/// Truncation, once role 1 has `received` its message: the messages of roles 1 and 2 to each other, packed at f bits. Puts
/// into `y0` and `y1`, which `trunc_send` made, what these roles have in common with role 0.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn trunc_exchange<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    received: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, u8>, Array<'py, u8>)> {
    same_shape!(shape = x0, x1);
    let thirds = flat_thirds(me, "x0", shape)?;
    let (y0, y1) = (output("y0", y0, shape)?, output("y1", y1, shape)?);
    keys!(ka, kb);
    let (f, step) = (size("f", f, 1..=F_MAX)?, steps(step, 9)?);
    let [_, n1, n2] = role_sizes(thirds);
    let received = Input::<u8>::new("received", received)?;
    received.check_shape("received", &[8 * n1 + packed_len("x0", n1, f)?])?;
    let received = received.slice();
    let (m1, m2) = (
        empty(py, &[packed_len("x0", n1, f)?])?,
        empty(py, &[packed_len("x0", n2, f)?])?,
    );
    fill!(py, [y0, y1, m1, m2], |path| tacit_ring::trunc_exchange(
        path,
        thirds,
        [m1, m2],
        [y0, y1],
        [x0, x1],
        received,
        f,
        [ka, kb],
        step
    ));
    Ok((m1, m2))
}

/// Truncation, once roles 1 and 2 have each other's messages: puts component 2 into `y0` and `y1`. `s1` and `s2` are what
/// this party sent in these roles, `r1` and `r2` what it got.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn trunc_finish<'py>(
    py: Python<'py>,
    me: &Bound<'py, PyAny>,
    y0: &Bound<'py, PyAny>,
    y1: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    s1: &Bound<'py, PyAny>,
    s2: &Bound<'py, PyAny>,
    r1: &Bound<'py, PyAny>,
    r2: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
) -> PyResult<()> {
    same_shape!(shape = x0, x1);
    let thirds = flat_thirds(me, "x0", shape)?;
    let (y0, y1) = (output("y0", y0, shape)?, output("y1", y1, shape)?);
    let f = size("f", f, 1..=F_MAX)?;
    let [_, n1, n2] = role_sizes(thirds);
    let (s1, r1) = (packed("s1", s1, n1, f)?, packed("r1", r1, n1, f)?);
    let (s2, r2) = (packed("s2", s2, n2, f)?, packed("r2", r2, n2, f)?);
    let (sent, received) = ([s1.slice(), s2.slice()], [r1.slice(), r2.slice()]);
    fill!(py, [y0, y1], |path| tacit_ring::trunc_finish(
        path,
        thirds,
        [y0, y1],
        [x0, x1],
        sent,
        received,
        f
    ));
    Ok(())
}

/// Two arrays of words that belong together.
type Shares<'py> = (Array<'py, u64>, Array<'py, u64>);

/// A party's thirds of `n` elements.
fn thirds(me: &Bound<'_, PyAny>, n: usize) -> PyResult<Thirds> {
    Ok(Thirds::new(size("me", me, 0..=2)?, n))
}

/// A party's thirds of a flat array.
fn flat_thirds(me: &Bound<'_, PyAny>, name: &str, shape: &[usize]) -> PyResult<Thirds> {
    match shape {
        [n] => thirds(me, *n),
        _ => Err(PyValueError::new_err(format!(
            "{name} must have 1 dimension(s), not {}",
            shape.len()
        ))),
    }
}

/// A party's thirds of `n` elements whose bits are planes of a shape, and how many planes, 1 to 64.
fn word_planes(
    me: &Bound<'_, PyAny>,
    n: &Bound<'_, PyAny>,
    name: &str,
    shape: &[usize],
) -> PyResult<(Thirds, usize)> {
    let n = size("n", n, 0..=isize::MAX as usize)?;
    match shape {
        [width @ 1..=64, words] if *words == n.div_ceil(64) => Ok((thirds(me, n)?, *width)),
        _ => Err(PyValueError::new_err(format!(
            "{name} must have shape [1 to 64, {}], not {shape:?}",
            n.div_ceil(64)
        ))),
    }
}

/// Elements of a party's thirds by role.
fn role_sizes(thirds: Thirds) -> [usize; 3] {
    [Role::Zero, Role::One, Role::Two].map(|role| thirds.elements(role).len())
}

fn b2a_sent(thirds: Thirds, role: Role, width: usize) -> PyResult<usize> {
    tacit_ring::b2a_sent(thirds.elements(role).len(), width)
        .ok_or_else(|| PyValueError::new_err("n is too large"))
}

/// A uniform permutation of 0 .. n - 1 from stream `step`, uint32, n < 2^32. Memory accesses depend on it.
#[pyfunction]
fn prg_permutation<'py>(
    py: Python<'py>,
    key: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u32>> {
    keys!(key);
    let step = step_number(step)?;
    let n = size("n", n, 0..=u32::MAX as usize)?;
    let perm = empty(py, &[n])?;
    fill!(py, [perm], |path| tacit_perm::prg_permutation(
        path, perm, key, step
    ));
    Ok(perm)
}

/// Row `perm[i]` of x, `[rows, columns]`, at row i, without its `first` columns. Memory accesses depend on perm.
#[pyfunction]
#[pyo3(signature = (x, perm, first = None))]
fn gather<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    perm: &Bound<'py, PyAny>,
    first: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py, u64>> {
    let (x, perm) = (Input::<u64>::new("x", x)?, Input::<u32>::new("perm", perm)?);
    let ([_, columns], [n]) = (x.dims("x")?, perm.dims("perm")?);
    let first = first.map_or(Ok(0), |first| size("first", first, 0..=columns))?;
    let (x, perm) = (x.slice(), perm.slice());
    let out = empty(py, &[n, columns - first])?;
    fill!(py, [out], |_path, threads| tacit_perm::gather(
        threads,
        out,
        x,
        perm,
        [columns, first]
    ))
    .map_err(|_| PyValueError::new_err("perm must hold rows of x"))?;
    Ok(out)
}

/// `x[left] - x[right] + offset` mod 2^64 as `[bits, ceil(n / 64)]` planes of its low `bits` bits, zero padded, for flat
/// x, and flat intp left and right of one length n. Memory accesses depend on left and right.
#[pyfunction]
fn difference_planes<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    bits: &Bound<'py, PyAny>,
    offset: u64,
) -> PyResult<Array<'py, u64>> {
    let x = Input::<u64>::new("x", x)?;
    let (left, right) = (
        Input::<isize>::new("left", left)?,
        Input::<isize>::new("right", right)?,
    );
    let ([_], [n]) = (x.dims::<1>("x")?, left.dims("left")?);
    right.check_shape("right", &[n])?;
    let (x, places) = (x.slice(), [left.slice(), right.slice()]);
    let bits = size("bits", bits, 0..=64)?;
    let planes = empty(py, &[bits, n.div_ceil(64)])?;
    fill!(py, [planes], |path| tacit_perm::difference_planes(
        path, planes, x, places, bits, offset
    ))
    .map_err(|_| PyValueError::new_err("left and right must hold indices of x"))?;
    Ok(planes)
}

/// Digits of 4 bits of n rows in thermometer code, four to a word: `[n, ceil(digits / 4)]`, bit v of a quarter saying that
/// the digit is v or more, zeros behind, from the monomials of their bits: planes `[16, digits, ceil(n / 64)]`, bit k of
/// the first index saying that bit k of the digit is a factor.
#[pyfunction]
fn thermometer_digits<'py>(
    py: Python<'py>,
    monomials: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let monomials = Input::<u64>::new("monomials", monomials)?;
    let [_, digits, _] = monomials.dims("monomials")?;
    let n = size("n", n, 0..=isize::MAX as usize)?;
    monomials.check_shape("monomials", &[16, digits, n.div_ceil(64)])?;
    let monomials = monomials.slice();
    let rows = empty(py, &[n, digits.div_ceil(4)])?;
    fill!(py, [rows], |path| tacit_bits::thermometer_digits(
        path, rows, monomials, digits, n
    ));
    Ok(rows)
}

/// This party's XOR-shares of the comparisons of rows `left` with rows `right`: `[2 digits - 1, ceil(n / 64)]` planes, for
/// each digit whether it is less, then for each but the first whether it is equal, masked with `F(ka) ^ F(kb)`. `x0, x1`
/// are what `thermometer_digits` gives, the first digit being the least significant; intp left and right are
/// flat, of one length n. Memory accesses depend on them.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn rep3_less<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    digits: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let (x0, x1) = (Input::<u64>::new("x0", x0)?, Input::<u64>::new("x1", x1)?);
    let (left, right) = (
        Input::<isize>::new("left", left)?,
        Input::<isize>::new("right", right)?,
    );
    let ([rows, _], [n]) = (x0.dims("x0")?, left.dims("left")?);
    let digits = size("digits", digits, 1..=1 << 16)?;
    for (name, x) in [("x0", &x0), ("x1", &x1)] {
        x.check_shape(name, &[rows, digits.div_ceil(4)])?;
    }
    right.check_shape("right", &[n])?;
    keys!(ka, kb);
    let step = step_number(step)?;
    let (x, places) = ([x0.slice(), x1.slice()], [left.slice(), right.slice()]);
    let out = empty(py, &[2 * digits - 1, n.div_ceil(64)])?;
    fill!(py, [out], |path, threads| tacit_perm::rep3_less(
        path, out, x, digits, places
    )
    .map(|()| tacit_ring::add_zero::<Bits>(
        path, threads, out, ka, kb, step
    )))
    .map_err(|_| PyValueError::new_err("left and right must hold rows of x0"))?;
    Ok(out)
}

/// The rows that a batch of a quicksort compares: left and right, flat intp, of `room` comparisons or more.
///
/// `rows` are flat intp; a segment is `sizes[i]` places from `starts[i]` on. The first `parted` segments compare their
/// other rows with their first one, the rest all pairs `i < j` in order; what is left compares `rows[0]` with itself.
#[pyfunction]
fn segment_pairs<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    starts: &Bound<'py, PyAny>,
    sizes: &Bound<'py, PyAny>,
    parted: &Bound<'py, PyAny>,
    room: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, isize>, Array<'py, isize>)> {
    let rows = Input::<isize>::new("rows", rows)?;
    let [n] = rows.dims("rows")?;
    let segments = segments(n, starts, sizes, parted)?;
    let room = size("room", room, 0..=isize::MAX as usize)?;
    let count = segments.comparisons().max(room);
    let (left, right, rows) = (empty(py, &[count])?, empty(py, &[count])?, rows.slice());
    fill!(py, [left, right], |_path| segments.pairs(left, right, rows));
    Ok((left, right))
}

/// Rearranges `rows` by the outcomes of `segment_pairs`, flat bool: whether left comes before right. Of each parted segment
/// how many rows come before its first one, flat intp.
#[pyfunction]
fn segment_parts<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    starts: &Bound<'py, PyAny>,
    sizes: &Bound<'py, PyAny>,
    parted: &Bound<'py, PyAny>,
    outcomes: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, isize>> {
    let [n] = Input::<isize>::new("rows", rows)?.dims("rows")?;
    let rows = rows.cast::<PyArrayDyn<isize>>()?;
    let segments = segments(n, starts, sizes, parted)?;
    let outcomes = Input::<bool>::new("outcomes", outcomes)?;
    let [count] = outcomes.dims("outcomes")?;
    check_size(
        "the number of outcomes",
        count,
        segments.comparisons()..=usize::MAX,
    )?;
    let (less, outcomes) = (empty(py, &[segments.parted()])?, outcomes.slice());
    fill!(py, [rows, less], |_path| segments
        .arrange(rows, less, outcomes));
    Ok(less)
}

fn segments<'py>(
    rows: usize,
    starts: &Bound<'py, PyAny>,
    sizes: &Bound<'py, PyAny>,
    parted: &Bound<'py, PyAny>,
) -> PyResult<Segments> {
    let (starts, sizes) = (
        Input::<isize>::new("starts", starts)?,
        Input::<isize>::new("sizes", sizes)?,
    );
    let [count] = starts.dims("starts")?;
    sizes.check_shape("sizes", &[count])?;
    let parted = size("parted", parted, 0..=count)?;
    Segments::new(rows, starts.slice(), sizes.slice(), parted)
        .map_err(|_| PyValueError::new_err("starts and sizes must be ranges of rows"))
}

/// The names of the instruction sets that the kernels know and this CPU has, sorted.
#[pyfunction]
fn cpu_features() -> Vec<&'static str> {
    tacit_simd::cpu_features()
}

/// Makes every kernel of this process take one path, or the best again for None. For tests and benchmarks.
#[pyfunction]
#[pyo3(signature = (name))]
fn force_path(name: Option<&str>) -> PyResult<()> {
    tacit_simd::force(name)
        .map_err(|_| PyValueError::new_err("name must be a path that this CPU has, or None"))
}

/// A straight line of steps on vectors of `n` shares at party `me`, repeated `trips` times: what it computes from one
/// exchange to the next. `registers` are pairs of flat arrays, and steps `("combine", out, x, a, y, b)` for a x + b y,
/// `("product", out, x, y, f)` and `("truncate", out, x, f)` for registers out, x, y. After a trip, register k gets what
/// is in register `carried[k]`. A product uses one stream from `step` on, a truncation nine.
#[pyclass(module = "tacit.kernels")]
struct Rep3Line {
    line: Line,
    keys: [Py<PyPrgKey>; 2],
    next: usize,
    before: usize,
    expects: [usize; 2],
    /// How many streams it uses, from `step` on.
    #[pyo3(get)]
    streams: u64,
}

#[pymethods]
impl Rep3Line {
    // Both keys of the party, and a program: no part of them stands alone elsewhere.
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        me: &Bound<'_, PyAny>,
        n: &Bound<'_, PyAny>,
        ka: Py<PyPrgKey>,
        kb: Py<PyPrgKey>,
        step: &Bound<'_, PyAny>,
        registers: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        steps: Vec<Bound<'_, PyTuple>>,
        carried: Vec<usize>,
        trips: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let thirds = thirds(me, size("n", n, 0..=FEW_MAX)?)?;
        let trips = size("trips", trips, 1..=usize::MAX)?;
        let count = registers.len();
        let registers = registers
            .iter()
            .map(|(x0, x1)| {
                same_shape!(shape = x0, x1);
                if shape != [thirds.len()] {
                    return Err(PyValueError::new_err("registers must be flat, of length n"));
                }
                Ok([x0.to_vec(), x1.to_vec()])
            })
            .collect::<PyResult<_>>()?;
        let steps = steps.iter().map(line_step).collect::<PyResult<Vec<_>>>()?;
        let named = steps.iter().flat_map(|step| match step.work {
            Work::Combine([x, y], _) | Work::Product([x, y], _) => [step.out, x, y],
            Work::Truncate(x, _) => [step.out, x, x],
        });
        if named
            .chain(carried.iter().copied())
            .any(|register| register >= count)
            || carried.len() > count
        {
            return Err(PyValueError::new_err("there is no such register"));
        }
        let (me, first) = (size("me", me, 0..=2)?, step_number(step)?);
        let line = Line::new(
            Path::active(),
            thirds,
            first,
            registers,
            steps,
            carried,
            trips,
        );
        let streams = line
            .streams()
            .filter(|count| first.checked_add(*count).is_some())
            .ok_or_else(|| PyValueError::new_err("there are not so many streams"))?;
        Ok(Self {
            line,
            streams,
            keys: [ka, kb],
            next: (me + 1) % 3,
            before: (me + 2) % 3,
            expects: [0, 0],
        })
    }

    /// Takes what came in the exchange before, if there was one, and goes on to the next: what to send to each peer and
    /// how many bytes come from each; None at the end.
    // A pair of dicts, as Python has it.
    #[allow(clippy::type_complexity)]
    fn advance<'py>(
        &mut self,
        py: Python<'py>,
        inbox: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Bound<'py, PyDict>, Bound<'py, PyDict>)>> {
        let peers = [self.next, self.before];
        let mut received = [Vec::new(), Vec::new()];
        for ((peer, bytes), expected) in peers.into_iter().zip(&mut received).zip(self.expects) {
            if expected > 0 {
                let inbox = inbox.ok_or_else(|| PyValueError::new_err("messages are missing"))?;
                *bytes = PyBuffer::<u8>::get(&inbox.get_item(peer)?)?.to_vec(py)?;
                check_size("a message", bytes.len(), expected..=expected)?;
            }
        }
        let [ka, kb] = &self.keys;
        let round = self
            .line
            .advance([&ka.get().0, &kb.get().0], [&received[0], &received[1]]);
        let Some(Round { sends, expects }) = round else {
            self.expects = [0, 0];
            return Ok(None);
        };
        self.expects = expects;
        let (outgoing, incoming) = (PyDict::new(py), PyDict::new(py));
        for ((peer, message), expected) in peers.into_iter().zip(&sends).zip(expects) {
            if !message.is_empty() {
                outgoing.set_item(peer, (PyBytes::new(py, message),))?;
            }
            if expected > 0 {
                incoming.set_item(peer, expected)?;
            }
        }
        Ok(Some((outgoing, incoming)))
    }

    /// What the carried registers hold after the last trip.
    fn results<'py>(&self, py: Python<'py>) -> Vec<Shares<'py>> {
        let array = |part: Vec<u64>| PyArray1::from_vec(py, part).to_dyn().clone();
        self.line
            .results()
            .into_iter()
            .map(|[x0, x1]| (array(x0), array(x1)))
            .collect()
    }

    fn __repr__(&self) -> &'static str {
        "Rep3Line"
    }
}

/// The longest vectors of a line: it takes every step at once.
const FEW_MAX: usize = 1 << 20;

fn line_step(step: &Bound<'_, PyTuple>) -> PyResult<Step> {
    let name: String = step.get_item(0)?.extract()?;
    let (out, work) = match name.as_str() {
        "combine" => {
            let (_, out, x, a, y, b): (String, _, _, _, _, _) = step.extract()?;
            (out, Work::Combine([x, y], [a, b]))
        }
        "product" => {
            let (_, out, x, y, f): (String, _, _, _, _) = step.extract()?;
            check_size("f", f, 0..=F_MAX)?;
            (out, Work::Product([x, y], f))
        }
        "truncate" => {
            let (_, out, x, f): (String, _, _, _) = step.extract()?;
            check_size("f", f, 1..=F_MAX)?;
            (out, Work::Truncate(x, f))
        }
        _ => return Err(PyValueError::new_err("there is no such step")),
    };
    Ok(Step { out, work })
}

fn packed_len(name: &str, n: usize, bits: usize) -> PyResult<usize> {
    tacit_bits::packed_len(n, bits)
        .ok_or_else(|| PyValueError::new_err(format!("{name} has too many elements")))
}

fn boolean(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("{name} must be a bool")))
}

/// Adds this file's functions and classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyPrgKey>()?;
    module.add_class::<Rep3Line>()?;
    macro_rules! add {
        ($($function:ident),+ $(,)?) => { $(module.add_function(wrap_pyfunction!($function, module)?)?;)+ };
    }
    add!(
        add_prg,
        aes_layer,
        b2a_combine,
        b2a_send,
        carry_combine,
        carry_hot,
        cpu_features,
        difference_planes,
        force_path,
        from_planes,
        gather,
        gf256_mul,
        hot_rows,
        inject_combine,
        inject_send,
        look_up_rows,
        lut_combine,
        matmul,
        one_hot,
        pack,
        prg_permutation,
        prg_words,
        rep3_and,
        rep3_and_rows,
        rep3_gf256_mul,
        rep3_less,
        rep3_matmul,
        rep3_mul,
        reshare_planes,
        segment_pairs,
        segment_parts,
        sub_prg,
        thermometer_digits,
        to_planes,
        trunc_exchange,
        trunc_finish,
        trunc_send,
        unpack,
        use_threads,
        xor_prg,
    );
    Ok(())
}
