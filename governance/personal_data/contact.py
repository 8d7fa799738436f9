"""How somebody is reached, or where from: e-mail (the pattern; Presidio's check of its ending), phone, IP, URL with user."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

from governance.personal_data.kinds import Span

EMAIL_PATTERN: Final = (
    r"(?<![\w.!#$&'*+^`{|}~%-])\w[\w.!#$&'*+^`{|}~-]{0,63}(?:@|%40)"
    r"(?:\w(?:[\w-]{0,61}\w)?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w-]|\.\w)"
)
# RFC 2142 and what mailers use: an office, nobody's own address.
_OFFICES: Final = frozenset(
    (
        *("abuse", "billing", "contact", "donotreply", "git", "hello", "help", "hostmaster", "info", "mailer-daemon"),
        *("no-reply", "noreply", "postmaster", "privacy", "sales", "security", "support", "webmaster"),
    )
)
# RFC 2606, RFC 6762 and RFC 9476: no public suffix, but mail is sent there all the same.
PRIVATE_ENDINGS: Final = frozenset(("test", "example", "invalid", "local", "internal", "lan", "corp", "home", "alt"))


def is_office(address: str) -> bool:
    """Whether the address is an office's (support@, noreply@) by its first part."""
    return re.split("@|%40", address, maxsplit=1)[0].lower() in _OFFICES


# Where people write a number without its country, a word must announce it: digits alone are amounts and times.
_REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "SE", "BR", "IN", "JP", "KR", "CN", "RU")
_ANNOUNCED: Final = re.compile(
    r"(?:\b(?:(?:tele)?phone|phone_number|tel|mobile|cell(?: ?phone|(?= ?[:=]| is))|fax|whatsapp|sms"
    r"|(?:call|ring|text) (?:me|us) (?:at|on|under)"
    r"|reach (?:me|us) (?:at|on)|telefon(?:nummer)?|handy(?:nummer)?|rufnummer|mobil|t[eé]l[eé]phone|portable"
    r"|tel[eé]fono|m[oó]vil|celular|cellulare|telefoon|telefone|телефон|тел|моб)|電話(?:番号)?|携帯|电话|手机号?|전화|휴대폰|هاتف|फ़?ोन|फोन)"
    r"[^\d\n+(]{0,20}(?P<number>\+?[\d(][\d ()./-]{5,20}\d)(?!\w)",
    re.IGNORECASE,
)
_NORTH_AMERICAN: Final = re.compile(r"(?<![\w.+/-])(?:\(\d{3}\) ?|\d{3}([-.]))\d{3}(?:(?:\1)|-)\d{4}(?![\w-]|\.\d)")


def phones(text: str) -> Iterator[Span]:
    """E.164 and other forms with a country code, North American ones as they are written, others where a word says so."""
    if "+" in text:
        for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
            if match.start == 0 or not text[match.start - 1].isalnum():
                yield match.start, match.end, 0.9
    for found in _NORTH_AMERICAN.finditer(text):
        if _valid(found[0], ("US",)):
            yield found.start(), found.end(), 0.7
    for found in _ANNOUNCED.finditer(text):
        if _valid(found["number"], _REGIONS) and _address(found["number"]) is None:
            yield found.start("number"), found.end("number"), 0.8


def _valid(number: str, regions: tuple[str, ...]) -> bool:
    for region in regions:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


_V4: Final = re.compile(r"(?<![\w./-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\w)|(?<=://)(?:\d{1,3}\.){3}\d{1,3}(?![\w.-])")
_V6: Final = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:]|\.\d)"
)
_VERSION: Final = re.compile(
    r"(?:version|release|build|firmware|driver|kernel|section|clause|\bver|\bv|upgraded? to|updated? to)[\"']?\s*[:= ]?\s*[\"']?$",
    re.I,
)
_ADDRESSED: Final = tuple(ipaddress.ip_network(net) for net in ("2000::/3", "fc00::/7", "fe80::/10", "::ffff:0:0/96"))


def addresses(text: str) -> Iterator[Span]:
    """IP addresses, but for what is no machine of anybody: loopback, unspecified, multicast, and version numbers."""
    for found in _V4.finditer(text):
        address = _address(found[0])
        if isinstance(address, ipaddress.IPv4Address) and not _VERSION.search(text[: found.start()][-24:]):
            yield found.start(), found.end(), 0.8
    for found in _V6.finditer(text):
        address = _address(found[0])
        if isinstance(address, ipaddress.IPv6Address) and any(address in net for net in _ADDRESSED):
            yield found.start(), found.end(), 0.9


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    nobody = address.is_loopback or address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255"
    return None if nobody else address


_URL_USER: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,30}://(?P<user>[^\s:@/?#\"'<>\x00]{1,64})(?P<password>:[^\s@/?#\"'<>\x00]{0,128})?@[^\s\"'<>/]+",
    re.IGNORECASE,
)
_SERVICE_USERS: Final = frozenset(("git", "app", "default", "anonymous", "user", "***", "root", "postgres"))


def url_users(text: str) -> Iterator[Span]:
    """URLs with a user in their authority (RFC 3986 section 3.2.1); with a password it is a secret as well."""
    for found in _URL_USER.finditer(text):
        password = (found["password"] or ":")[1:]
        if found["user"].lower() not in _SERVICE_USERS or (password and set(password) != {"*"}):
            yield found.start(), found.end(), 1.0
