"""Small things at a host of the federation, of the standard library alone: is a gateway ready, who is reached, a file.

``python tests/federation/probe.py KIND JSON`` prints the answer; ``bundle`` prints ``ready`` and serves.
"""

import json
import socket
import ssl
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

SECONDS = 30.0


def ready(facts: dict[str, Any]) -> dict[str, Any]:
    """Wait until the gateway behind ``url`` is ready and has all trust bundles; its last word."""
    until, found = time.monotonic() + SECONDS, {}
    while (not found.get("ready") or "trust_bundles" in found["checks"]) and time.monotonic() < until:
        time.sleep(0.05)
        try:
            with urllib.request.urlopen(facts["url"], timeout=5) as reply:
                found = json.load(reply)
        except OSError:
            continue
    return found


def reach(facts: dict[str, Any]) -> list[str]:
    """Which of the addresses can be connected to."""
    reached = []
    for name, (host, port) in facts["addresses"].items():
        try:
            with socket.create_connection((host, port), timeout=0.5):
                reached.append(name)
        except OSError:
            continue
    return reached


def bundle(facts: dict[str, Any]) -> None:
    """The bundle endpoint of a company without a gateway: one document by https."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = Path(facts["document"]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer((facts["host"], facts["port"]), Endpoint)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(facts["certificate"], facts["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    print(json.dumps({"ready": ready, "reach": reach, "bundle": bundle}[sys.argv[1]](json.loads(sys.argv[2]))))
