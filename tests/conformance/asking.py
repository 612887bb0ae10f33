"""Tools, and one prompt, that ask their caller for something before they answer.

In sessions the server sends a request of its own and waits. In the stateless revision the answer is
``input_required``, and the caller calls again with what was asked for.
"""

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from tests.conformance.tasks import ASKED_FIRST

SIZES = {"enum": ["small", "medium", "large"]}
TITLED = [{"const": "low", "title": "Low priority"}, {"const": "high", "title": "High priority"}]
DEFAULTS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
ENUMS: dict[str, dict[str, Any]] = {
    "untitledSingle": {"type": "string", **SIZES},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {"type": "string", **SIZES, "enumNames": ["Small size", "Medium size", "Large size"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", **SIZES}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}
USER = {"username": {"type": "string"}, "email": {"type": "string"}}
MARK = "kept by the client"
"""What the request state of the tools below holds; the SDK seals it and opens only what it sealed."""
Asked = str | InputRequiredResult


def add_asking(server: MCPServer) -> None:
    """All of them."""
    _add_in_session(server)
    _add_basic(server)
    _add_stateful(server)
    _add_several(server)


def _add_in_session(server: MCPServer) -> None:
    @server.tool("test_sampling", description="Asks the client's model.")
    async def sampling(prompt: str, ctx: Context) -> str:
        answer = await ctx.session.create_message(
            [_said(prompt)], max_tokens=100, related_request_id=ctx.request_context.request_id
        )
        return f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else ''}"

    @server.tool("test_elicitation", description="Asks the client's user.")
    async def eliciting(message: str, ctx: Context) -> str:
        return await _elicited(ctx, message, USER)

    @server.tool("test_elicitation_sep1034_defaults", description="Asks with a default for each kind of field.")
    async def defaulting(ctx: Context) -> str:
        return await _elicited(ctx, "Please check", DEFAULTS)

    @server.tool("test_elicitation_sep1330_enums", description="Asks with each kind of choice.")
    async def choosing(ctx: Context) -> str:
        return await _elicited(ctx, "Please choose", ENUMS)


def _add_basic(server: MCPServer) -> None:
    @server.tool("test_input_required_result_elicitation", description="Asks for a name.")
    def eliciting(ctx: Context) -> Asked:
        name = _filled(ctx, "user_name")
        return f"Hello, {name['name']}!" if name else _required(user_name=_form("What is your name?", name="string"))

    @server.tool(ASKED_FIRST, description="Asks for a name, then becomes a task.")
    def tasked(ctx: Context) -> Asked:
        name = _filled(ctx, "user_name")
        return f"Hello, {name['name']}!" if name else _required(user_name=_form("What is your name?", name="string"))

    @server.tool("test_streaming_elicitation", description="Reports progress, then asks for a name.")
    async def streaming(ctx: Context) -> Asked:
        await ctx.report_progress(1, 2, "about to ask")
        name = _filled(ctx, "user_name")
        return f"Hello, {name['name']}!" if name else _required(user_name=_form("What is your name?", name="string"))

    @server.tool("test_input_required_result_sampling", description="Asks for a model's answer.")
    def sampling(ctx: Context) -> Asked:
        question = _sample("What is the capital of France?")
        return "the model answered" if _answered(ctx, "capital_question") else _required(capital_question=question)

    @server.tool("test_input_required_result_list_roots", description="Asks for the client's roots.")
    def rooted(ctx: Context) -> Asked:
        answer = (ctx.input_responses or {}).get("client_roots")
        return f"roots: {answer.model_dump_json()}" if answer else _required(client_roots=ListRootsRequest())

    @server.prompt("test_input_required_result_prompt", description="Asks for its context.")
    def prompting(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        given = _filled(ctx, "user_context")
        if given is None:
            return _required(user_context=_form("What context should the prompt use?", context="string"))
        return [UserMessage(f"Context: {given['context']}")]


def _add_stateful(server: MCPServer) -> None:
    for name in ("test_input_required_result_request_state", "test_input_required_result_tampered_state"):

        @server.tool(name, description="Asks, and knows its own state again.")
        def confirming(ctx: Context) -> Asked:
            if ctx.request_state == MARK and _filled(ctx, "confirm"):
                return "state-ok"
            return _required(MARK, confirm=_form("Please confirm", ok="boolean"))

    @server.tool("test_input_required_result_multi_round", description="Asks twice.")
    def twice(ctx: Context) -> Asked:
        first, second = _filled(ctx, "step1"), _filled(ctx, "step2")
        if second and ctx.request_state:
            return f"{ctx.request_state} likes {second['color']}"
        if first:
            question = _form("Step 2: What is your favorite color?", color="string")
            return _required(str(first["name"]), step2=question)
        return _required("begun", step1=_form("Step 1: What is your name?", name="string"))


def _add_several(server: MCPServer) -> None:
    @server.tool("test_input_required_result_multiple_inputs", description="Asks for three things at once.")
    def several(ctx: Context) -> Asked:
        asked: dict[str, InputRequest] = {
            "user_name": _form("What is your name?", name="string"),
            "greeting": _sample("Generate a greeting"),
            "client_roots": ListRootsRequest(),
        }
        return "all three came" if all(_answered(ctx, key) for key in asked) else _required(MARK, **asked)

    @server.tool("test_input_required_result_capabilities", description="Asks only what the client can do.")
    def capable(ctx: Context) -> Asked:
        declared = ctx.client_capabilities
        asked: dict[str, InputRequest] = {}
        if declared is not None and declared.sampling is not None:
            asked["greeting"] = _sample("Generate a greeting")
        if declared is not None and declared.elicitation is not None:
            asked["user_name"] = _form("What is your name?", name="string")
        return "nothing to ask" if all(_answered(ctx, key) for key in asked) else _required(**asked)


async def _elicited(ctx: Context, message: str, properties: dict[str, dict[str, Any]]) -> str:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_context.request_id)
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


def _required(state: str | None = None, /, **asked: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=asked, request_state=state)


def _form(message: str, **fields: str) -> ElicitRequest:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(fields)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(text: str) -> CreateMessageRequest:
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[_said(text)], max_tokens=100))


def _said(text: str) -> SamplingMessage:
    return SamplingMessage(role="user", content=TextContent(type="text", text=text))


def _answered(ctx: Context, key: str) -> bool:
    return key in (ctx.input_responses or {})


def _filled(ctx: Context, key: str) -> dict[str, Any] | None:
    answer = (ctx.input_responses or {}).get(key)
    return dict(answer.content or {}) if isinstance(answer, ElicitResult) and answer.action == "accept" else None
