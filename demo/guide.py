"""Where to look and what to try while the demo is up: printed text, and ready-made files in the work directory."""

import shlex
import sys
from string import Template

from demo.company import GUEST
from demo.evidence import hopgate
from demo.site import REPOSITORY, SOURCES, Site


def write_clients(site: Site) -> None:
    """Write ``client.py``, ``curl.sh`` and ``env.sh``, with this run's URL and files, into the work directory."""
    values = {
        "data_url": site.data_url,
        "public_url": site.public_url,
        "health_url": site.health_url,
        "config": site.config,
        "root": site.root,
        "hopgate": " ".join(map(shlex.quote, hopgate())),
        "issuer_url": site.issuer_url,
        "issuer_key": site.issuer_key,
        "trust_bundle": site.trust_bundle,
        "certificate": site.certificate(GUEST),
        "key": site.key(GUEST),
        "repository": REPOSITORY,
        "python": sys.executable,
    }
    for name in ("client.py", "curl.sh", "env.sh"):
        template = Template((SOURCES / "config" / f"{name}.txt").read_text(encoding="utf-8"))
        (site.root / name).write_text(template.substitute(values), encoding="utf-8")


def where_to_look(site: Site, txn: str) -> str:
    """What a person can do now."""
    python, command = shlex.quote(sys.executable), " ".join(map(shlex.quote, hopgate()))
    config, root = f"--config {site.config}", site.root
    resource = f"{site.data_url}/mcp/ledger"
    mint = f"{python} -m demo.issuer token --url {site.issuer_url} --key {site.issuer_key} --resource {resource}"
    return f"""\
look
  configuration  {site.config}
  policies       {root / "policies"}
  logs           {site.logs}
  metrics        {site.health_url}/metrics
  one chain      {command} audit show {txn} {config}
  refusals       {command} audit query --verdict deny {config}
  tour           . {root / "env.sh"}, then docs/REFUSALS.md

point your own MCP client at the gateway
  url            {resource}
  certificate    {site.certificate(GUEST)}
  key            {site.key(GUEST)}
  CA             {site.trust_bundle}
  user token     {mint}
  with curl      sh {root / "curl.sh"}
  with python    {mint} | {python} {root / "client.py"}
"""
