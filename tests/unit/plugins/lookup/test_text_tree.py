"""A directory of texts, as the chart and the history watcher are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.eth2xk8s.staking.plugins.lookup.text_tree import LookupModule


def test_every_text_by_its_path(tmp_path: Path) -> None:
    for name in ("b.txt", "below/a.txt", ".hidden/c.txt", "below/.d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(f"{name}\r\n".encode())
    assert LookupModule().run([str(tmp_path)]) == [{"b.txt": "b.txt\r\n", "below/a.txt": "below/a.txt\r\n"}]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"cannot be read: .*gone"):
        LookupModule().run([str(tmp_path / "gone")])
    (tmp_path / "picture").write_bytes(b"\xff\xfe")
    with pytest.raises(AnsibleError, match=r"cannot be read: .*picture"):
        LookupModule().run([str(tmp_path)])
