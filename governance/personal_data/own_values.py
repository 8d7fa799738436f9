"""What this program writes itself and is nobody's: ids, digests, times, sealed values. Blanked before anything is sought.

A digit run inside a UUID is no phone number. What is blanked must look like nothing else: an IBAN is upper case and
digits, so base64 needs all three kinds of character; a bank card has no letters, so a digest needs both.
"""

import re
from typing import Final

_OWN: Final = re.compile(
    r"""
    (?<![\w@])(?:
      [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}      # UUID
    | \d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?   # RFC 3339, and as Python prints it
    | \d{8}T\d{6}(?:\.\d{1,9})?Z?                                        # ISO 8601 basic, in file names
    | (?:sha(?:256|384|512)[:-])?(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{16})
    | \w*microcredits["']?\s*[:=]\s*-?\d+                                # money
    | (?:req|msg|chatcmpl|resp|evt|run|call|toolu|gen|cus|pi|ch|in|price|file|batch|thread|asst|key)[_-][A-Za-z0-9]{12,64}
    )(?![\w@])
    | (?<![\w@+/.-])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*\d)
      (?![A-Z][a-z]+[-_])[A-Za-z0-9+/_-]{24,}={0,2}(?![\w@.=-])                       # base64 and base64url
    """,
    re.VERBOSE,
)
BLANK: Final = "\x00"


def blanked(text: str) -> str:
    """The text, as long as before, with `BLANK` where our own values stood."""
    return _OWN.sub(lambda found: BLANK * len(found[0]), text)
