"""A providers.yaml for tests: every dialect of the simulator, with models for its fault modes."""

from pathlib import Path

import yaml

KEY_ENV = "TEST_UPSTREAM_KEY"
KEY = "upstream-key-of-the-operator"
ENDPOINTS = {
    "openai": ["chat", "completions", "responses"],
    "anthropic": ["messages", "count_tokens"],
    "google": ["generate", "stream_generate", "google_count_tokens"],
}
UPSTREAM = {"openai": "sim-gpt", "anthropic": "sim-claude", "google": "sim-gemini"}
PRICE = {"input": 1_000_000, "cached_input": 100_000, "output": 4_000_000}


def fault(dialect: str, name: str) -> str:
    """The public id of a model with a fault."""
    return f"{dialect}/{name.replace('=', '-').replace(',', '-').replace('_', '-')}"


def write(path: Path, url: str, faults: tuple[str, ...] = (), *, second_url: str | None = None) -> Path:
    """`good` in each dialect, one model a fault, an embedding, and `fallback/FAULT`: a broken provider before a good one."""
    providers: dict[str, object] = {}
    models: list[dict[str, object]] = []
    host = (second_url or url).removeprefix("http://")
    for dialect in ENDPOINTS:
        providers[dialect] = {"dialect": dialect, "base_url": url, "key": {"env": KEY_ENV}}
    providers["careful"] = {
        "dialect": "openai",
        "base_url": second_url or url,
        "key": {"env": KEY_ENV},
        "data_policy": {
            "host": host, "credential": {"env": KEY_ENV}, "trains": False, "retention_days": 0, "zdr": True,
            "caches_prompts": False, "regions": ["eu"], "headquarters": "DE", "certifications": ["soc2"],
            "policy_url": "https://example.org/policy", "transfer_mechanism": "none needed", "checked": "2026-11-24",
        },
    }  # fmt: skip
    providers["hub"] = {**providers["careful"], "aggregator": True, "slugs": {"openai": ["azure", "openai-upstream"]}}  # type: ignore[dict-item]
    limited = {"dialect": "openai", "base_url": url, "key": {"env": KEY_ENV}, "output_limit": "max_tokens"}
    providers["limited"] = limited
    models.append(_model("limited/good", [("limited", "sim-gpt", ["chat"])]))
    models.append(_model("hub/good", [("hub", "sim-gpt", ENDPOINTS["openai"])]))
    for dialect, endpoints in ENDPOINTS.items():
        for name in ("good", *faults):
            upstream = UPSTREAM[dialect] + ("" if name == "good" else f":fault={name}")
            models.append(_model(fault(dialect, name), [(dialect, upstream, endpoints)]))
    models.append(_model("openai/embedding", [("openai", "sim-embedding", ["embeddings"])]))
    for name in faults:
        bad = ("openai", f"sim-gpt:fault={name}", ENDPOINTS["openai"])
        models.append(_model(fault("fallback", name), [bad, ("careful", "sim-gpt", ENDPOINTS["openai"])]))
    models.append(_model("careful/good", [("openai", "sim-gpt", ["chat"]), ("careful", "sim-gpt", ["chat"])]))
    hub_last = [("openai", "sim-gpt:fault=500", ENDPOINTS["openai"]), ("hub", "sim-gpt", ENDPOINTS["openai"])]
    models.append(_model("fallback-hub/500", hub_last))
    for number in (1, 2, 3):
        providers[f"broken-{number}"] = {"dialect": "openai", "base_url": url, "key": {"env": KEY_ENV}}
    broken = [(f"broken-{number}", "sim-gpt:fault=500", ENDPOINTS["openai"]) for number in (1, 2, 3)]
    models.append(_model("many/good", [*broken, ("careful", "sim-gpt", ENDPOINTS["openai"])]))
    mixed = [("anthropic", "sim-claude", ENDPOINTS["anthropic"]), ("openai", "sim-gpt", ENDPOINTS["openai"])]
    models.append(_model("mixed/good", mixed))
    path.write_text(yaml.safe_dump({"providers": providers, "models": models}))
    return path


def _model(name: str, routes: list[tuple[str, str, list[str]]]) -> dict[str, object]:
    return {
        "id": name,
        "context_window": 100_000,
        "max_output_tokens": 4_096,
        "capabilities": ["text"],
        "providers": [
            {"provider": provider, "model": upstream, "endpoints": endpoints, "price": PRICE}
            for provider, upstream, endpoints in routes
        ],
    }
