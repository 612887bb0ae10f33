"""``python -m tests.differential.fuzz [SECONDS] [CORPUS]``: the property of ``test_forwarded`` guided by coverage.

Needs PyPI ``atheris``, which is no dependency of the project. Ends with the first text that breaks the property,
written to a file by libFuzzer.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway.protocols", "json"]):
    from tests.differential.readers import Node
    from tests.differential.test_forwarded import one_meaning_or_refused
    from tests.peers.parts import locate


def main() -> None:
    """Fuzz until the time is up."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    corpus = Path(sys.argv[2] if len(sys.argv) > 2 else ".fuzz-corpus")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate((b'{"a":[1,1.5e3,"\\u00e9",null,true]}', b'["\\ud83d\\ude00",-0.0]', b'{"":{}}')):
        (corpus / f"seed-{number}").write_bytes(seed)
    program = locate("node")
    node = None if program is None else Node(program)
    options = [f"-max_total_time={seconds}", "-max_len=512", "-timeout=5", "-rss_limit_mb=1024", str(corpus)]
    atheris.Setup([sys.argv[0], *options], lambda text: one_meaning_or_refused(text, node))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
