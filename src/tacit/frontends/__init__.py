# SPDX-License-Identifier: Apache-2.0
"""What people write: each front end turns it into a plan, and nothing else."""
