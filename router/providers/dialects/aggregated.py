"""What an aggregator may be sent: the fields and parts that were read for what they do with content, and no others.

An aggregator's own fields choose other models (`models`, `route`, `preset`), run plugins and tools of further parties, have
documents read elsewhere, or keep what was sent for its own pages (openrouter.ai/docs/api-reference/parameters, "Plugins",
"PDF inputs", "Broadcast"): no constraint that is sent on binds those. New ones come without notice, so the list says what
passes. A translated request is made by us and has none of them.
"""

import re
from typing import Final

from router.providers.dialects import base, openai
from router.providers.dialects.base import NotOffered
from router.providers.scan import Scan

FIELDS: Final = (
    *("model", "messages", "prompt", "input", "instructions", "suffix", "echo", "provider"),
    *("stream", "stream_options", "store", "metadata", "user", "safety_identifier", "service_tier"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "cache_control"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "stop"),
    *("temperature", "top_p", "top_k", "top_a", "min_p", "seed", "logit_bias", "logprobs", "top_logprobs"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty"),
    *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
    *("response_format", "structured_outputs", "text", "verbosity", "truncation"),
    *("reasoning", "reasoning_effort", "include_reasoning", "usage", "encoding_format", "dimensions"),
)
TYPES: Final = openai.TEXT_TYPES | {"image_url", "input_image"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_DOUBT: Final = base.doubt({"file", "video", "audio", "input_audio", "input_file", "input_video"}, TYPES)
_FILES: Final = frozenset({"file", "file_data", "file_url", "video_url", "audio", "input_audio"})
_WHY: Final = "an aggregator would serve this request, and which data policy covers that isn't known."


def refuse(scan: Scan) -> None:
    """Raises NotOffered for a top-level field, or a part or tool, that isn't listed; null asks for nothing."""
    for name, value in scan.fields():
        if name not in FIELDS and value != b"null":
            raise _refusal(name)
    if _DOUBT.search(scan.data) is None:
        return
    for node in base.objects(scan.tree(openai.NESTED | _FILES | {"output"}), openai.OPAQUE):
        kind = node.get("type")
        if isinstance(kind, str) and kind not in TYPES:
            raise _refusal(kind)
        for field in _FILES & node.keys():
            if node[field] is not None:
                raise NotOffered(field, _WHY)


def _refusal(name: str) -> NotOffered:
    """By its name where it has the look of one: anything else could be content."""
    return NotOffered(name if _NAME.fullmatch(name) else "field", _WHY)
