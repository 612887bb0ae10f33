"""What the suite starts as the client under test: it hands the scenario to the test that waits at a port, and waits.

Starting Python with the gateway and the SDK once a scenario would take longer than all of the scenarios.
"""

import json
import os
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as test:
    told = {
        name: os.environ.get(f"MCP_CONFORMANCE_{name}", "{}") for name in ("SCENARIO", "PROTOCOL_VERSION", "CONTEXT")
    }
    test.sendall(json.dumps({**told, "URL": sys.argv[2]}).encode() + b"\n")
    sys.exit(test.makefile().read())
