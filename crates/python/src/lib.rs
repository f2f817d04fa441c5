// SPDX-License-Identifier: Apache-2.0
//! The Python face of the native core: converts buffers, releases the GIL, and does nothing else.

use pyo3::prelude::*;

mod kernels;
mod transport;

/// The extension module `tacit._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    kernels::register(module)?;
    transport::register(module)?;
    Ok(())
}
