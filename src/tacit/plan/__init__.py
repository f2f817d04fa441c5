# SPDX-License-Identifier: Apache-2.0
"""The plan: a typed, serialisable dataflow graph with a digest that all parties read, verify and run."""

from tacit.plan.attributes import AttrKind
from tacit.plan.disclosure import Assumption, Disclosure
from tacit.plan.functions import FUNCTION_BOUNDS, FunctionBound
from tacit.plan.graph import Plan, PlanBuilder, RegionBuilder
from tacit.plan.indexing import normalise_index, numpy_index
from tacit.plan.nodes import Attr, Attrs, Graph, Node, Region
from tacit.plan.ops import OPS, OpSpec, constant_array, defaults, infer, infer_results, product_shift, truncates
from tacit.plan.sources import full_source
from tacit.plan.types import (
    BOOL,
    FIXED,
    INT8,
    INT16,
    INT32,
    INT64,
    OUT_OF_RANGE,
    UINT8,
    UINT16,
    UINT32,
    DType,
    Home,
    Interval,
    Private,
    Public,
    Secret,
    TensorType,
    default_interval,
    fixed,
    join,
)
from tacit.plan.verify import NETWORKS, PROTOCOLS, verify, verify_matches

__all__ = [
    "BOOL",
    "FIXED",
    "FUNCTION_BOUNDS",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "NETWORKS",
    "OPS",
    "OUT_OF_RANGE",
    "PROTOCOLS",
    "UINT8",
    "UINT16",
    "UINT32",
    "Assumption",
    "Attr",
    "AttrKind",
    "Attrs",
    "DType",
    "Disclosure",
    "FunctionBound",
    "Graph",
    "Home",
    "Interval",
    "Node",
    "OpSpec",
    "Plan",
    "PlanBuilder",
    "Private",
    "Public",
    "Region",
    "RegionBuilder",
    "Secret",
    "TensorType",
    "constant_array",
    "default_interval",
    "defaults",
    "fixed",
    "full_source",
    "infer",
    "infer_results",
    "join",
    "normalise_index",
    "numpy_index",
    "product_shift",
    "truncates",
    "verify",
    "verify_matches",
]
