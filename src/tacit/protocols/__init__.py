# SPDX-License-Identifier: Apache-2.0
"""Secure protocols: shares and messages, one file per protocol, on one black box."""
