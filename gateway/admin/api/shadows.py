"""``/api/v1/shadow-agents``: processes in agents' cgroups that nobody registered, as each node's loader said last.

Read only: whether they are quarantined is each loader's own setting.
"""

from gateway.admin.api.kernel import COLLECTION
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.admin.kernel import ShadowStanding
from gateway.core.administration import Question

PATH = "/api/v1/shadow-agents"


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _get(office: Office, asked: Asked) -> Told:
    return Told(office.kernel.shadows())


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="Processes in agents' cgroups that nobody registered, of all nodes.",
        question=_may_view, handle=_get, answer=ShadowStanding,
    ),
)  # fmt: skip
