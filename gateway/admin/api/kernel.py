"""``/api/v1/kernel``: which node enforces which rules, how that differs from what it should, and what isn't compiled.

Read only: loaders are configuration, rules come of the policies.
"""

from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.kernel import KernelStanding
from gateway.core.administration import Question

PATH = "/api/v1/kernel"
COLLECTION = "kernel"


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _get(office: Office, asked: Asked) -> Told:
    return Told(office.kernel.standing())


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="Which node's kernel enforces which rules, and what differs.",
        question=_may_view, handle=_get, answer=KernelStanding,
    ),
)  # fmt: skip
