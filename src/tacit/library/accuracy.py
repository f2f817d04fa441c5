# SPDX-License-Identifier: Apache-2.0
"""What the fixed-point functions promise: domain, error, and what happens outside.

docs/numerics.md is generated from this table and from measurements; a test asserts that the measured errors keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Bound:
    """Inside `domain`, |error| <= units * 2^-f + relative * |result| + absolute, whichever way truncations round.

    With `exact=True` it is half a unit less.
    """

    domain: str
    units: float
    relative: float
    absolute: float
    outside: str

    def allowed(self, result: float, f: int, exact: bool = False) -> float:
        """The largest error at this true result."""
        units = self.units - 0.5 if exact else self.units
        return units * 2.0**-f + self.relative * abs(result) + self.absolute


_PRODUCT: Final = "products before truncation within 2^62 raw"
_REFUSED: Final = "refused when the plan is built"

BOUNDS: Final[Mapping[str, Bound]] = MappingProxyType(
    {
        "mul": Bound(_PRODUCT, 1, 0, 0, _REFUSED),
        "square": Bound(_PRODUCT, 1, 0, 0, _REFUSED),
        "matmul": Bound(_PRODUCT, 1, 0, 0, _REFUSED),
        "conv2d": Bound(_PRODUCT, 1, 0, 0, _REFUSED),
        "scale": Bound(_PRODUCT, 1, 0, 0, _REFUSED),
        "divide": Bound(
            "every x and y with |x/y| < 2^(60 - f)",
            1,
            2**-27,
            0,
            "x/0 is x/2^-f; larger quotients give +-2^(61 - f)",
        ),
        "reciprocal": Bound("every x but 0", 1, 2**-27, 0, "1/0 is 1/2^-f = 2^f"),
        "sqrt": Bound("x >= 0", 1, 2**-24, 0, "0"),
        "rsqrt": Bound("x >= 2^-f", 1, 2**-27, 0, "the value at 2^-f, which is 2^(f/2)"),
        "exp": Bound(
            "-(f + 1) ln 2 <= x <= min(20, (59 - f) ln 2)",
            1,
            2**-27,
            0,
            "0 below, the value at the upper end above",
        ),
        "log": Bound("x >= 2^-f", 1, 0, 2**-24, "the value at 2^-f, which is -f ln 2"),
        "sigmoid": Bound("every x", 1.02, 0, 2.3e-7, "0 and 1 beyond -16 and 16"),
        "tanh": Bound("every x", 1.03, 0, 4.6e-7, "-1 and 1 beyond -8 and 8"),
    }
)
"""By name of the function in fixed.py and nonlinear.py."""
