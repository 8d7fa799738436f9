"""A value that conforms to a JSON schema (OpenAI's and Anthropic's spelling, and Google's upper-case types)."""

from collections.abc import Mapping

_DEPTH_MAX = 16


def example(schema: Mapping[str, object], text: str) -> object:
    """The simplest conforming value; free texts are `text`, so that what was sent travels back."""
    return _value(schema, schema, text, 0)


def _value(schema: object, root: Mapping[str, object], text: str, depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        return text
    if isinstance(schema.get("$ref"), str):
        return _value(_pointed(root, str(schema["$ref"])), root, text, depth + 1)
    if "const" in schema:
        return schema["const"]
    enum = schema.get("enum")
    if isinstance(enum, list) and enum:
        return enum[0]
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        if isinstance(options, list) and options:
            return _value(options[0], root, text, depth + 1)
    return _typed(schema, root, text, depth)


def _typed(schema: Mapping[str, object], root: Mapping[str, object], text: str, depth: int) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    kind = str(kind).lower() if kind is not None else ("object" if "properties" in schema else "string")
    if kind == "object":
        fields = schema.get("properties")
        if not isinstance(fields, Mapping):
            return {}
        return {name: _value(one, root, text, depth + 1) for name, one in fields.items()}
    if kind == "array":
        least = schema.get("minItems")
        count = least if isinstance(least, int) and 0 <= least <= 100 else 1
        return [_value(schema.get("items", {}), root, text, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        least = schema.get("minimum", 1)
        return least if isinstance(least, int | float) else 1
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) and longest >= 0 else text


def _pointed(root: Mapping[str, object], pointer: str) -> object:
    """RFC 6901, within this schema."""
    at: object = root
    for part in pointer.removeprefix("#").strip("/").split("/"):
        if part and isinstance(at, Mapping):
            at = at.get(part.replace("~1", "/").replace("~0", "~"))
    return at
