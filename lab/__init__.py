"""The rehearsal lab: real machines, real NFS, real Kubernetes and a chain with a judge, on one Linux host."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout this package belongs to."""
