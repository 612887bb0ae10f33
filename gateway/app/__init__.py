"""The composition root: the only place that wires which part fulfils which port."""

from gateway.app.listeners import Ports
from gateway.app.parts import PartError, check, prepare
from gateway.app.serve import Control, serve

__all__ = ["Control", "PartError", "Ports", "check", "prepare", "serve"]
