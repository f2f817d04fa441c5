// SPDX-License-Identifier: Apache-2.0
//! Bindings of the transport.

use pyo3::prelude::*;

/// Adds this file's functions and classes to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
