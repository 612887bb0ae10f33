"""One gateway a file, for attacks that are bytes on the wire."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.attacks.front import Front, front
from tests.company import Company


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="front")
async def running_front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async with front(Company(tmp_path_factory.mktemp("company"))) as made:
        yield made
