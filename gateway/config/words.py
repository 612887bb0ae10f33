"""The types of single settings: text with a rule, paths, references to secrets.

A type says how its text is checked (``rule``), and whether it names a file (``path``) or a secret.
``typed_reader`` acts on both; schemas and the reference are generated from the same types.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.config import rules

PathKind = Literal["file", "folder", "new", "sqlite"]
"""An existing file or folder; a file that may be made later; a SQLite URL with a path in it."""


class Word(Struct, frozen=True):
    """How a text is checked beyond its type."""

    rule: rules.Rule | None = None
    path: PathKind | None = None
    secret: bool = False
    least_bytes: int = 0
    """Of a secret."""


def _text(pattern: str | None = None, max_length: int | None = None, **word: Any) -> Meta:
    return Meta(pattern=pattern, min_length=1, max_length=max_length, extra={"word": Word(**word)})


_REFERENCE = "^(file:.+|env:[A-Za-z_][A-Za-z0-9_]*)$"

Name = Annotated[str, _text(r"^[A-Za-z0-9_.-]+$", 128, rule=rules.name)]
IdpName = Annotated[str, _text(r"^[a-z0-9-]+$", 63, rule=rules.idp_name)]
PersonId = Annotated[str, _text(r"^[a-z0-9-]+\|.+$", rule=rules.person_id)]
ClassName = Annotated[str, _text(r"^[A-Za-z0-9._:/-]+$", 63, rule=rules.class_name)]
DestinationHost = Annotated[str, _text(max_length=253, rule=rules.destination_host)]
Label = Annotated[str, _text(max_length=256, rule=rules.label)]
Scope = Annotated[str, _text(r"^[!#-\[\]-~]+$", 256, rule=rules.scope)]
PinDigest = Annotated[str, _text("^sha256:[0-9a-f]{64}$", 71, rule=rules.pin)]
ResourcePattern = Annotated[str, _text(r"^[a-z][a-z0-9+.-]*:[^*]*\*?$", 2048, rule=rules.resource_pattern)]
PromptPattern = Annotated[str, _text(r"^[^*]*\*?$", 256, rule=rules.prompt_pattern)]
TrustDomain = Annotated[str, _text(r"^[a-z0-9._-]+$", 255, rule=rules.trust_domain)]
SpiffeIdText = Annotated[str, _text("^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$", 2048, rule=rules.spiffe_id)]
HttpsUrl = Annotated[str, _text("^https://", 2048, rule=rules.https_url)]
OriginUrl = Annotated[str, _text("^https://[^/?#]+$", 2048, rule=rules.origin_url)]
WebOrigin = Annotated[str, _text("^https?://[^/?#]+$", 2048, rule=rules.web_origin)]
WebUrl = Annotated[str, _text("^https?://", 2048, rule=rules.web_url)]
LoopbackOrHttpsUrl = Annotated[str, _text("^https?://", 2048, rule=rules.loopback_or_https_url)]
HostHeader = Annotated[str, _text(max_length=300, rule=rules.host_header)]
HeaderName = Annotated[str, _text("^[A-Za-z][A-Za-z0-9-]*$", 64, rule=rules.header_name)]
Network = Annotated[str, _text(max_length=64, rule=rules.network)]
FilePath = Annotated[str, _text(path="file")]
FolderPath = Annotated[str, _text(path="folder")]
SocketPath = Annotated[str, _text(path="new", rule=rules.socket_path)]
NewPath = Annotated[str, _text(path="new")]
SqliteUrl = Annotated[str, _text("^sqlite:///", rule=rules.sqlite_url, path="sqlite")]
SecretReference = Annotated[str, _text(_REFERENCE, secret=True)]
KeyReference = Annotated[str, _text(_REFERENCE, secret=True, least_bytes=32)]
