"""Signed bytes to a document that is right in every part, or a refusal that says where it is wrong.

Decides form only: ``node.accepting`` judges node and generation. Nothing of a refused document is used.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import rfc8785
from msgspec import Struct

from hopgate_bpf.rules.automaton import automaton_fault
from hopgate_bpf.rules.destinations import destinations
from hopgate_bpf.rules.document import MAX_BYTES, MAX_PATH, ClassRules, KernelRules, NetworkRule
from hopgate_bpf.rules.hosts import is_name, network_of
from hopgate_bpf.rules.refusal import Reason, RefusedError

MAX_DETAIL = 500
_LIMIT = re.compile(r"Expected .* (of length )?(<=?) ")


class Fault(Struct, frozen=True):
    """What is wrong, and where in the document."""

    path: str
    text: str
    reason: Reason = Reason.DOCUMENT_MALFORMED


def read_document(payload: bytes) -> KernelRules:
    """The document whose RFC 8785 bytes ``payload`` is.

    Raises:
        RefusedError: DOCUMENT_MALFORMED or DOCUMENT_LIMIT, with a JSON path.
    """
    if len(payload) > MAX_BYTES:
        raise RefusedError(Reason.DOCUMENT_LIMIT, f"the document is larger than {MAX_BYTES} bytes", "$")
    try:
        rules = msgspec.json.decode(payload, type=KernelRules)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message, _, place = str(error)[-MAX_DETAIL:].partition(" - at ")
        reason = Reason.DOCUMENT_LIMIT if _LIMIT.match(message) else Reason.DOCUMENT_MALFORMED
        raise RefusedError(reason, message, place.strip("`") or "$") from None
    for fault in _faults(rules):
        raise RefusedError(fault.reason, fault.text[:MAX_DETAIL], fault.path)
    if _canonical(rules) != payload:
        raise RefusedError(
            Reason.DOCUMENT_MALFORMED,
            "it is not written as RFC 8785 says: a second member of a name, space, order",
            "$",
        )
    return rules


def _canonical(rules: KernelRules) -> bytes:
    try:
        return rfc8785.dumps(msgspec.to_builtins(rules))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise RefusedError(Reason.DOCUMENT_MALFORMED, str(error)[:MAX_DETAIL], "$") from None


def _faults(rules: KernelRules) -> Iterator[Fault]:
    for index, (before, after) in enumerate(pairwise(each.name for each in rules.classes)):
        if before >= after:
            yield Fault(f"$.classes[{index + 1}].name", "classes are not sorted by name, or one is there twice")
    for index, each in enumerate(rules.classes):
        yield from _class_faults(each, f"$.classes[{index}]")


def _class_faults(rules: ClassRules, path: str) -> Iterator[Fault]:
    fault = automaton_fault(rules.files.automaton)
    if fault is not None:
        yield Fault(f"{path}.files.automaton{fault.path}", fault.text)
    known = len(rules.policies)
    for index, anchor in enumerate(rules.files.anchors):
        here = f"{path}.files.anchors[{index}]"
        if "\0" in anchor.path:
            yield Fault(f"{here}.path", "the path holds a NUL")
        elif len(anchor.path.encode("utf-8", "surrogatepass")) > MAX_PATH:
            yield Fault(f"{here}.path", f"the path is longer than {MAX_PATH} bytes", Reason.DOCUMENT_LIMIT)
        if anchor.policy >= known:
            yield Fault(f"{here}.policy", f"there is no such policy: the class has {known}")
    for table, listed in (("network", rules.network), ("binds", rules.binds)):
        for index, rule in enumerate(listed):
            yield from _rule_faults(rule, f"{path}.{table}[{index}]", known)
        # Names add addresses later; what is written out must fit whatever they turn out to be.
        for narrowed in destinations([rule for rule in listed if not rule.inexact], {}).narrowed:
            yield Fault(f"{path}.{table}", narrowed, Reason.DOCUMENT_LIMIT)


def _rule_faults(rule: NetworkRule, path: str, known: int) -> Iterator[Fault]:
    if rule.policy >= known:
        yield Fault(f"{path}.policy", f"there is no such policy: the class has {known}")
    if rule.host is None:
        if rule.inexact:
            yield Fault(f"{path}.inexact", "any host is no name to look up")
    elif rule.inexact and not is_name(rule.host):
        yield Fault(f"{path}.host", "an inexact host is a name in lower case")
    elif not rule.inexact and network_of(rule.host) is None:
        yield Fault(f"{path}.host", "it is neither an address nor a CIDR without bits beyond its prefix")
