"""Fetch one address and print it: run inside the lab's network by commands that stand outside."""

from __future__ import annotations

import sys
import urllib.request

if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        sys.stdout.write(answer.read().decode())
