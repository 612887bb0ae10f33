"""The resources of the admin API, one file each, and the table of all of them."""

from gateway.admin.api import (
    approvals,
    decisions,
    kernel,
    limits,
    policies,
    publishing,
    revocations,
    shadows,
    webhook_letters,
)
from gateway.admin.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *revocations.ENDPOINTS,
    *decisions.ENDPOINTS,
    *approvals.ENDPOINTS,
    *webhook_letters.ENDPOINTS,
    *limits.ENDPOINTS,
    *kernel.ENDPOINTS,
    *shadows.ENDPOINTS,
    *policies.ENDPOINTS,
    *publishing.ENDPOINTS,
)
