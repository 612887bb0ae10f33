"""A systemd scope for an agent: the command that starts the same command again, in a scope of its own.

The scope is delegated (``Delegate=yes``), so that the agent's cgroup can be made inside it, and systemd stops the agent
with the scope.
"""

import re
import secrets
from collections.abc import Sequence

PROGRAM = "systemd-run"


def scoped(class_name: str, again: Sequence[str]) -> list[str]:
    """``again`` as a command line for ``systemd-run``."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", class_name)
    unit = f"hopgate-{plain}-{secrets.token_hex(6)}.scope"
    return [
        *(PROGRAM, "--scope", "--quiet", "--collect", f"--unit={unit}", "--property=Delegate=yes"),
        f"--description=Hopgate agent of class {plain}",
        "--",
        *again,
    ]
