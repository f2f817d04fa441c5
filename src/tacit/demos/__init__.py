# SPDX-License-Identifier: Apache-2.0
"""Demos: whole stories with real data, each compared with what one pooled database would have given."""
