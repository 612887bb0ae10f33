"""A bounded memory gives back exactly what was put, forgets the oldest first, and never grows past its bound."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.recent import Recent


def test_the_oldest_makes_room_and_a_known_key_needs_none() -> None:
    memory = Recent[str, int](2)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.put("a", 3)
    assert (memory.get("a"), memory.get("b")) == (3, 2)
    memory.put("c", 4)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (None, 2, 4)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers())), st.integers(1, 5))
def test_what_is_remembered_is_the_last_value_of_its_key(puts: list[tuple[int, int]], most: int) -> None:
    memory, truth = Recent[int, int](most), dict[int, int]()
    for key, value in puts:
        memory.put(key, value)
        truth[key] = value
        assert memory.get(key) == value
    kept = {key: found for key in truth if (found := memory.get(key)) is not None}
    assert len(kept) == min(len(truth), most)
    assert kept.items() <= truth.items()
