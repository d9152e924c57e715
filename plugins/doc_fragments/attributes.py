# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

from __future__ import annotations


class ModuleDocFragment:
    """What the modules promise of check mode and diff mode, said once."""

    # Modules that only read.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns what has changed (or would change in C(check_mode)), when in diff mode.
    support: N/A
"""

    # Modules that write, and show what.
    DIFF = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns what has changed (or would change in C(check_mode)), when in diff mode.
    support: full
"""

    # Modules that write, and show nothing.
    NO_DIFF = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns what has changed (or would change in C(check_mode)), when in diff mode.
    support: none
"""
