"""Check digits against numbers that others published, and each form refused when one digit is wrong."""

import pytest

from governance.personal_data.national_ids import NATIONAL_IDS, national_ids

# The examples of the issuing bodies' own documents, and of Wikipedia where they give none.
PUBLISHED = {
    "GB": "AB123456C", "DE": "Steuer-ID 86095742719", "FR": "255081416802538", "ES": "DNI 12345678Z",
    "IT": "RSSMRA85T10A562S", "NL": "BSN 111222333", "PL": "PESEL 44051401359", "SE": "personnummer 811228-9874",
    "FI": "131052-308T", "IN": "Aadhaar 2341 2341 2346", "KR": "RRN 960121-1234567", "CN": "11010519491231002X",
    "BR": "529.982.247-25", "US": "219-09-9999", "*": "passport C01X00T47",
}  # fmt: skip
CHECKED = ("DE", "FR", "ES", "IT", "NL", "PL", "SE", "FI", "IN", "CN", "BR")


@pytest.mark.parametrize("country", PUBLISHED)
def test_a_published_number_is_found_whole(country: str) -> None:
    text = PUBLISHED[country]
    assert [text[start:end] for start, end, _ in national_ids(text)] == [text.split(" ", 1)[-1]]


def test_there_is_an_example_of_every_country() -> None:
    assert {each.country for each in NATIONAL_IDS} == set(PUBLISHED)


@pytest.mark.parametrize("country", CHECKED)
def test_one_wrong_digit_and_it_is_a_number(country: str) -> None:
    text = PUBLISHED[country]
    at = max(index for index, letter in enumerate(text[:-1]) if letter.isdigit())
    wrong = text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]
    assert list(national_ids(wrong)) == []


@pytest.mark.parametrize(
    "country", [each.country for each in NATIONAL_IDS if each.words and each.country not in ("US", "KR", "BR")]
)
def test_digits_that_nobody_announces_are_a_number(country: str) -> None:
    assert list(national_ids("count " + PUBLISHED[country].split(" ", 1)[-1])) == []


@pytest.mark.parametrize(
    "number", ["000-12-3456", "666-12-3456", "912-12-3456", "219-00-9999", "219-09-0000", "1219-09-9999"]
)
def test_what_was_never_issued_is_none(number: str) -> None:
    assert list(national_ids(number)) == []
