"""A bundle loads whole or not at all, and says file, line and next step of everything that keeps it from loading."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle

GOOD = '@id("good") permit (principal is Agent, action == Action::"invokeTool", resource is Tool);'


def problems(kit, sources, registry):
    found = compile_bundle(sources, kit.SCHEMA, registry)
    assert isinstance(found, tuple)
    return found


def test_missions_first_policy_loads_exactly_as_written(kit, firm):
    bundle = kit.loaded([PolicySource("teams/finance/read.cedar", kit.MISSION)], firm)
    (info,) = bundle.policies
    assert (info.id, info.tier, info.file, info.line) == (
        "teams/finance/read#0",
        "teams",
        "teams/finance/read.cedar",
        2,
    )
    (warning,) = bundle.warnings
    assert (warning.line, warning.severity) == (2, "warning")
    assert "@id" in warning.message


def test_the_published_example_loads_but_for_kernel_words_that_nobody_registered(kit, firm):
    text = """
@id("seed2")
permit (
  principal in AgentClass::"data-analyst", action in [Action::"readFile", Action::"writeFile"], resource is FilePath
)
when { resource.path like "/workspace/analyst-*" || resource.path == "/var/run/secrets/analyst-key" };
@id("net")
permit (principal in AgentClass::"data-analyst", action == Action::"connectNetwork", resource is NetworkDestination)
when { resource in DestinationSet::"approved-llm-endpoints" || resource.host == "gateway.internal" };
"""
    assert len(kit.loaded(kit.files(text), firm).policies) == 2


def test_policies_tell_their_annotations(kit, firm):
    text = '@id("a") @owner("corp|maria") @description("why") ' + GOOD.removeprefix('@id("good") ')
    (info,) = kit.loaded(kit.files(text), firm).policies
    assert (info.owner, info.description, info.approval, info.effect) == ("corp|maria", "why", None, "permit")
    assert info.text == text


def test_one_bad_policy_keeps_all_from_loading_and_all_problems_are_told(kit, firm):
    sources = [
        PolicySource("platform/good.cedar", GOOD),
        PolicySource("platform/a.cedar", '\n@id("a") permit (principal, action, resource) when { 1 };'),
        PolicySource("platform/b.cedar", "permit (principal"),
        PolicySource("nowhere/c.cedar", GOOD),
    ]
    found = problems(kit, sources, firm)
    assert [(p.path, p.line, p.policy) for p in found] == [
        ("nowhere/c.cedar", 0, None),
        ("platform/a.cedar", 2, "a"),
        ("platform/b.cedar", 1, None),
    ]


def test_kernel_and_admin_folders_are_other_bundles(kit, firm):
    bundle = kit.loaded([PolicySource("kernel/x.cedar", "nonsense"), *kit.files(GOOD)], firm)
    assert [policy.id for policy in bundle.policies] == ["good"]


def test_an_empty_bundle_loads(kit, firm):
    assert kit.loaded([], firm).policies == ()


def test_a_broken_schema_is_a_problem(kit, firm):
    (problem,) = compile_bundle([], "entity", firm)
    assert "schema" in problem.path


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(40)))
def test_the_order_of_files_changes_nothing(kit, firm, order):
    sources = kit.shipped()
    mixed = [sources[index % len(sources)] for index in order]
    assert {s.path for s in mixed} == {s.path for s in sources}
    one, two = kit.loaded(sources, firm), kit.loaded(mixed, firm)
    assert one.digest == two.digest
    assert one.policies == two.policies


def test_the_digest_covers_paths_texts_and_schema(kit, firm):
    digests = {
        kit.loaded(kit.files(GOOD), firm).digest,
        kit.loaded(kit.files(GOOD + "\n"), firm).digest,
        kit.loaded(kit.files(GOOD, path="platform/other.cedar"), firm).digest,
        compile_bundle(kit.files(GOOD), kit.SCHEMA + "\n", firm).digest,
    }
    assert len(digests) == 4
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_key_is_not_shown(kit, firm):
    bundle = kit.loaded(kit.files(GOOD), firm, b"very secret key")
    assert "very secret" not in repr(bundle)


TEXT = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                "permit",
                "forbid",
                "(",
                ")",
                "{",
                "}",
                "principal",
                "action",
                "resource",
                ",",
                ";",
                "when",
                "unless",
                "==",
                "in",
                "has",
                "is",
                '"',
                "@id",
                "context",
                ".",
                "args",
                "[",
                "]",
                "!",
                "&&",
                "1",
                "\n",
                "//",
                "Group::",
            ]
        ),
        max_size=40,
    ).map(" ".join),
    st.tuples(st.just(GOOD), st.integers(0, len(GOOD)), st.text(max_size=3)).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
    ),
)


@settings(deadline=None)
@given(TEXT)
def test_any_text_loads_or_is_refused_with_a_place(kit, firm, text):
    found = compile_bundle(kit.files(text), kit.SCHEMA, firm)
    if not isinstance(found, Bundle):
        assert found
        assert all(p.path == "platform/test.cedar" and p.message and p.severity == "error" for p in found)


@pytest.mark.parametrize("count", [1, 40])
def test_many_policies_keep_their_ids(kit, firm, count):
    texts = [GOOD.replace('"good"', f'"p{index}"') for index in range(count)]
    bundle = kit.loaded(kit.files(*texts), firm)
    assert {policy.id for policy in bundle.policies} == {f"p{index}" for index in range(count)}
    assert [policy.line for policy in sorted(bundle.policies, key=lambda p: p.line)] == list(range(1, count + 1))
