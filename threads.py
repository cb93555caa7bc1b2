"""How threads wait for each other on the CPU; a program imports this before torch, which reads it.

The threads of an operation meet at its end. GNU's OpenMP has those that come early spin for
milliseconds, which is the quickest where each has a core; where another program has one of the
cores, they keep the late one off the other, and a training takes ten times as long
(docs/benchmarks.md). So they spin a little, then sleep. OMP_WAIT_POLICY and GOMP_SPINCOUNT, where
set, decide instead.
"""

from __future__ import annotations

import os

SPINS = "3000"
"""Some microseconds."""

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
