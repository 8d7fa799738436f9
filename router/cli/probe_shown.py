"""A probe's result for people: the verdict first, then what it rests on, then what was found and what wasn't read."""

from collections import defaultdict

from rich.markup import escape
from rich.table import Table

from governance.bodies.verdict import Verdict
from router.cli.output import out, table
from router.probe.result import Found, Result

_STYLES = {Verdict.CLEAN: "bold green", Verdict.LEAK: "bold red", Verdict.VOID: "bold yellow"}
_SHOWN_MAX = 20  # rows of a list; --json has all
_NAMES_MAX = 3


def show(result: Result) -> None:
    out.print(f"{result.verdict.upper()}: {result.target}", style=_STYLES[result.verdict], markup=False)
    for reason in result.reasons:
        out.print(f"  {reason}", markup=False)
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(result).items():
        facts.add_row("", name, escape(value))
    out.print(facts)
    if result.findings:
        table(_capped(_findings(result)), False, title="Where canaries came to rest")
    if result.traced is not None:
        rows: list[dict[str, object]] = [
            {"descriptor": d.name, "kind": d.kind, "writes_with_canaries": d.writes, "expected": d.expected}
            for d in result.traced
        ]
        table(_capped(rows), False, title="Descriptors that canaries reached")
    if result.seen_by_others:
        seen: list[dict[str, object]] = [
            {"seen_by_others": what, "times": n} for what, n in result.seen_by_others.items()
        ]
        table(_capped(seen), False)
    if result.unread:
        gaps: list[dict[str, object]] = [{"not_read": gap.place, "why": gap.why} for gap in result.unread]
        table(_capped(gaps), False)


def _facts(result: Result) -> dict[str, str]:
    control = result.control
    carried = ", ".join(f"{wire} {'yes' if done else 'no'}" for wire, done in result.carried.items())
    return {
        "positive control": f"{control.planted - len(control.missed)} of {control.planted} found"
        + (f"; missed: {'; '.join(control.missed[:_NAMES_MAX])}" if control.missed else ""),
        "seeds of this run": f"{control.seeded - len(control.seeded_missed)} of {control.seeded} found"
        + (f"; missed: {'; '.join(control.seeded_missed[:_NAMES_MAX])}" if control.seeded_missed else ""),
        "cases": f"{result.cases}: " + ", ".join(f"{count} {what}" for what, count in result.outcomes.items()),
        "carried a completion": carried or "-",
        "canaries": f"{result.canaries}",
        "searched": f"{result.bytes_read / 2**20:.1f} MB, {result.files} files",
        "took": f"{result.seconds:.0f} s",
        "by": f"{result.version}, program {result.program[:16]}",
        **({"left at": result.kept} if result.kept else {}),
    }


def _findings(result: Result) -> list[dict[str, object]]:
    """By place and form: how many canaries, and where the first of them were put."""
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for found in result.findings:
        groups[found.place, found.form].append(found)
    return [
        {
            "place": place,
            "form": form,
            "canaries": len({found.canary for found in group}),
            "offset": group[0].offset,
            "when": group[0].when,
            "from": "; ".join(dict.fromkeys(found.canary for found in group[:_NAMES_MAX])),
        }
        for (place, form), group in groups.items()
    ]


def _capped(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    if len(rows) > _SHOWN_MAX:
        out.print(f"{len(rows) - _SHOWN_MAX} more rows than are shown here: --json has all.")
    return rows[:_SHOWN_MAX]
