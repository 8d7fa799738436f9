"""How pages write amounts."""

from router.web.pages import credits


def test_credits_are_exact() -> None:
    shown = {0: "0.00", 1: "0.000001", 1_500_000: "1.50", -10: "-0.00001", 1_234_567_000_000: "1,234,567.00"}
    assert {amount: credits(amount) for amount in shown} == shown
