"""Runs the tests that lie beside policies, for a proposal and for ``hopgate policy test`` alike."""

from collections.abc import Iterator, Sequence

from cedarpy import Schema
from msgspec import Struct

from gateway.config.policy_tests import TestFile
from gateway.core.policy.argtypes import arguments_of, schema_with
from gateway.core.policy.expectations import Trees, check, trees_of
from gateway.core.policy.footprint import footprint
from gateway.core.policy.source import Problem
from gateway.core.registry import Registry
from gateway.publish import cedar_schema


class Result(Struct, frozen=True):
    """One test, and how it went."""

    file: str
    test: str
    ok: bool
    differences: tuple[str, ...] = ()


def results(files: Sequence[TestFile], registry: Registry | None) -> Iterator[Result]:
    """Every test of ``files``; with a registry, requests are checked against the types of its tools too.

    Raises:
        ValueError: policies that the tests are about can't be read; says where.
    """
    for file in files:
        trees = trees_about(file)
        schema = _schema(file, trees, registry)
        for number, each in enumerate(file.tests, 1):
            failure = check(each, file.entities_of(each), trees, schema)
            differences = () if failure is None else failure.differences
            yield Result(file.path, each.name or f"test {number}", failure is None, differences)


def trees_about(file: TestFile) -> Trees:
    """The policies that the tests are about.

    Raises:
        ValueError: they can't be read.
    """
    found = trees_of(file.about)
    if isinstance(found, Problem):
        raise ValueError(str(found))
    return found


def _schema(file: TestFile, trees: Trees, registry: Registry | None) -> Schema | None:
    """What requests are checked against; None where that takes types of arguments, and no registry tells them."""
    if all(source.path.startswith("admin/") for source in file.about):
        return Schema.from_str(cedar_schema("admin"))
    if registry is not None:
        return Schema.from_str(schema_with(cedar_schema(), arguments_of(registry)))
    if any(footprint(tree).arguments for tree in trees.values()):
        return None
    return Schema.from_str(cedar_schema())
