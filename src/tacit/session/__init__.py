# SPDX-License-Identifier: Apache-2.0
"""Sessions: a client's view of the parties that compute for it, on this machine or on many."""

from tacit.session.client import Figures, NodeFacts, PartyFacts
from tacit.session.session import RunReport, Session, connect, local

__all__ = ["Figures", "NodeFacts", "PartyFacts", "RunReport", "Session", "connect", "local"]
