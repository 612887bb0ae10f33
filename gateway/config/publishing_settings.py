"""``publishing``: what owns the policies, and how large a published version may be."""

from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.section import Section


class Publishing(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What owns the policies in force, and the limits of publishing them."""

    source: Annotated[
        Literal["files", "store"],
        Meta(
            description="`files`: the `policies` folder, reloaded as it changes. `store`: what was published last; the "
            "folder only makes the first version of a new store."
        ),
    ] = "files"
    body_bytes: Annotated[
        int,
        Meta(ge=16 * 1024, le=64 * 1024 * 1024, description="Largest request that publishes, or replays, policies."),
    ] = 4 * 1024 * 1024
    tests: Annotated[
        int, Meta(ge=0, le=100_000, description="Most tests in a version; they are run before it comes into force.")
    ] = 2_000
    replayed_decisions: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most recorded decisions, the newest, that a request decides anew.")
    ] = 10_000
