import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.members import AmbiguousMemberError, members

KNOWN = members("taskId", "name", "_meta")


def test_proto_names_become_json_names() -> None:
    assert KNOWN.camel({"task_id": 1, "name": 2, "other_thing": 3}) == {"taskId": 1, "name": 2, "other_thing": 3}


@pytest.mark.parametrize(
    "value", [{"task_id": 1, "taskId": 1}, {"taskid": 1}, {"TaskId": 1}, {"task__id": 1}, {"Name": 1}]
)
def test_a_second_spelling_is_refused(value: dict[str, int]) -> None:
    with pytest.raises(AmbiguousMemberError):
        KNOWN.camel(value)


@pytest.mark.parametrize(
    "name", ["Name", "NAME", "task_id", "meta", "_Meta", "na\u017fme".replace("\u017f", "_"), "tas\u212aId"]
)
def test_exact_names_only(name: str) -> None:
    with pytest.raises(AmbiguousMemberError):
        KNOWN.exact({name: 1})
    KNOWN.exact({"name": 1, "taskId": 2, "_meta": 3, "unrelated": 4})


@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["taskId", "task_id", "TASKID", "name", "Name"]), st.integers()
    )
)
def test_after_renaming_every_known_member_has_one_spelling(value: dict[str, int]) -> None:
    try:
        renamed = KNOWN.camel(value)
    except AmbiguousMemberError:
        return
    assert len(renamed) == len(value)
    KNOWN.exact(renamed)
