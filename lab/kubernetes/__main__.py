"""Prints where the pinned Helm is, built if it must be: `python -m lab.kubernetes`."""

from __future__ import annotations

import sys

from lab.errors import LabError
from lab.kubernetes.build import helm

try:
    print(helm(lambda line: print(line, file=sys.stderr)))
except LabError as exc:
    sys.exit(str(exc))
