"""The resources of the admin API, one file each, and the table of all of them."""

from gateway.admin.api import approvals, decisions, kernel, letters, limits, policies, publishing, revocations, shadows
from gateway.admin.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *revocations.ENDPOINTS,
    *decisions.ENDPOINTS,
    *approvals.ENDPOINTS,
    *letters.ENDPOINTS,
    *limits.ENDPOINTS,
    *kernel.ENDPOINTS,
    *shadows.ENDPOINTS,
    *policies.ENDPOINTS,
    *publishing.ENDPOINTS,
)
