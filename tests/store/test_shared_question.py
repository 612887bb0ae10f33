"""Of many that ask at once one does; a failure is everybody's; who leaves takes nobody's answer along."""

import asyncio

from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store.shared_question import SharedQuestion


class Database:
    """Answers with how often it was asked, once it is let go."""

    def __init__(self) -> None:
        self.asked, self.failing, self.go = 0, False, asyncio.Event()

    async def ask(self) -> int:
        self.asked += 1
        await self.go.wait()
        if self.failing:
            raise StoreError(Reason.STORE_UNAVAILABLE, "gone")
        return self.asked


def let_go_once_all_wait(database: Database) -> None:
    """Behind what is scheduled now."""
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, database.go.set)


async def test_one_asks_for_all() -> None:
    database = Database()
    question = SharedQuestion(database.ask)
    let_go_once_all_wait(database)
    assert await asyncio.gather(*(question.answer() for _ in range(40))) == [1] * 40
    assert await question.answer() == 2, "who comes later asks anew"


async def test_all_are_told_of_a_failure_and_the_next_asks_again() -> None:
    database = Database()
    database.failing = True
    question = SharedQuestion(database.ask)
    let_go_once_all_wait(database)
    told = await asyncio.gather(*(question.answer() for _ in range(40)), return_exceptions=True)
    assert [type(each) for each in told] == [StoreError] * 40
    assert database.asked == 1
    database.failing = False
    assert await question.answer() == 2


async def test_who_asked_and_left_is_no_answer() -> None:
    database = Database()
    question = SharedQuestion(database.ask)
    async with asyncio.TaskGroup() as tasks:
        first, second = (tasks.create_task(question.answer()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        database.go.set()
    assert first.cancelled()
    assert second.result() == 2
