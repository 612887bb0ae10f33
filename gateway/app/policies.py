"""The policies of one process: every version kept, newer ones of other processes taken over, proposals put in force.

Fulfils ``admin.policies.PolicyDesk``. Compiling, testing and replaying happen in threads, one at a time. Doesn't decide
who may publish (``core.administration``), or how the edition is swapped (``app.editions``).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gateway.admin.policies import Checked, PoliciesError, TestRun
from gateway.app.editions import Editions
from gateway.app.parts import PartError, sealing_secret
from gateway.app.policy_tests import results
from gateway.app.telemetry import Telemetry
from gateway.config.policy_files import read_companions
from gateway.config.policy_tests import tests_among
from gateway.config.problems import Problem, Problems
from gateway.core.errors import HopError, StoreError
from gateway.core.policy.replay import Replay, pieces_of
from gateway.core.policy.replay_report import ReplayReport, summed_up
from gateway.core.policy.review import DAY_MS, Reviewed, Used, reviewed
from gateway.core.reasons import Reason
from gateway.core.versions import Files, PolicyVersions, Version, digest_of, next_facts, path_fault, sources_of
from gateway.identity.seal import digest_key
from gateway.proxy.gate import Gate
from gateway.publish import Published, compile_loaded
from gateway.store.query import AuditReader

POLL_SECONDS = 0.4
RETRY_SECONDS = 10.0
MOST_FILES = 10_000
BY_FILES = "files"
"""Who made a version that was found on disk."""


class Policies:
    """Follows ``versions`` for one process, whose editions they are."""

    def __init__(
        self,
        versions: PolicyVersions,
        editions: Editions,
        gate: Gate,
        environ: Mapping[str, str],
        telemetry: Telemetry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.versions = versions
        self._editions = editions
        self._gate = gate
        self._telemetry = telemetry
        self._clock = clock
        settings = editions.published.loaded.settings
        self._limits = settings.publishing
        self._store_url = settings.store.url
        self._digest_key = digest_key(sealing_secret(settings, environ))
        self._work = asyncio.Lock()
        self._seen: Published | None = None
        """What was last compared with what is kept."""
        self._tried = 0, float("-inf")
        """The version that was last taken over, or could not be, and when (``time.monotonic``)."""
        self._stepping = asyncio.Lock()
        self._detail = "ok"

    @property
    def owner(self) -> str | None:
        """The folder that owns the policies, where the store doesn't."""
        return None if self._limits.source == "store" else self._editions.published.loaded.settings.policies

    @property
    def published(self) -> Published:
        """What is in force in this process."""
        return self._editions.published

    async def start(self) -> None:
        """Keep what is in force as a version, if it isn't one yet.

        Raises:
            PartError: the store can't keep it.
        """
        try:
            await self._step()
        except StoreError as error:
            raise PartError(f"store.url: {error.detail}") from None

    async def run(self) -> None:
        """Keep what comes into force here, and take over what others publish, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._step()
            except StoreError as error:
                self._say(error.detail)
            else:
                self._say("ok")

    async def base(self) -> Version:
        """The newest version; where files own the policies, the one that they are.

        Raises:
            StoreError: STORE_UNAVAILABLE.
            HopError: NOT_FOUND.
        """
        if self.published.version is None:
            await self._step()
        facts = await self.versions.newest() if self.owner is None else self.published.version
        found = None if facts is None else await self.versions.read(facts.number)
        if found is None:
            raise HopError(Reason.NOT_FOUND, "no version of the policies is kept yet")
        return found

    async def compiled(self, files: Files) -> Published:
        """The files compiled under the registry in force.

        Raises:
            PoliciesError: they can't be used.
        """
        async with self._work:
            return await asyncio.to_thread(self._compile, files)

    async def check(self, files: Files) -> Checked:
        """The proposal compiled, and its tests run.

        Raises:
            PoliciesError: it can't be used.
        """
        async with self._work:
            return await asyncio.to_thread(self._check, files)

    async def put(self, checked: Checked, version: Version) -> bool:
        """Keep the version and serve traffic with it.

        Raises:
            StoreError: it can't be kept.
        """
        found = msgspec.structs.replace(checked.published, version=version.facts)
        try:
            return await self._editions.replace(self._gate, found, lambda: self.versions.append(version))
        except PartError as error:
            raise HopError(Reason.INTERNAL_ERROR, str(error)) from None

    async def replay(self, published: Published, since: int, until: int | None, *, staged: bool) -> ReplayReport:
        """What these policies say of recorded decisions.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        bundle = published.snapshot.bundle
        if staged and bundle.trials:
            bundle = bundle.trials[-1].bundle

        def replayed() -> ReplayReport:
            reader = AuditReader(self._store_url)
            records = reader.newest_decisions(since, until, self._limits.replayed_decisions)
            return summed_up(records, Replay(bundle, pieces_of(reader.facts())))

        async with self._work:
            return await asyncio.to_thread(replayed)

    async def review(self, days: int, now: int) -> tuple[Reviewed, ...]:
        """How the policies in force are used.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        bundle = self.published.snapshot.bundle

        def look() -> tuple[Reviewed, ...]:
            reader = AuditReader(self._store_url)
            used = Used(reader.determined(now - days * DAY_MS), reader.asked(), reader.policies_seen())
            return tuple(reviewed(bundle, used, now, days))

        async with self._work:
            return await asyncio.to_thread(look)

    async def _step(self) -> None:
        async with self._stepping:
            await self._compare()

    async def _compare(self) -> None:
        published = self.published
        if self.owner is None and published.version is not None:
            newest = await self.versions.newest()
            if newest is None or newest.number == published.version.number:
                return
            number, at = self._tried
            # One that can't be used here is not compiled again and again.
            if newest.number != number or time.monotonic() - at > RETRY_SECONDS:
                self._tried = newest.number, time.monotonic()
                await self._editions.reload(self._gate)
        elif published is not self._seen:
            await self._note(published)

    async def _note(self, published: Published) -> None:
        """Keep what the files say as a version, unless the newest one says the same."""
        files = await asyncio.to_thread(self._on_disk, published)
        newest = await self.versions.newest()
        if newest is None or newest.digest != digest_of(files):
            if newest is not None and self.owner is None:
                self._seen = published
                # Another process began the store: what it keeps is what counts.
                await self._editions.reload(self._gate)
                return
            bundle = published.snapshot.bundle.digest
            facts = next_facts(newest, files, bundle, by=BY_FILES, origin="files", at=int(self._clock() * 1000))
            if not await self.versions.append(Version(facts, files)):
                return
            newest = facts
        if self.published is published:
            self._editions.is_version(newest)
        self._seen = self.published

    def _on_disk(self, published: Published) -> Files:
        """The policies in force, and the tests that lie beside them now."""
        companions, problems = read_companions(Path(published.loaded.settings.policies))
        for problem in problems:
            self._telemetry.log.warning("not kept with the policies", problem=str(problem))
        return dict(companions) | {source.path: source.text for source in published.loaded.policies}

    def _compile(self, files: Files) -> Published:
        faults = [Problem(path[:300], 0, "", fault) for path in files if (fault := path_fault(path)) is not None]
        if len(files) > MOST_FILES:
            faults.append(Problem("", 0, "", f"a version has at most {MOST_FILES} files", "publish fewer"))
        if not sources_of(files):
            hint = "to stop everything at once, use hopgate revoke --all"
            faults.append(Problem("", 0, "", "there are no policies, so every call would be denied", hint))
        if faults:
            raise PoliciesError(faults)
        base = self.published
        loaded = msgspec.structs.replace(base.loaded, policies=sources_of(files), warnings=())
        found = compile_loaded(loaded, base.snapshot.generation + 1, self._digest_key, 0)
        if isinstance(found, Problems):
            raise PoliciesError(found.errors)
        return found

    def _check(self, files: Files) -> Checked:
        found = self._compile(files)
        tests, problems = tests_among(files, sources_of(files))
        count = sum(len(file.tests) for file in tests)
        if count > self._limits.tests:
            message = f"there are {count} tests, and publishing.tests allows {self._limits.tests}"
            problems = (*problems, Problem("", 0, "", message, "publish fewer, or raise it"))
        if problems:
            raise PoliciesError(problems)
        try:
            ran = list(results(tests, found.loaded.registry))
        except ValueError as error:
            raise PoliciesError([Problem("", 0, "", str(error))]) from None
        failed = [Problem(each.file, 0, each.test, "; ".join(each.differences)) for each in ran if not each.ok]
        if failed:
            raise PoliciesError(failed)
        return Checked(files, found, TestRun(len(ran), 0))

    def _say(self, detail: str) -> None:
        """Not each attempt: there are several a second."""
        if detail != self._detail:
            self._detail = detail
            log = self._telemetry.log.info if detail == "ok" else self._telemetry.log.error
            log("policy versions", detail=detail)
