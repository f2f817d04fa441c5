// SPDX-License-Identifier: Apache-2.0
//! Bindings of the kernels: each checks its arguments, then works without the GIL on a fresh output array.

use std::ops::RangeInclusive;

use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use tacit_gemm::Size;
use tacit_prg::PrgKey;
use tacit_ring::{F_MAX, Truncated0};
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

/// The first of the three steps of a truncation.
fn first_step(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer("step", value, 0..=u64::MAX - 2)
}

/// A fresh array with arbitrary contents, from `numpy.empty`: it advises huge pages and raises where memory is short.
fn empty<'py, T: Element>(py: Python<'py>, shape: &[usize]) -> PyResult<Array<'py, T>> {
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = EMPTY.import(py, "numpy", "empty")?;
    let array = make.call1((PyTuple::new(py, shape)?, numpy::dtype::<T>(py)))?;
    Ok(array.cast_into::<PyArrayDyn<T>>()?)
}

/// Fills fresh arrays without the GIL: within the expression each name is the array's mutable slice.
macro_rules! fill {
    ($py:ident, [$($out:ident),+], |$path:ident| $work:expr) => {{
        $(
            let mut guard = $out.readwrite();
            let $out = guard.as_slice_mut()?;
        )+
        let $path = Path::active();
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
    fill!(py, [out], |path| key.fill(path, step, offset, out));
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
    fill!(py, [z], |path| tacit_gemm::matmul(path, z, x, y, size));
    Ok(z)
}

/// This party's additive share of x @ y: `x0 @ (y0 + y1) + x1 @ y0 + F(ka) - F(kb)`, `[m, k] @ [k, n]` to `[m, n]`.
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
) -> PyResult<Array<'py, u64>> {
    let (left, right) = (Input::new("x0", x0)?, Input::new("y0", y0)?);
    let size = product_size("x0", &left, "y0", &right)?;
    same_shape!(_shape = x0, x1);
    same_shape!(_shape = y0, y1);
    keys!(ka, kb);
    let step = step_number(step)?;
    let z = empty(py, &[size.m, size.n])?;
    fill!(py, [z], |path| tacit_gemm::rep3_matmul(
        path, z, x0, x1, y0, y1, ka, kb, step, size
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
    fill!(py, [z], |path| tacit_ring::rep3_mul(
        path, z, x0, x1, y0, y1, ka, kb, step
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
    fill!(py, [z], |path| tacit_bits::rep3_and(
        path, z, x0, x1, y0, y1, ka, kb, step
    ));
    Ok(z)
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
    fill!(py, [out], |path| tacit_ring::add_prg(
        path, out, x, key, step
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
    fill!(py, [out], |path| tacit_ring::sub_prg(
        path, out, x, key, step
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
    fill!(py, [out], |path| tacit_bits::xor_prg(
        path, out, x, key, step
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

/// The one-hot planes of a digit of g (1 to 8) bits: `[g, words]` to `[2^g - 1, words]`, row v - 1 is [digit == v].
#[pyfunction]
fn one_hot<'py>(py: Python<'py>, planes: &Bound<'py, PyAny>) -> PyResult<Array<'py, u64>> {
    let planes = Input::<u64>::new("planes", planes)?;
    let [g, words] = planes.dims("planes")?;
    let planes = planes.slice();
    check_size("the number of planes", g, 1..=8)?;
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
    check_size("the number of planes of digit", g, 1..=8)?;
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

/// The widths of digits: 3 bits unless said otherwise.
fn digits(bits: usize, digit: Option<&Bound<'_, PyAny>>) -> PyResult<tacit_bits::Digits> {
    let digit = digit.map_or(Ok(3), |d| size("digit", d, 1..=tacit_bits::DIGIT_MAX))?;
    Ok(tacit_bits::Digits::new(bits, digit))
}

/// The one-hot planes of every digit of `digit` (1 to 4) bits of `[bits, words]` planes, lowest digit first; the last
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

/// The results of role 0: a1, t packed, y0, y1.
type Role0<'py> = (
    Array<'py, u64>,
    Array<'py, u8>,
    Array<'py, u64>,
    Array<'py, u64>,
);

/// Truncation by `f` (1 to 61) bits, role 0, which knows c = x0 + x1 + 2^62. Returns `(a1, t, y0, y1)`: a1 and t, packed
/// at f bits, go to role 1. Uses steps `step` to `step + 2`. Any shape.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn trunc_0<'py>(
    py: Python<'py>,
    x0: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<Role0<'py>> {
    same_shape!(shape = x0, x1);
    keys!(ka, kb);
    let (f, step) = (size("f", f, 1..=F_MAX)?, first_step(step)?);
    let t = empty(py, &[packed_len("x0", x0.len(), f)?])?;
    let (a1, y0, y1) = (empty(py, shape)?, empty(py, shape)?, empty(py, shape)?);
    fill!(py, [a1, t, y0, y1], |path| {
        tacit_ring::trunc_0(
            path,
            Truncated0 { a1, t, y: [y0, y1] },
            x0,
            x1,
            f,
            ka,
            kb,
            step,
        )
    });
    Ok((a1, t, y0, y1))
}

/// Truncation, role 1, which knows r = x2, with a1 and t from role 0. Returns its message to role 2, packed at f bits,
/// and y1.
#[pyfunction]
fn trunc_1<'py>(
    py: Python<'py>,
    r: &Bound<'py, PyAny>,
    a1: &Bound<'py, PyAny>,
    t_packed: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
    kb: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, u8>, Array<'py, u64>)> {
    same_shape!(shape = r, a1);
    keys!(kb);
    let (f, step) = (size("f", f, 1..=F_MAX)?, first_step(step)?);
    let t = packed("t_packed", t_packed, r.len(), f)?;
    let t = t.slice();
    let (message, y1) = (empty(py, &[t.len()])?, empty(py, shape)?);
    fill!(py, [message, y1], |path| tacit_ring::trunc_1(
        path, message, y1, r, a1, t, f, kb, step
    ));
    Ok((message, y1))
}

/// Truncation, role 2, which knows r = x2. Returns its message to role 1, packed at f bits, and y0.
#[pyfunction]
fn trunc_2<'py>(
    py: Python<'py>,
    r: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
    ka: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, u8>, Array<'py, u64>)> {
    same_shape!(shape = r);
    keys!(ka);
    let (f, step) = (size("f", f, 1..=F_MAX)?, first_step(step)?);
    let (message, y0) = (
        empty(py, &[packed_len("r", r.len(), f)?])?,
        empty(py, shape)?,
    );
    fill!(py, [message, y0], |path| tacit_ring::trunc_2(
        path, message, y0, r, f, ka, step
    ));
    Ok((message, y0))
}

/// Truncation, roles 1 and 2: y2, from r and the two messages they exchanged.
#[pyfunction]
fn trunc_finish<'py>(
    py: Python<'py>,
    r: &Bound<'py, PyAny>,
    sent: &Bound<'py, PyAny>,
    received: &Bound<'py, PyAny>,
    f: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    same_shape!(shape = r);
    let f = size("f", f, 1..=F_MAX)?;
    let (sent, received) = (
        packed("sent", sent, r.len(), f)?,
        packed("received", received, r.len(), f)?,
    );
    let (sent, received) = (sent.slice(), received.slice());
    let y2 = empty(py, shape)?;
    fill!(py, [y2], |path| tacit_ring::trunc_finish(
        path, y2, r, sent, received, f
    ));
    Ok(y2)
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

/// `x[perm]`, for flat x and flat uint32 perm. Memory accesses depend on perm.
#[pyfunction]
fn gather<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    perm: &Bound<'py, PyAny>,
) -> PyResult<Array<'py, u64>> {
    let (x, perm) = (Input::<u64>::new("x", x)?, Input::<u32>::new("perm", perm)?);
    let ([_], [n]) = (x.dims::<1>("x")?, perm.dims::<1>("perm")?);
    let (x, perm) = (x.slice(), perm.slice());
    let out = empty(py, &[n])?;
    fill!(py, [out], |_path| tacit_perm::gather(out, x, perm))
        .map_err(|_| PyValueError::new_err("perm must hold indices of x"))?;
    Ok(out)
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
    macro_rules! add {
        ($($function:ident),+ $(,)?) => { $(module.add_function(wrap_pyfunction!($function, module)?)?;)+ };
    }
    add!(
        add_prg,
        carry_combine,
        carry_hot,
        cpu_features,
        force_path,
        from_planes,
        gather,
        lut_combine,
        matmul,
        one_hot,
        pack,
        prg_permutation,
        prg_words,
        rep3_and,
        rep3_matmul,
        rep3_mul,
        sub_prg,
        to_planes,
        trunc_0,
        trunc_1,
        trunc_2,
        trunc_finish,
        unpack,
        xor_prg,
    );
    Ok(())
}
