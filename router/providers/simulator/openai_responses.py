"""OpenAI's Responses API, plain and streaming (platform.openai.com/docs/api-reference/responses-streaming)."""

from collections.abc import Mapping

from router.providers.simulator.brain import CREATED, Answer, Call, Prompt, Tokens, Tool, answer
from router.providers.simulator.faults import Fault
from router.providers.simulator.openai import error
from router.providers.simulator.reading import Refused, joined, mapping, mappings, number, referenced, text, words
from router.providers.simulator.reply import Reply, Shapes, dumps, events, plain


def _event(name: str, sequence: int, content: Mapping[str, object]) -> bytes:
    body = {"type": name, **content, "sequence_number": sequence}
    return f"event: {name}\n".encode() + b"data: " + dumps(body) + b"\n\n"


def _error_event(message: str) -> bytes:
    return _event("error", 99, {"code": "server_error", "message": message, "param": None})


SHAPES = Shapes(error, _error_event, terminators=1)


def prompt(body: Mapping[str, object]) -> Prompt:
    """A request whose `input` is a text or a list of items. Raises Refused."""
    given = body.get("input")
    if given is None:
        raise Refused(400, "Missing required parameter: 'input'.")
    turns = [{"role": "user", "content": given}] if isinstance(given, str) else mappings(given)
    users = [item for item in turns if item.get("role") == "user"]
    system = [text(body.get("instructions"))]
    system += [words(item.get("content")) for item in turns if item.get("role") in ("system", "developer")]
    last = users[-1] if users else None
    others = [item for item in turns if item.get("role") not in ("system", "developer") and item is not last]
    form = mapping(mapping(body.get("text") or {}, "text").get("format") or {}, "text.format")
    choice = body.get("tool_choice")
    modes = {"required": "*", "none": "-"}
    forced = text(choice.get("name")) if isinstance(choice, Mapping) else modes.get(text(choice))
    return Prompt(
        last_user=words(last.get("content")) if last else "",
        system=joined(system),
        other_text=joined(words(item.get("content")) + text(item.get("output")) for item in others),
        images=sum(part.get("type") == "input_image" for item in turns for part in mappings(item.get("content"))),
        referenced=referenced(turns),
        turns=len(turns),
        tools=tuple(
            Tool(text(tool.get("name")), mapping(tool.get("parameters") or {}, "parameters"))
            for tool in mappings(body.get("tools"))
            if tool.get("type") == "function"
        ),
        forced=forced,
        after_tool_result=bool(turns) and turns[-1].get("type") == "function_call_output",
        json_wanted=form.get("type") == "json_object",
        json_schema=mapping(form.get("schema"), "text.format.schema") if form.get("type") == "json_schema" else None,
        max_tokens=number(body.get("max_output_tokens")),
    )


def responses(body: Mapping[str, object], model: str, fault: Fault | None, huge: int) -> tuple[Reply, str]:
    """POST /v1/responses: the reply, and the text to echo in a fault."""
    asked = prompt(body)
    given = answer(asked, usage_fault=fault.kind if fault else None, huge_chars=huge)
    if body.get("stream") is True:
        return events(_events(body, model, given)), asked.last_user
    return plain(_response(body, model, given, done=True)), asked.last_user


def _response(body: Mapping[str, object], model: str, given: Answer, *, done: bool) -> dict[str, object]:
    cut = given.finish == "length"
    made: dict[str, object] = {
        "id": "resp_sim",
        "object": "response",
        "created_at": CREATED,
        "status": ("incomplete" if cut else "completed") if done else "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut and done else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": model,
        "output": _output(given) if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": body.get("safety_identifier"),
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": body.get("user"),
        "metadata": {},
    }
    if done and given.tokens is not None:
        made["usage"] = _usage(given.tokens)
    elif done:
        del made["usage"]
    return made


def _usage(tokens: Tokens) -> dict[str, object]:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.total,
    }


def _message(content: list[object], status: str) -> dict[str, object]:
    return {"id": "msg_sim", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(words: str) -> dict[str, object]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _call(call: Call, arguments: str, status: str) -> dict[str, object]:
    return {
        "id": f"fc_{call.id}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{call.id}",
        "name": call.name,
        "arguments": arguments,
    }


def _output(given: Answer) -> list[object]:
    if given.calls:
        return [_call(call, call.arguments, "completed") for call in given.calls]
    return [_message([_part(given.text)], "incomplete" if given.finish == "length" else "completed")]


def _events(body: Mapping[str, object], model: str, given: Answer) -> list[bytes]:
    out: list[bytes] = []

    def send(name: str, content: Mapping[str, object]) -> None:
        out.append(_event(f"response.{name}", len(out), content))

    begun = _response(body, model, given, done=False)
    send("created", {"response": begun})
    send("in_progress", {"response": begun})
    if given.calls:
        for at, call in enumerate(given.calls):
            send("output_item.added", {"output_index": at, "item": _call(call, "", "in_progress")})
            place = {"item_id": f"fc_{call.id}", "output_index": at}
            for start in range(0, len(call.arguments), 12):
                send("function_call_arguments.delta", {**place, "delta": call.arguments[start : start + 12]})
            whole = {**place, "name": call.name, "arguments": call.arguments}
            send("function_call_arguments.done", whole)
            send("output_item.done", {"output_index": at, "item": _call(call, call.arguments, "completed")})
    else:
        place = {"item_id": "msg_sim", "output_index": 0, "content_index": 0}
        send("output_item.added", {"output_index": 0, "item": _message([], "in_progress")})
        send("content_part.added", {**place, "part": _part("")})
        for piece in given.pieces:
            send("output_text.delta", {**place, "delta": piece, "logprobs": []})
        send("output_text.done", {**place, "text": given.text, "logprobs": []})
        send("content_part.done", {**place, "part": _part(given.text)})
        send("output_item.done", {"output_index": 0, "item": _output(given)[0]})
    ended = "incomplete" if given.finish == "length" else "completed"
    send(ended, {"response": _response(body, model, given, done=True)})
    return out
