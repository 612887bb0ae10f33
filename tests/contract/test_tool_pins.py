"""Contract of ``core.ports.ToolPins``: the first definition stays, another one waits until it is approved."""

import asyncio
from typing import Any

from gateway.core.pins import Definition, Pin

ONE, OTHER, THIRD = (Definition(f"sha256:{number}", b'{"n":%d}' % number) for number in (1, 2, 3))


async def test_the_first_definition_stays(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        assert await store.tool_pins.of("s") == {}
        await store.tool_pins.keep_first("s", "t", ONE)
        await store.tool_pins.keep_first("s", "t", OTHER)
        assert await store.tool_pins.of("s") == {"t": Pin(ONE, int(clock.now))}
        assert await store.tool_pins.of("other") == {}


async def test_one_of_many_first_definitions_wins(open_store: Any) -> None:
    async with open_store() as one, open_store() as two:
        definitions = [Definition(f"sha256:{number}", b"{}") for number in range(20)]
        stores = [one, two] * 10
        await asyncio.gather(*(s.tool_pins.keep_first("s", "t", d) for s, d in zip(stores, definitions, strict=True)))
        assert (await one.tool_pins.of("s"))["t"].approved == (await two.tool_pins.of("s"))["t"].approved


async def test_another_one_is_news_once(open_store: Any, clock: Any) -> None:
    async with open_store() as one, open_store() as two:
        await one.tool_pins.keep_first("s", "t", ONE)
        clock.now += 5
        assert await one.tool_pins.report("s", "t", OTHER)
        assert not await one.tool_pins.report("s", "t", OTHER)
        assert not await two.tool_pins.report("s", "t", OTHER)
        assert await two.tool_pins.of("s") == {"t": Pin(ONE, int(clock.now) - 5, OTHER, int(clock.now))}
        assert await two.tool_pins.report("s", "t", THIRD)


async def test_approval_ends_the_waiting(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        await store.tool_pins.report("s", "t", OTHER)
        assert await store.tool_pins.of("s") == {"t": Pin(None, 0, OTHER, int(clock.now))}
        await store.tool_pins.approve("s", "t", OTHER)
        assert await store.tool_pins.of("s") == {"t": Pin(OTHER, int(clock.now))}


async def test_another_processs_approval_shows_within_a_second(open_store: Any, clock: Any) -> None:
    async with open_store() as gateway, open_store() as command:
        await gateway.tool_pins.report("s", "t", OTHER)
        assert (await gateway.tool_pins.of("s"))["t"].approved is None
        await command.tool_pins.approve("s", "t", OTHER)
        clock.now += 1
        assert (await gateway.tool_pins.of("s"))["t"].approved == OTHER
