"""Two bundles are compared policy by policy, by ``@id``."""

from gateway.core.policy.changes import changes

ONE = '@id("{}") permit (principal is Agent, action == Action::"invokeTool", resource is Tool) when {{ {} }};'


def test_added_removed_changed_and_moved(kit, firm):
    one = kit.loaded(kit.files(*(ONE.format(name, "context.reentry") for name in "abcd")), firm)
    texts = [ONE.format(name, "context.reentry") for name in "bde"]
    texts[1] = ONE.format("d", "!context.reentry")
    moved = kit.files(ONE.format("c", "context.reentry"), path="baseline/c.cedar")
    other = kit.loaded([*kit.files("\n\n" + texts[0], *texts[1:]), *moved], firm)
    found = changes(one.policies, other.policies)
    assert [(each.id, each.kind) for each in found] == [
        ("a", "removed"), ("c", "changed"), ("d", "changed"), ("e", "added")
    ]  # fmt: skip
    assert changes(one.policies, one.policies) == ()
