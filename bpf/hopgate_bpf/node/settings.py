"""The loader's settings: one YAML file, strictly typed, every limit with a default.

Decides whether settings can be meant. Opens no file that they name.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from hopgate_bpf.node.settings_file import read_yaml
from hopgate_bpf.node.shadow_settings import ShadowSettings
from hopgate_bpf.rules.document import MAX_BYTES, MAX_CLASSES, ClassName
from hopgate_bpf.rules.image import Strictness
from hopgate_bpf.rules.names import NameTimes
from hopgate_bpf.rules.refusal import Reason, RefusedError

DEFAULT_FILE = Path("/etc/hopgate-bpf/config.yaml")

AbsolutePath = Annotated[str, Meta(pattern="^/[^\\x00]{0,4000}$", description="an absolute path")]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description="seconds, more than 0 and at most a day")]
SpiffeIdText = Annotated[
    str, Meta(pattern=r"^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$", description="spiffe://domain/path")
]


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class LoaderSettings(_Section, frozen=True, kw_only=True):
    """The C loader."""

    program: AbsolutePath = "/usr/libexec/hopgate-bpf-loader"
    pins: AbsolutePath = "/sys/fs/bpf/hopgate"
    """Where it pins links and maps."""
    seconds: Seconds = 30.0
    """Of one call of it, events aside."""


class SocketSettings(_Section, frozen=True, kw_only=True):
    """The API's unix socket."""

    path: AbsolutePath = "/run/hopgate-bpf/api.sock"
    uids: Annotated[list[Annotated[int, Meta(ge=0, lt=2**32 - 1)]], Meta(min_length=1, max_length=64)] = field(
        default_factory=lambda: [0]
    )
    """User ids whose processes may use it."""


class TlsSettings(_Section, frozen=True, kw_only=True):
    """The API over mutual TLS, for a gateway on another host."""

    host: str = "0.0.0.0"  # noqa: S104 - only the pinned SPIFFE ID gets past the handshake
    port: Annotated[int, Meta(ge=1, le=65_535)]
    certificate: AbsolutePath
    """This node's X509-SVID, PEM, its intermediates below it. Read again when it changes, as the other two."""
    key: AbsolutePath
    trust_bundle: AbsolutePath
    """Roots of the gateway's trust domain, PEM."""
    gateway: SpiffeIdText
    """The only SPIFFE ID that may use it."""


class NameSettings(_Section, frozen=True, kw_only=True):
    """Lookups of host names in rules."""

    servers: Annotated[list[str], Meta(max_length=3)] = field(default_factory=list)
    """Name servers, ``address`` or ``address:port``; without, those of the host."""
    lookup_seconds: Seconds = 4.0
    ttl_floor_seconds: Seconds = 5.0
    ttl_ceiling_seconds: Seconds = 300.0
    grace_seconds: Seconds = 600.0
    retry_seconds: Seconds = 5.0

    @property
    def times(self) -> NameTimes:
        """As ``rules.names`` takes them."""
        return NameTimes(self.ttl_floor_seconds, self.ttl_ceiling_seconds, self.grace_seconds, self.retry_seconds)


class LimitSettings(_Section, frozen=True, kw_only=True):
    """What one caller can ask for."""

    document_bytes: Annotated[int, Meta(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    """Of a pushed document; its JWS has a third more."""
    body_seconds: Seconds = 30.0
    header_bytes: Annotated[int, Meta(ge=1024, le=65_536)] = 8192
    requests: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Under way at once, streams of events aside."""
    event_streams: Annotated[int, Meta(ge=1, le=64)] = 4
    events_kept: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """For streams that come later or read slowly; the oldest go first."""
    cgroups: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    """Registered by the API, all classes together."""


class CgroupSettings(_Section, frozen=True, kw_only=True):
    """Where cgroups are."""

    root: AbsolutePath = "/sys/fs/cgroup"
    """The mount of cgroup version 2."""
    parent: AbsolutePath = "/sys/fs/cgroup/hopgate"
    """Under which ``exec`` makes its cgroups."""


class Settings(_Section, frozen=True, kw_only=True):
    """All of them."""

    node: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$", description="this node's name")]
    keys: AbsolutePath
    """JWK set with the gateway's public keys, which sign the rules. Read again at each push."""
    state: AbsolutePath = "/var/lib/hopgate-bpf"
    """What was accepted, to be in force again after a restart."""
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    socket: SocketSettings = field(default_factory=SocketSettings)
    tls: TlsSettings | None = None
    names: NameSettings = field(default_factory=NameSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    cgroups: CgroupSettings = field(default_factory=CgroupSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    classes: Annotated[dict[ClassName, Strictness], Meta(max_length=MAX_CLASSES)] = field(default_factory=dict)
    """What this node asks of a class beyond its rules."""


def read_settings(file: Path) -> Settings:
    """The settings in ``file``.

    Raises:
        RefusedError: CONFIG_INVALID, with file, line and key of the first mistake.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RefusedError(Reason.CONFIG_INVALID, f"{file}: can't be read: {cause}") from None
    written = read_yaml(text, str(file))
    try:
        settings = msgspec.convert(written.value, Settings)
    except msgspec.ValidationError as error:
        path, message = _explained(str(error), written.value)
        key = path.removeprefix("$.").removeprefix("$")
        where = f"{file}:{written.line(path)}"
        text = f"{where}: {key}: {message}" if key else f"{where}: {message}"
        raise RefusedError(Reason.CONFIG_INVALID, text) from None
    _check(settings, str(file), written.line)
    return settings


def _explained(error: str, value: Any) -> tuple[str, str]:
    """Path and message in the words of the file's author, of what msgspec said."""
    message, _, at = error.partition(" - at ")
    place = re.search(r"`(\$.*)`", at)
    path = place[1] if place else "$"
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL)
    if unknown:
        known = _keys_at(path)
        near = difflib.get_close_matches(unknown[1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        return f"{path}.{unknown[1]}", f"unknown key ({hint})"
    message = message.replace("Object missing required field", "this key is required and missing:")
    message = re.sub(r"matching regex.*", f"that is {_described(path)}", message, flags=re.DOTALL)
    return path, message[:1].lower() + message[1:].replace(", got", ", found")


def _section_at(path: str) -> Any:
    kind: Any = Settings
    for name in re.findall(r"\.([A-Za-z_]+)", path):
        kind = {each.name: each.type for each in msgspec.structs.fields(kind)}.get(name)
        for option in getattr(kind, "__args__", ()):
            kind = option if isinstance(option, type) and issubclass(option, Struct) else kind
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return kind
    return kind


def _keys_at(path: str) -> list[str]:
    return [each.name for each in msgspec.structs.fields(_section_at(path))]


def _described(path: str) -> str:
    for meta in getattr(_section_at(path), "__metadata__", ()):
        if meta.description:
            return str(meta.description)
    return "of the right form"


def _check(settings: Settings, file: str, line: Any) -> None:
    names = settings.names
    if names.ttl_floor_seconds > names.ttl_ceiling_seconds:
        path = "$.names.ttl_ceiling_seconds"
        text = f"{file}:{line(path)}: names.ttl_ceiling_seconds: it is less than ttl_floor_seconds"
        raise RefusedError(Reason.CONFIG_INVALID, text)
    root, parent = Path(settings.cgroups.root), Path(settings.cgroups.parent)
    if root not in parent.parents or ".." in parent.parts:
        text = f"{file}:{line('$.cgroups.parent')}: cgroups.parent: it is not below cgroups.root, {root}"
        raise RefusedError(Reason.CONFIG_INVALID, text)
    misplaced = settings.shadow.misplaced(root)
    if misplaced is not None:
        where = f"shadow.roots[{misplaced}]"
        raise RefusedError(Reason.CONFIG_INVALID, f"{file}:{line('$.' + where)}: {where}: it is not below {root}")
