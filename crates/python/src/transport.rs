// SPDX-License-Identifier: Apache-2.0
//! Bindings of the transport.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use tacit_transport::{
    self as transport, Cause, Event, Fault, Header, Kind, Limits, Network, SessionId,
};

create_exception!(
    _native,
    LinkFault,
    PyException,
    "A fault of a link; its arguments are (number of the cause, peer or None, what happened, what was expected)."
);

fn raise(fault: Fault) -> PyErr {
    LinkFault::new_err((fault.cause as u8, fault.peer, fault.what, fault.expected))
}

/// Runs `work` without the GIL; the `poll` it gets delivers signals, so Ctrl-C ends any wait.
fn waiting<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> Result<(), Fault>) -> Result<T, Fault> + Send,
) -> PyResult<T> {
    let mut signal: Option<PyErr> = None;
    let result = py.detach(|| {
        work(&mut || {
            Python::attach(|py| py.check_signals()).map_err(|error| {
                signal = Some(error);
                Fault::interrupted()
            })
        })
    });
    match signal {
        Some(error) => Err(error),
        None => result.map_err(raise),
    }
}

/// A duration of `seconds`, which must be a number that a clock can hold.
fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err("a time must be a number of seconds >= 0"))
}

fn session_id(bytes: &[u8]) -> PyResult<SessionId> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err("a session identifier has 16 bytes"))
}

fn pin(text: &str) -> PyResult<transport::Pin> {
    let wrong =
        || PyValueError::new_err("a pin is the SHA-256 of a certificate as 64 hexadecimal digits");
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut pin = [0; 32];
    for (byte, digits) in pin.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(pin)
}

fn hex(pin: transport::Pin) -> String {
    pin.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(kind: u8, session: &[u8], step: u64, length: usize) -> PyResult<Header> {
    let kind = Kind::from_u8(kind).ok_or_else(|| PyValueError::new_err("unknown kind of frame"))?;
    Ok(Header {
        kind,
        session: session_id(session)?,
        step,
        length: length as u64,
    })
}

/// Packs a frame header; the twin of `tacit.transport.frame`, for the test that both agree.
#[pyfunction]
fn frame_header<'py>(
    py: Python<'py>,
    kind: u8,
    session: &[u8],
    step: u64,
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(
        py,
        &header(kind, session, step, length)?.encode(),
    ))
}

/// Unpacks a frame header to (kind, session, step, length).
#[pyfunction]
fn parse_frame_header<'py>(
    py: Python<'py>,
    data: &[u8],
) -> PyResult<(u8, Bound<'py, PyBytes>, u64, u64)> {
    let header = Header::decode(data).map_err(raise)?;
    Ok((
        header.kind as u8,
        PyBytes::new(py, &header.session),
        header.step,
        header.length,
    ))
}

/// A certificate and its key, ready for TLS.
#[pyclass(frozen, module = "tacit._native")]
struct Identity(transport::Identity);

#[pymethods]
impl Identity {
    #[new]
    fn new(cert_der: &[u8], key_der: &[u8]) -> PyResult<Self> {
        transport::Identity::new(cert_der, key_der)
            .map(Identity)
            .map_err(raise)
    }

    /// SHA-256 of the certificate, in hexadecimal.
    #[getter]
    fn pin(&self) -> String {
        hex(self.0.pin())
    }

    fn __repr__(&self) -> &'static str {
        "Identity"
    }
}

/// A listening socket.
#[pyclass(frozen, module = "tacit._native")]
struct Listener(transport::Listener);

#[pymethods]
impl Listener {
    #[staticmethod]
    fn bind(py: Python<'_>, host: &str, port: u16, identity: &Identity) -> PyResult<Self> {
        py.detach(|| transport::Listener::bind(host, port, &identity.0))
            .map(Listener)
            .map_err(raise)
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    fn allow(&self, pins: Vec<String>) -> PyResult<()> {
        let pins = pins
            .iter()
            .map(|text| pin(text))
            .collect::<PyResult<Vec<_>>>()?;
        self.0.allow(pins).map_err(raise)
    }

    fn accept(&self, py: Python<'_>, timeout_s: f64) -> PyResult<Connection> {
        let timeout = seconds(timeout_s)?;
        waiting(py, |poll| self.0.accept(timeout, poll)).map(Connection::new)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

/// A connection for requests and answers; `None` inside once a mesh has taken it over.
#[pyclass(frozen, module = "tacit._native")]
struct Connection {
    inner: Mutex<Option<transport::Connection>>,
    peer_pin: String,
    facts: transport::TlsFacts,
}

impl Connection {
    fn new(connection: transport::Connection) -> Self {
        Connection {
            peer_pin: hex(connection.peer_pin()),
            facts: connection.facts(),
            inner: Mutex::new(Some(connection)),
        }
    }

    /// The connection, if no other thread is using it.
    fn own(&self) -> PyResult<MutexGuard<'_, Option<transport::Connection>>> {
        match self.inner.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(raise(Fault::new(
                Cause::Misuse,
                "the connection is in use by another thread",
            ))),
        }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(
            &mut transport::Connection,
            &mut dyn FnMut() -> Result<(), Fault>,
        ) -> Result<T, Fault>
        + Send,
    ) -> PyResult<T> {
        let mut guard = self.own()?;
        let Some(connection) = guard.as_mut() else {
            return Err(raise(Fault::new(
                Cause::Misuse,
                "the connection belongs to a transport now",
            )));
        };
        waiting(py, |poll| work(connection, poll))
    }

    fn take(&self) -> PyResult<transport::Connection> {
        self.own()?.take().ok_or_else(|| {
            raise(Fault::new(
                Cause::Misuse,
                "the connection belongs to a transport already",
            ))
        })
    }
}

#[pymethods]
impl Connection {
    #[getter]
    fn peer_pin(&self) -> &str {
        &self.peer_pin
    }

    #[getter]
    fn tls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let facts = PyDict::new(py);
        facts.set_item("version", &self.facts.version)?;
        facts.set_item("group", &self.facts.group)?;
        facts.set_item("cipher", &self.facts.cipher)?;
        Ok(facts)
    }

    fn send(
        &self,
        py: Python<'_>,
        kind: u8,
        session: &[u8],
        step: u64,
        payload: &[u8],
    ) -> PyResult<()> {
        let header = header(kind, session, step, payload.len())?;
        self.with(py, |connection, poll| {
            connection.send(&header, payload, poll)
        })
    }

    /// For tests: bytes that need be no frame.
    fn send_bytes(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        self.with(py, |connection, poll| connection.send_bytes(data, poll))
    }

    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout_s: f64,
        frame_bytes_max: u64,
    ) -> PyResult<(u8, Bound<'py, PyBytes>, u64, Bound<'py, PyBytes>)> {
        let timeout = seconds(timeout_s)?;
        let (header, payload) = self.with(py, |connection, poll| {
            connection.receive(timeout, frame_bytes_max, poll)
        })?;
        Ok((
            header.kind as u8,
            PyBytes::new(py, &header.session),
            header.step,
            PyBytes::new(py, &payload),
        ))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut guard = self.own()?;
        if let Some(connection) = guard.as_mut() {
            py.detach(|| connection.close());
        }
        Ok(())
    }
}

/// Dials a peer.
#[pyfunction]
fn connect(
    py: Python<'_>,
    host: &str,
    port: u16,
    identity: &Identity,
    peer_pin: &str,
    timeout_s: f64,
) -> PyResult<Connection> {
    let (timeout, peer_pin) = (seconds(timeout_s)?, pin(peer_pin)?);
    waiting(py, |poll| {
        transport::connect(host, port, &identity.0, peer_pin, timeout, poll)
    })
    .map(Connection::new)
}

/// Below this size a copy costs less than a view, or than an array that owns the payload.
const COPIED_BYTES: usize = 4096;

/// What goes to a peer: bytes, a copy of few words or bytes, or a view of another array or buffer, in C order.
enum Buffer<'py> {
    Bytes(Bound<'py, PyBytes>),
    Copy(Vec<u8>),
    Array(PyReadonlyArray1<'py, u8>),
}

impl<'py> Buffer<'py> {
    fn new(buffer: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = buffer.cast::<PyBytes>() {
            return Ok(Buffer::Bytes(bytes.clone()));
        }
        if let Ok(words) = buffer.cast::<PyArrayDyn<u64>>()
            && words.len() < COPIED_BYTES / size_of::<u64>()
            && words.is_c_contiguous()
            && let Ok(words) = words.try_readonly()?.as_slice()
        {
            return Ok(Buffer::Copy(
                words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
            ));
        }
        if let Ok(bytes) = buffer.cast::<PyArrayDyn<u8>>()
            && bytes.len() < COPIED_BYTES
            && bytes.is_c_contiguous()
            && let Ok(bytes) = bytes.try_readonly()?.as_slice()
        {
            return Ok(Buffer::Copy(bytes.to_vec()));
        }
        let numpy = buffer.py().import("numpy")?;
        let octets = numpy::dtype::<u8>(buffer.py());
        let array = if buffer.is_instance_of::<PyUntypedArray>() {
            numpy.call_method1("ascontiguousarray", (buffer,))?
        } else {
            numpy.call_method1("frombuffer", (buffer, &octets))?
        };
        let flat = array.call_method1("reshape", (-1,))?;
        Ok(Buffer::Array(
            flat.call_method1("view", (octets,))?.extract()?,
        ))
    }

    fn view(&self) -> PyResult<&[u8]> {
        Ok(match self {
            Buffer::Bytes(bytes) => bytes.as_bytes(),
            Buffer::Copy(bytes) => bytes,
            Buffer::Array(array) => array.as_slice()?,
        })
    }
}

/// The buffers that go to each peer.
type Sends<'py> = Vec<(usize, Vec<Buffer<'py>>)>;

fn buffers<'py>(sends: &Bound<'py, PyDict>) -> PyResult<Sends<'py>> {
    sends
        .iter()
        .map(|(peer, buffers)| {
            let each = buffers.try_iter()?.map(|buffer| Buffer::new(&buffer?));
            Ok((peer.extract()?, each.collect::<PyResult<_>>()?))
        })
        .collect()
}

/// Their bytes.
type Views<'a> = Vec<(usize, Vec<&'a [u8]>)>;

fn views<'a>(sends: &'a Sends<'_>) -> PyResult<Views<'a>> {
    sends
        .iter()
        .map(|(peer, buffers)| {
            Ok((
                *peer,
                buffers.iter().map(Buffer::view).collect::<PyResult<_>>()?,
            ))
        })
        .collect()
}

/// How many bytes come from each peer.
fn lengths(expects: &Bound<'_, PyDict>) -> PyResult<Vec<(usize, u64)>> {
    expects
        .iter()
        .map(|(peer, length)| Ok((peer.extract()?, length.extract()?)))
        .collect()
}

/// What came, by peer; nothing large is copied.
fn inbox(py: Python<'_>, arrived: Vec<(usize, Vec<u8>)>) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    for (peer, payload) in arrived {
        let view = if payload.len() < COPIED_BYTES {
            PyMemoryView::from(PyBytes::new(py, &payload).as_any())?
        } else {
            PyMemoryView::from(PyArray1::from_vec(py, payload).as_any())?
        };
        out.set_item(peer, view)?;
    }
    Ok(out)
}

/// The rounds of one party with all its peers.
#[pyclass(frozen, module = "tacit._native")]
struct Mesh(transport::Mesh);

#[pymethods]
impl Mesh {
    #[new]
    #[pyo3(signature = (session, outgoing, incoming, *, frame_bytes_max, early_bytes_max, early_frames_max, silence_s,
                        step_timeout_s, latency_s=None, bytes_per_second=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of a Python constructor"
    )]
    fn new(
        session: &[u8],
        outgoing: BTreeMap<usize, Py<Connection>>,
        incoming: BTreeMap<usize, Py<Connection>>,
        frame_bytes_max: u64,
        early_bytes_max: u64,
        early_frames_max: usize,
        silence_s: f64,
        step_timeout_s: f64,
        latency_s: Option<f64>,
        bytes_per_second: Option<f64>,
    ) -> PyResult<Self> {
        let network = match (latency_s, bytes_per_second) {
            (None, None) => None,
            (latency_s, rate) => Some(Network {
                latency: seconds(latency_s.unwrap_or(0.0))?,
                bytes_per_second: rate
                    .filter(|rate| rate.is_finite() && *rate >= 1.0)
                    .ok_or_else(|| {
                        PyValueError::new_err("bytes_per_second must be a finite number >= 1")
                    })?,
            }),
        };
        let limits = Limits {
            frame_bytes_max,
            early_bytes_max,
            early_frames_max,
            silence: seconds(silence_s)?,
            step_timeout: seconds(step_timeout_s)?,
            network,
        };
        let take = |connections: BTreeMap<usize, Py<Connection>>| {
            connections
                .into_iter()
                .map(|(peer, c)| Ok((peer, c.get().take()?)))
                .collect::<PyResult<Vec<_>>>()
        };
        transport::Mesh::new(
            session_id(session)?,
            take(outgoing)?,
            take(incoming)?,
            limits,
        )
        .map(Mesh)
        .map_err(raise)
    }

    fn exchange<'py>(
        &self,
        py: Python<'py>,
        step: u64,
        sends: &Bound<'py, PyDict>,
        expects: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let sends = buffers(sends)?;
        let (views, expects) = (views(&sends)?, lengths(expects)?);
        inbox(
            py,
            waiting(py, |poll| self.0.exchange(step, &views, &expects, poll))?,
        )
    }

    fn post<'py>(
        &self,
        py: Python<'py>,
        step: u64,
        sends: &Bound<'py, PyDict>,
        expects: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        let sends = buffers(sends)?;
        let (views, expects) = (views(&sends)?, lengths(expects)?);
        waiting(py, |poll| self.0.post(step, &views, &expects, poll))
    }

    fn collect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        inbox(py, waiting(py, |poll| self.0.collect(poll))?)
    }

    fn begin(&self, session: &[u8]) -> PyResult<()> {
        self.0.begin(session_id(session)?).map_err(raise)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        waiting(py, |poll| self.0.finish(poll))
    }

    fn bye(&self, py: Python<'_>) -> PyResult<()> {
        waiting(py, |poll| self.0.bye(poll))
    }

    fn send_abort(&self, py: Python<'_>, step: u64, record: &[u8]) -> PyResult<()> {
        waiting(py, |poll| self.0.send_abort(step, record, poll))
    }

    fn next_event<'py>(
        &self,
        py: Python<'py>,
        timeout_s: f64,
    ) -> PyResult<Option<(usize, Option<Bound<'py, PyBytes>>)>> {
        let timeout = seconds(timeout_s)?;
        Ok(
            waiting(py, |poll| self.0.next_event(timeout, poll))?.map(|event| match event {
                Event::Abort(peer, record) => (peer, Some(PyBytes::new(py, &record))),
                Event::Lost(peer) => (peer, None),
            }),
        )
    }

    fn cancel(&self) {
        self.0.cancel();
    }

    /// In the order of `tacit.transport.Stats`.
    fn stats(&self) -> (u64, u64, u64, u64, u64) {
        let stats = self.0.stats();
        (
            stats.rounds,
            stats.frames,
            stats.payload_bytes_sent,
            stats.payload_bytes_received,
            stats.wire_bytes_sent,
        )
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

/// Adds this file's functions and classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LinkFault", module.py().get_type::<LinkFault>())?;
    module.add_class::<Identity>()?;
    module.add_class::<Listener>()?;
    module.add_class::<Connection>()?;
    module.add_class::<Mesh>()?;
    module.add_function(wrap_pyfunction!(connect, module)?)?;
    module.add_function(wrap_pyfunction!(frame_header, module)?)?;
    module.add_function(wrap_pyfunction!(parse_frame_header, module)?)?;
    Ok(())
}
