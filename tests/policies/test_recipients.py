"""Recipients are those that the text names, each with its hosts in one place."""

import shutil
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from policies import recipients
from policies.recipients import HostsFrom
from policies.retention import IN_FORCE
from router.settings import Settings


def test_the_version_in_force_names_whom_its_text_names() -> None:
    found = recipients.load()
    assert {each.name for each in found.recipients if each.named} == {
        "OpenAI", "Anthropic", "Google", "DeepSeek", "Stripe", "Mailgun",
    }  # fmt: skip
    assert {each.id for each in found.recipients if each.hosts_from is HostsFrom.PROVIDERS} >= {"openai", "deepseek"}
    assert (found.countries, found.mechanism) == ("any", "consent by use")


def test_a_host_is_somebodys_or_nobodys() -> None:
    found = recipients.load()
    mailgun = found.host_of("API.mailgun.net.")
    assert mailgun is not None and mailgun.id == "mailgun"
    assert found.host_of("mailgun.net") is None and found.host_of("api.mailgun.net.evil.example") is None


def test_where_this_program_sends_mail_by_default_is_the_mail_services_host() -> None:
    url = str(Settings.model_fields["mailgun_url"].default)
    assert recipients.load().host_of(url.removeprefix("https://")) is not None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: Mailgun", "name: Postmark", "mailgun isn't named by sentence 5.4"),
        ('sentence: "3.3"', 'sentence: "3.9"', "openai isn't named by sentence 3.9"),
        ("id: anthropic", "id: openai", "stands twice"),
        ("[api.mailgun.net, api.eu.mailgun.net]", "[api.stripe.com]", "stands twice"),
        ("    hosts: [api.stripe.com]\n", "", "in one place"),
        ("hosts: [api.stripe.com]", "hosts: [api.stripe.com]\n    hosts_from: operator", "in one place"),
        ("    hosts_from: providers", "    hosts_from: anywhere", "hosts_from"),
        ("hosts: [api.stripe.com]", "hosts: ['https://api.stripe.com']", "hosts.0"),
        ('mechanism_sentence: "9.2"', 'mechanism_sentence: "9.3"', "no sentence 9.3"),
        ("recipients:", "recipients: [", "can't be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = Path(shutil.copytree(IN_FORCE, tmp_path / "version"))
    text = (folder / "recipients.yaml").read_text()
    assert old in text
    (folder / "recipients.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=words):
        recipients.load(folder)
