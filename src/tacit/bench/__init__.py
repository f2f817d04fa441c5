# SPDX-License-Identifier: Apache-2.0
"""Measuring what secure operations cost, each result checked against plaintext."""
