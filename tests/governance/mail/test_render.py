"""Templates: all of them render, and no value writes more than its own words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from governance.errors import Rejected
from governance.mail import render as module
from governance.mail.render import render, templates

_NAMES = re.compile(r"{{ (\w+) }}")
_LISTS = re.compile(r"{% for (\w+) in (\w+) %}")


def _values(template: str) -> dict[str, str | list[str]]:
    text = (module._FOLDER / f"{template}.txt").read_text()
    lists = dict(_LISTS.findall(text))
    values: dict[str, str | list[str]] = {
        name: f"value-of-{name}" for name in _NAMES.findall(text) if name not in lists
    }
    return values | {name: [f"first-of-{name}", f"second-of-{name}"] for name in lists.values()}


def test_there_are_the_templates_that_the_program_names() -> None:
    assert {"confirm", "existing-account", "password-reset", "password-changed", "key-created"} <= set(templates())


@pytest.mark.parametrize("template", templates())
def test_each_template_renders_a_subject_of_one_line_and_every_value(template: str) -> None:
    values = _values(template)
    subject, body = render(template, values)
    assert subject and subject.isprintable()
    assert body.endswith("\n") and "{" not in body
    lines = [line for value in values.values() for line in ([value] if isinstance(value, str) else value)]
    assert all(line in subject + body for line in lines)


def test_a_line_of_a_list_is_one_line() -> None:
    with pytest.raises(Rejected):
        render("checkpoint", {"origin": "o", "size": "1", "checkpoint": ["one", "two\nthree"]})


def test_a_missing_value_is_an_error_that_names_it_alone() -> None:
    with pytest.raises(UndefinedError) as caught:
        render("key-created", {"prefix": "sk-va-secretish", "page": "there"})
    assert "name" in str(caught.value)
    assert "secretish" not in str(caught.value)


@pytest.mark.parametrize("bad", ["two\nlines", "carriage\rreturn", "nul\0", "line\u2028separator", "x" * 2001])
def test_a_value_adds_no_line_and_no_header(bad: str) -> None:
    with pytest.raises(Rejected) as caught:
        render("key-created", {"prefix": "p", "name": bad, "page": "there"})
    assert caught.value.field == "name"
    assert bad not in str(caught.value)


def test_plain_text_isnt_escaped() -> None:
    assert "R&D <1>" in render("key-created", {"prefix": "p", "name": "R&D <1>", "page": "there"})[1]


@given(st.text(max_size=60))
def test_whatever_the_value_the_mail_has_its_lines_and_no_template_runs(name: str) -> None:
    lines = render("key-created", {"prefix": "p", "name": "plain", "page": "there"})[1].count("\n")
    try:
        _, body = render("key-created", {"prefix": "p", "name": name, "page": "there"})
    except Rejected:
        assert not name.isprintable()
    else:
        assert body.count("\n") == lines and name in body
