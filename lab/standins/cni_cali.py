#!/usr/bin/python3 -IS
"""A CNI plugin that follows `ptp` in a chain: the host's end of a pod's link gets Calico's name for it, cali….

Firewalls name these interfaces, so they have to be the real ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main() -> int:
    if os.environ.get("CNI_COMMAND") == "VERSION":
        print(json.dumps({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}))
        return 0
    conf = json.load(sys.stdin)
    if os.environ.get("CNI_COMMAND") != "ADD":
        return 0
    result = conf["prevResult"]
    host = next(interface for interface in result["interfaces"] if not interface.get("sandbox"))
    name = "cali" + os.environ["CNI_CONTAINERID"][:11]
    renamed = subprocess.run(
        ["ip", "link", "set", "dev", host["name"], "name", name], capture_output=True, text=True, check=False
    )
    if renamed.returncode:
        print(json.dumps({"cniVersion": "1.0.0", "code": 100, "msg": f"{host['name']}: {renamed.stderr.strip()}"}))
        return 1
    host["name"] = name
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
