"""The composition root: the only place that wires which part fulfils which port."""

from gateway.app.listeners import Ports
from gateway.app.parts import PartError, check, prepare
from gateway.app.serve import serve

__all__ = ["PartError", "Ports", "check", "prepare", "serve"]
