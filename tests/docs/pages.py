"""What a documentation page says to do and to expect: its files, its commands, the answers printed below them."""

import re
from collections.abc import Iterator


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Each command of the page's console blocks, and the answer that stands below it."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            yield command, answer


def files(page: str) -> dict[str, str]:
    """The code blocks that are introduced by a file's name."""
    return dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", page, re.DOTALL | re.MULTILINE))


def is_as_printed(expected: str, answer: str) -> bool:
    """Whether the answer is the expected one; ``…`` stands for anything."""
    wanted = ".*".join(map(re.escape, expected.strip().split("…")))
    return re.fullmatch(wanted, answer.strip(), re.DOTALL) is not None
