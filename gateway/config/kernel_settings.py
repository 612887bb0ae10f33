"""``kernel``: which loaders on agents' machines get the rules compiled from the policies, and what comes back."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import HttpsUrl, Label, SecretReference, SocketPath, SpiffeIdText


class LoaderSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's `hopgate-bpf`: by its unix socket on this host, or by mutual TLS elsewhere."""

    node: Annotated[Label, Meta(description="The node's name, as its own settings have it. Documents are made for it.")]
    socket: Annotated[SocketPath | None, Meta(description="Unix socket of its API, on this host.")] = None
    url: Annotated[HttpsUrl | None, Meta(description="Its API over mutual TLS, `https://HOST:PORT`.")] = None
    spiffe_id: Annotated[
        SpiffeIdText | None, Meta(description="With `url`: the SPIFFE ID that it must prove, and no other.")
    ] = None

    def faults(self) -> Iterable[Fault]:
        """One way to it, and with TLS somebody to expect."""
        if (self.socket is None) == (self.url is None):
            found = "none" if self.socket is None else "both"
            yield Fault((), f"a loader has exactly one of socket and url, found {found}", "name one of them")
        if (self.url is None) != (self.spiffe_id is None):
            hint = "set spiffe_id to the loader's own SPIFFE ID"
            yield Fault(("spiffe_id",), "url and spiffe_id belong together", hint)


class KernelSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules for the kernels of agents' machines: where they go, and who signs them (docs/KERNEL.md)."""

    loaders: Annotated[tuple[LoaderSettings, ...], Meta(max_length=1000, description="Every node's loader.")] = ()
    key: Annotated[
        SecretReference | None,
        Meta(
            description="Reference to the Ed25519 key (PKCS#8 PEM) that signs rules; beside the store by default, made "
            "where there is none. `hopgate kernel key` prints what loaders pin."
        ),
    ] = None
    request_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long a loader may take to answer; a push looks names up.")
    ] = 60.0
    look_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="How often a loader is asked what it enforces, when nothing changes.")
    ] = 10.0
    retry_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="Longest wait before a loader that failed is tried again; the first is 0.5 s."),
    ] = 30.0
    events_per_second: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Most denials of one node that are recorded one by one; others are counted."),
    ] = 50

    def faults(self) -> Iterable[Fault]:
        """Each node once."""
        seen: set[str] = set()
        for index, each in enumerate(self.loaders):
            if each.node in seen:
                yield Fault(("loaders", index, "node"), f"there are two loaders of {each.node}", "name each node once")
            seen.add(each.node)
