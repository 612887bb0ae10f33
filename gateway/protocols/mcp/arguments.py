"""The arguments of a call, put in the place of those that it came with. Doesn't decide which."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.core.model import Call


def with_arguments(call: Call, arguments: Mapping[str, Any]) -> Call:
    """The ``tools/call`` with other arguments, in what is decided and in what is sent alike."""
    params = {**call.message["params"], "arguments": arguments}
    return structs.replace(call, arguments=arguments, message={**call.message, "params": params})
