# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by the Ansible role eth2xk8s.staking.microk8s; started daily by eth2xk8s-certificates.timer.

"""Say which certificates of this node's MicroK8s end within so many days: in the journal, and at a login."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _microk8s import SNAP_DATA, Files, Microk8sError

# Shown at a login by pam_motd (Debian 12, Ubuntu 20.04 and later).
NOTE = Path(os.environ.get("ETH2XK8S_NOTE", "/run/motd.d/50-eth2xk8s-certificates"))
WARNING = "<4>"  # systemd's prefix for the priority in the journal


def look(data: Path, days: int) -> list[str]:
    """One line for each certificate that has ended or ends within these days."""
    if not (data / "certs").is_dir():
        return []
    try:
        found = Files(data).certificates(datetime.now(timezone.utc))
    except (Microk8sError, OSError) as exc:
        return [f"The certificates of MicroK8s could not be read: {exc}"]
    return [
        f"MicroK8s: {item['name']} "
        + (f"ends in {item['days_left']} days" if item["days_left"] >= 0 else f"ended on {item['expires'][:10]}")
        for item in found
        if item["days_left"] < days
    ]


def main() -> int:
    """Look, tell, and fail if there is something to tell."""
    lines = look(Path(os.environ.get("ETH2XK8S_SNAP_DATA", str(SNAP_DATA))), int(sys.argv[1]))
    if not lines:
        if NOTE.parent.is_dir():
            NOTE.unlink(missing_ok=True)
        return 0
    lines.append("Then this node's part of Kubernetes stops. Run site.yml, which renews or names them.")
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    NOTE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    NOTE.chmod(0o644)
    for line in lines:
        print(WARNING + line, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
