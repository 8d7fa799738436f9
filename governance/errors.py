"""Typed errors. Inside they are types; protocol shapes exist only at the edge (router/errors.py).

ValueAPIError
├── ConfigurationError          a setting, file or environment that contradicts itself: start-up stops
│   └── DeclarationError        a column without a complete, known declaration
├── VaultError                  nothing partial is ever returned
│   ├── UseRefused              the column doesn't declare this use, or the subject's key may no longer serve it
│   ├── KeyUnavailable          unknown, destroyed or unreadable key
│   │   └── KeyGone             destroyed or never made: its values are noise for ever
│   │       └── PeriodOver      the retention period that the value belongs to has ended
│   ├── ChannelDown             a change of keys may not have reached every process: announce it again
│   └── SealBroken              ciphertext, commitment or associated data don't agree
├── NotFound
├── Conflict                    same key with different input, or a state that forbids the step
└── Rejected                    bad data from outside; the text is ours and safe to show
"""


class ValueAPIError(Exception):
    """Base of every error raised on purpose. Its text is written by us: never a body, a secret or personal data."""


class ConfigurationError(ValueAPIError):
    """Start-up stops with this sentence, which names the setting."""


class DeclarationError(ConfigurationError):
    """A column's declaration is missing, incomplete or unknown to the taxonomy."""


class VaultError(ValueAPIError):
    """A sealed value could not be sealed or opened."""


class UseRefused(VaultError):
    """Art. 5(1)(b): the value may not be opened for this purpose."""


class KeyUnavailable(VaultError):
    """The key is unknown, destroyed or can't be unwrapped with the key-encryption key at hand."""


class KeyGone(KeyUnavailable):
    """The key was destroyed or never made: whatever was sealed under it is noise, and no retry will help."""


class PeriodOver(KeyGone):
    """Art. 5(1)(e): the value's period is over before it could be sealed; it must not be kept."""


class ChannelDown(VaultError):
    """A change of keys could not be announced to every process that caches them. Announce it again."""


class SealBroken(VaultError):
    """The envelope was altered, moved to another row, column or subject, or sealed under another key."""


class Withheld(VaultError):
    """The guard over bodies in flight holds back a value that a row can't be without: who a person is has no stand-in."""


class NotFound(ValueAPIError):
    """No such thing for this caller."""


class Conflict(ValueAPIError):
    """The step contradicts what is recorded already."""


class Rejected(ValueAPIError):
    """Input from outside that can't be used. `field` names what to mend, never its value."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
