# SPDX-License-Identifier: Apache-2.0
"""Running a plan: coroutines to transports, plans to library calls, declarations to costs."""
