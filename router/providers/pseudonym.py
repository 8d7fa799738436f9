"""The identifier that an upstream sees in place of an account: keyed, and different for each provider.

Two providers that compare notes can't link an account, and without our key nobody can test a guessed account id.
"""

import hashlib
import hmac

_DOMAIN = b"valueapi upstream user v1\x00"


def upstream_user(key: bytes, provider: str, account_id: bytes) -> str:
    """`va-` and 32 lower-case hex characters: HMAC-SHA256 (RFC 2104) over domain, provider and account, cut to 128 bit.

    `key` has at least 16 bytes (ValueError else). OpenAI's `user` and `safety_identifier`, Anthropic's
    `metadata.user_id` and OpenRouter's `user` all take 35 characters.
    """
    if len(key) < 16:
        raise ValueError("the pseudonym key needs at least 16 bytes")
    name = provider.encode()
    # The length in front keeps (provider, account) pairs from running into one another.
    message = _DOMAIN + len(name).to_bytes(2, "big") + name + account_id
    return "va-" + hmac.new(key, message, hashlib.sha256).hexdigest()[:32]
