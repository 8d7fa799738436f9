"""Secrets that open an account, ours or another's. The first characters that lists show of a key are none."""

import re
from collections.abc import Iterator
from typing import Final

from governance.personal_data.kinds import Span

_SECRET: Final = re.compile(
    r"""
    (?<![\w-])(?:
      sk-va-[0-9A-Za-z]{49}                                        # our API keys
    | sk-(?:proj-|ant-|or-v1-|svcacct-)?[A-Za-z0-9_-]{32,}          # OpenAI, Anthropic, OpenRouter, DeepSeek
    | AIza[0-9A-Za-z_-]{35}                                        # Google
    | (?:AKIA|ASIA)[0-9A-Z]{16}                                    # AWS
    | (?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,} | whsec_[0-9A-Za-z+/=]{24,}   # Stripe
    | gh[pousr]_[0-9A-Za-z]{36,} | xox[abprs]-[0-9A-Za-z-]{10,}     # GitHub, Slack
    | hv[sb]\.[0-9A-Za-z_-]{20,}                                   # Vault
    | AGE-SECRET-KEY-1[0-9A-Z]{58}
    | eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,} # JSON Web Token (RFC 7519)
    )(?![\w-])
    | -----BEGIN\ (?:[A-Z]+\ )?PRIVATE\ KEY-----
    | (?i:\bauthorization["']?\s*[:=]\s*["']?(?:bearer|basic)\s+)(?P<bearer>[0-9A-Za-z._~+/=-]{16,})
    | (?i:\b(?:password|passwd|pwd|secret|kennwort|passwort)["']?\s*[:=]\s*["']?)
      (?P<password>(?![0-9a-f]{8}-)(?=[^\s"',;\x00(){}]*\d)(?=[^\s"',;\x00(){}]*[^\W\d])[^\s"',;\x00(){}]{6,})
    """,
    re.VERBOSE,
)


def secrets(text: str) -> Iterator[Span]:
    for found in _SECRET.finditer(text):
        group = "bearer" if found["bearer"] else "password" if found["password"] else 0
        yield found.start(group), found.end(group), 1.0
