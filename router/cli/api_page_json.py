"""The JSON routes of `docs/api.md`: each one's fields and answers, out of the OpenAPI document that the service gives."""

from collections.abc import Iterator, Mapping
from typing import Any

from router.surface import Account, paths

Schema = Mapping[str, Any]


def lines(document: Schema) -> Iterator[str]:
    """Every route of the account API, then the objects that they share."""
    for path in paths(Account):
        for method, meaning in path.meaning.items():
            operation = document["paths"][path.template][method.lower()]
            yield from (f"### `{method} {path}`", "", meaning, "")
            yield from (f"- {line}" for line in (*_takes(operation, document), *_answers(operation, document)))
            yield ""
    yield from ("### Objects", "")
    for name, schema in document["components"]["schemas"].items():
        if name in _named(document):
            yield f"- **{name}**: {schema['description']}"
            yield from (f"  - {field}" for field in _fields(schema))
    yield ""


def _takes(operation: Schema, document: Schema) -> Iterator[str]:
    if "security" in operation:
        yield "needs a session"
    for parameter in operation.get("parameters", ()):
        yield f"in the {parameter['in']}: {_field(parameter['name'], parameter['schema'], parameter['required'])}"
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        yield f"takes {'; '.join(_fields(_resolved(body, document))) or _kind(body)}"


def _answers(operation: Schema, document: Schema) -> Iterator[str]:
    for status, answer in operation["responses"].items():
        if status == "default":
            continue
        body = answer.get("content", {}).get("application/json", {}).get("schema")
        shown = "nothing" if body is None else "; ".join(_fields(_resolved(body, document))) or _kind(body)
        yield f"answers {status}: {shown}"


def _fields(schema: Schema) -> list[str]:
    required = schema.get("required", ())
    # Answers carry every field; of a body, those that may be left out are marked.
    return [_field(name, field, name in required) for name, field in schema.get("properties", {}).items()]


def _field(name: str, schema: Schema, required: bool) -> str:
    notes = [_kind(schema)] if required else [_kind(schema), "optional"]
    if "default" in schema:
        notes.append(f"default {schema['default']}")
    return f"`{name}` ({', '.join(notes)})"


def _kind(schema: Schema) -> str:
    """A schema in words: its type and limits, or the name of a shared object."""
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    limits = {"maxLength": "of at most {} characters", "minimum": "from {}", "maximum": "to {}"}
    words = [schema.get("format", schema["type"])]
    words += [text.format(schema[limit]) for limit, text in limits.items() if limit in schema]
    return " ".join(words)


def _name(reference: Schema) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _resolved(schema: Schema, document: Schema) -> Schema:
    found: Schema = document["components"]["schemas"][_name(schema)] if "$ref" in schema else schema
    return found


def _named(document: Schema) -> set[str]:
    """Shared objects that a field's kind names, and what every error looks like."""
    found = {"Problem"}
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            for part in (field, field.get("items", {}), *field.get("anyOf", ())):
                if "$ref" in part:
                    found.add(_name(part))
    return found
