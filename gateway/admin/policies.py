"""What the admin API asks about the policies: what is in force, what a proposal would be, and to put it in force.

Who fulfils it is wired in ``app``. Decides nothing.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from gateway.config.problems import Problem
from gateway.core.errors import HopError
from gateway.core.policy.replay_report import ReplayReport
from gateway.core.policy.review import Reviewed
from gateway.core.reasons import Reason
from gateway.core.versions import Files, PolicyVersions, Version
from gateway.publish import Published


class TestRun(Struct, frozen=True):
    """How the tests went that lie beside the policies; those that failed are problems."""

    run: int
    failed: int


class Checked(Struct, frozen=True):
    """A proposal that could come into force: compiled, and as its tests expect."""

    files: Files
    published: Published
    tests: TestRun


class PoliciesError(HopError):
    """Policies that can't be used: every problem, with its file and line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = str(problems[0]) if problems else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(Reason.POLICIES_INVALID, f"{first[:300]}{more}")
        self.problems: tuple[Any, ...] = tuple(problems)


class PolicyDesk(Protocol):
    """The policies of one process."""

    @property
    def versions(self) -> PolicyVersions:
        """Every version that was in force."""
        ...

    @property
    def owner(self) -> str | None:
        """What owns the policies, where it isn't the store."""
        ...

    @property
    def published(self) -> Published:
        """What is in force in this process."""
        ...

    async def base(self) -> Version:
        """The version in force, which a proposal begins with.

        Raises:
            StoreError: the store can't be asked.
            HopError: NOT_FOUND, none is kept yet.
        """
        ...

    async def compiled(self, files: Files) -> Published:
        """The files compiled under the registry in force. Off the loop.

        Raises:
            PoliciesError: they can't be used.
        """
        ...

    async def check(self, files: Files) -> Checked:
        """The proposal compiled under the registry in force, its tests run. Off the loop.

        Raises:
            PoliciesError: it can't be used.
        """
        ...

    async def put(self, checked: Checked, version: Version) -> bool:
        """Keep the version and serve traffic with it: False, and nothing is done, where another one came before.

        Raises:
            StoreError: it can't be kept.
        """
        ...

    async def replay(self, published: Published, since: int, until: int | None, *, staged: bool) -> ReplayReport:
        """What these policies say of recorded decisions, the newest ones. Times are Unix milliseconds.

        Raises:
            StoreError: the log can't be read.
        """
        ...

    async def review(self, days: int, now: int) -> tuple[Reviewed, ...]:
        """How the policies in force are used.

        Raises:
            StoreError: the log can't be read.
        """
        ...
