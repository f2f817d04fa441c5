# SPDX-License-Identifier: Apache-2.0
"""Ibis expressions over the tables of a session: `ibis.tacit.connect(session)`."""

from tacit.ibis.backend import Backend

__all__ = ["Backend"]
