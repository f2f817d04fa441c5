# SPDX-License-Identifier: Apache-2.0
"""Secure algorithms, each written once on the black box."""
