"""``hopgate-bpf check``: whether a loader would take a document, without one. Exit status: 0 yes, 1 no, 2 settings."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from hopgate_bpf.cli.options import config_file, form, printable, told
from hopgate_bpf.node.accepting import Verified, most_jws_bytes, pinned_keys, verified
from hopgate_bpf.node.settings import read_settings
from hopgate_bpf.rules.document import ClassRules
from hopgate_bpf.rules.image import write_image
from hopgate_bpf.rules.refusal import Reason, RefusedError

_FILE = click.Path(dir_okay=False, path_type=Path)


class ClassSummary(Struct, frozen=True):
    """One class in the answer."""

    name: str
    states: int
    anchors: int
    network: int
    binds: int
    system_calls: int | None
    audit: bool
    hide: bool
    spawn: bool


class Summary(Struct, frozen=True):
    """What was found right. ``image_bytes`` is before names are looked up."""

    node: str
    generation: int
    digest: str
    sha256: str
    names: tuple[str, ...]
    image_bytes: int
    classes: tuple[ClassSummary, ...]


@click.command()
@click.argument("document", type=_FILE)
@config_file()
@click.option("--keys", type=_FILE, help="Pinned keys, in place of those of the settings, which aren't read then.")
@click.option("--node", help="The node that the document must be for; with --keys and without this, any.")
@form()
def check(document: Path, config: Path, keys: Path | None, node: str | None, form: str) -> None:
    """Check the signed rules in DOCUMENT as a loader would, and look up nothing."""
    with told("check"):
        if keys is None:
            settings = read_settings(config)
            keys, node = Path(settings.keys), node or settings.node
        found = verified(_read(document), pinned_keys(keys), node)
        summary = _summary(found)
    if form == "json":
        click.echo(msgspec.json.encode(summary))
        return
    for line in _lines(summary):
        click.echo(printable(line))


def _read(document: Path) -> bytes:
    most = most_jws_bytes()
    try:
        with document.open("rb") as opened:
            return opened.read(most + 1).rstrip(b"\n")
    except OSError as error:
        raise RefusedError(Reason.SIGNATURE_MALFORMED, f"{document}: {error.strerror}") from None


def _summary(found: Verified) -> Summary:
    rules = found.rules
    image = write_image(rules, {}, {})
    return Summary(
        rules.node,
        rules.generation,
        rules.digest,
        found.sha256,
        tuple(sorted(found.names)),
        len(image.content),
        tuple(map(_class, rules.classes)),
    )


def _class(rules: ClassRules) -> ClassSummary:
    calls = None if rules.system_calls is None else len(rules.system_calls.allowed)
    files = rules.files
    counts = (files.automaton.states, len(files.anchors), len(rules.network), len(rules.binds), calls)
    return ClassSummary(rules.name, *counts, rules.audit, rules.hide, rules.spawn)


def _lines(summary: Summary) -> Iterator[str]:
    yield f"node {summary.node}, generation {summary.generation}, policies {summary.digest}"
    for each in summary.classes:
        marks = [word for word, is_set in (("audit", each.audit), ("hide", each.hide), ("spawn", each.spawn)) if is_set]
        calls = "any system call" if each.system_calls is None else f"{each.system_calls} system calls"
        parts = [f"{each.states} states", f"{each.anchors} anchors", f"{each.network} network rules"]
        yield f"{each.name}: {', '.join([*parts, f'{each.binds} to listen', calls, *marks])}"
    if summary.names:
        yield f"to look up: {' '.join(summary.names)}"
