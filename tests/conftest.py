"""Settings of the whole suite."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Same examples on every machine and every run, so that a red suite means a change; wall time is no property of the
# code on a shared machine. Longer random searches have their own targets.
settings.register_profile(
    "house", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

# A shell starts what runs in the background without SIGINT, and Python leaves it so: no test could press Ctrl-C then.
signal.signal(signal.SIGINT, signal.default_int_handler)
