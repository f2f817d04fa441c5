# SPDX-License-Identifier: Apache-2.0
"""One organisation's party: a process that listens, checks what it is asked, and runs plans with its peers."""
