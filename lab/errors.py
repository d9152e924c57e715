"""What the lab tells a person when it cannot go on."""

from __future__ import annotations


class LabError(Exception):
    """One clear sentence: what is wrong, where, and what to do."""
