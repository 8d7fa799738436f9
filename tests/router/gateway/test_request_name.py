"""The one form of a request's id."""

import re
import time

from router.gateway.request_name import RequestName


def test_request_ids() -> None:
    names = [RequestName() for _ in range(1000)]
    assert len({name.text for name in names}) == 1000
    assert all(re.fullmatch("req_[0-9a-f]{32}", name.text) and name.text[4:] == name.id.hex for name in names)
    assert names[0].text == names[0].text
    assert abs(int(names[0].text[4:16], 16) - time.time() * 1000) < 5000
