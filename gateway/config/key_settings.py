"""``keys``: what hop tokens are signed with, and what is sealed with."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import KeyReference, NewPath, SecretReference

CACHED_MINUTES = 10
"""How long common verifiers keep a JWKS without asking again."""


class SigningKey(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key that signs hop tokens and agent cards."""

    source: Annotated[
        Literal["file", "store"],
        Meta(
            description="`file`: a private key that you keep. `store`: keys that the gateway makes, rotates and keeps "
            "sealed in the store, the same for all its replicas."
        ),
    ] = "file"
    algorithm: Annotated[
        Literal["ES256", "EdDSA"],
        Meta(description="ES256 (P-256) or EdDSA (Ed25519). With `store` it holds from the next key on."),
    ] = "ES256"
    file: Annotated[NewPath | None, Meta(description="For `source: file`: PKCS#8 PEM of the private key.")] = None
    generate: Annotated[bool, Meta(description="For `source: file`: make the file, mode 0600, if there is none.")] = (
        False
    )
    passphrase: Annotated[
        SecretReference | None,
        Meta(description="For `source: file`: reference to the passphrase that its PKCS#8 is encrypted with."),
    ] = None
    rotate_hours: Annotated[
        float, Meta(gt=0, le=8784, description="For `source: store`: how long a key signs until the next one does.")
    ] = 168.0
    lead_minutes: Annotated[
        float,
        Meta(
            ge=0,
            le=1440,
            description="For `source: store`: how long a new key is published before it signs. Longer than upstreams "
            "keep a JWKS without asking again.",
        ),
    ] = 15.0

    def faults(self) -> Iterable[Fault]:
        """What the source needs is there, and nothing of the other one's."""
        if self.source == "store":
            yield from self._store_faults()
        elif self.file is None:
            yield Fault(("file",), "source: file needs a file", "name the key's file, or set source: store")
        elif not self.generate and not Path(self.file).is_file():
            yield Fault(("file",), f"there is no file {self.file}", "make the key, or set generate: true")

    def _store_faults(self) -> Iterable[Fault]:
        for name, given in (("file", self.file), ("generate", self.generate), ("passphrase", self.passphrase)):
            if given:
                yield Fault((name,), f"source: store has no {name}", "remove it, or set source: file")
        if self.lead_minutes >= self.rotate_hours * 60:
            yield Fault(("lead_minutes",), "a key would be published for longer than it signs", "raise rotate_hours")
        elif self.lead_minutes < CACHED_MINUTES:
            message = f"upstreams that keep a JWKS for {CACHED_MINUTES} minutes meet tokens of a key they don't know"
            yield Fault(("lead_minutes",), message, f"set {CACHED_MINUTES} or more", "warning")


class Keys(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's own keys."""

    signing: SigningKey
    sealing: Annotated[
        KeyReference | None,
        Meta(
            description="Reference to a secret of at least 32 bytes that seals session handles and the store's signing "
            "keys, and keys digests. The same for all replicas of a store. Outside production it may be left out and "
            "is then generated next to the store."
        ),
    ] = None
