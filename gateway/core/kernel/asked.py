"""What rules say of one request: the plain reading of the document, against which every loader can be compared.

A host is taken as named: an address belongs to networks that hold it, a name to itself alone. Loaders resolve names.
"""

import struct

from gateway.core.kernel.actions import MASK_OF
from gateway.core.kernel.hosts import known_host
from gateway.core.kernel.rules import ClassRules, KernelRules, NetworkRule


def class_of(rules: KernelRules, name: str) -> ClassRules | None:
    """The rules of the class; None denies everything."""
    return next((each for each in rules.classes if each.name == name), None)


def may_use(rules: ClassRules, action: str, path: bytes) -> bool:
    """Whether the class may do ``action`` (readFile, writeFile, execFile, loadLibrary) with the file at ``path``."""
    mask = MASK_OF[action]
    automaton = rules.files.automaton
    width = len(automaton.transitions) // 2 // automaton.states
    state = automaton.start
    for byte in path:
        (state,) = struct.unpack_from("<H", automaton.transitions, 2 * (state * width + automaton.classes[byte]))
    return automaton.accepts[state] & mask != 0 and not anchored(rules, mask, path)


def anchored(rules: ClassRules, mask: int, path: bytes) -> bool:
    """Whether an anchor forbids one of the actions of ``mask`` with the file, by its path alone."""
    for anchor in rules.files.anchors:
        itself = anchor.path.encode()
        below = path.startswith(itself.rstrip(b"/") + b"/") if anchor.prefix else path == itself
        if anchor.mask & mask and below:
            return True
    return False


def may_connect(rules: ClassRules, host: str, port: int, protocol: str) -> bool:
    """Whether the class may connect."""
    return _permitted(rules.network, host, port, protocol)


def may_bind(rules: ClassRules, host: str, port: int, protocol: str) -> bool:
    """Whether the class may listen."""
    return _permitted(rules.binds, host, port, protocol)


def _permitted(rules: tuple[NetworkRule, ...], host: str, port: int, protocol: str) -> bool:
    effects = {rule.effect for rule in rules if _applies(rule, host, port, protocol)}
    return effects == {"permit"}


def _applies(rule: NetworkRule, host: str, port: int, protocol: str) -> bool:
    if rule.port not in (None, port) or rule.protocol not in (None, protocol):
        return False
    if rule.host is None:
        return True
    wanted, found = known_host(rule.host), known_host(host)
    return wanted is not None and found is not None and wanted.holds(found)
