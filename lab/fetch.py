"""Fetch one address and print it, or post a file to it: run inside the lab's network by commands that stand outside."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

if __name__ == "__main__":
    posted = Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else None
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1], posted), timeout=60) as answer:
        sys.stdout.write(answer.read().decode())
