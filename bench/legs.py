"""The proxies that are compared. Each does mutual TLS on both sides, with the same certificates."""

import importlib.metadata
import os
import platform
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.identities import Identities
from bench.processes import LegError, free_port

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  upstream answering {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 100000000;
    keepalive_time 1h;
  }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024;
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    ssl_certificate {own.certificate};
    ssl_certificate_key {own.key};
    ssl_client_certificate {own.bundle};
    ssl_verify_client on;
    keepalive_requests 100000000;
    keepalive_time 1h;
    location / {{
      proxy_pass https://answering/mcp;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_certificate {own.certificate};
      proxy_ssl_certificate_key {own.key};
      proxy_ssl_trusted_certificate {own.bundle};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Leg:
    """One proxy, ready to be started, and how it is asked."""

    name: str
    version: str
    command: tuple[str | Path, ...]
    port: int
    path: str = "/mcp"
    token: str | None = None
    """Bearer token of its requests."""


def nginx(work: Path, identities: Identities, upstream: int) -> Leg:
    """The limit: Debian's nginx as a plain reverse proxy."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise LegError("nginx is missing; type: sudo apt install nginx")
    port = free_port()
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    file = work / "nginx.conf"
    file.write_text(NGINX.format(user=user, work=work, port=port, upstream=upstream, own=identities.proxy))
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    command = (program, "-p", work, "-e", "stderr", "-c", file)
    return Leg("nginx", said.strip().rpartition("/")[2], command, port)


def aiohttp(work: Path, identities: Identities, upstream: int) -> Leg:
    """What most Python gateways begin with: aiohttp on both sides, nothing authorized."""
    port, own = free_port(), identities.proxy
    command = (
        *(sys.executable, "-m", "bench.aiohttp_proxy", str(port), str(upstream)),
        *(own.certificate, own.key, own.bundle),
    )
    version = f"{importlib.metadata.version('aiohttp')}, Python {platform.python_version()}"
    return Leg("aiohttp", version, command, port)
