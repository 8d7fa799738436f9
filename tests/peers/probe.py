"""`make probe-peers`: the same probe against the peers and against this project, written to docs/privacy/peers.md.

Each peer runs in a folder of its own with its output in a file, in front of the probe's hostile upstream; nothing of it
is changed. Whether it "leaks" is what the same search says of ours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance import clock
from tests.peers.gateways import KEY, PEERS, ROOT, Peer, Setting, free_port, running

PAGE = ROOT / "docs" / "privacy" / "peers.md"
_KEY_ENV = "PROBE_PEER_KEY"
_CONTENT = ("prompt", "completion")
_WIRES = {"openai": "probe-openai", "anthropic": "probe-anthropic"}


@dataclass(frozen=True, slots=True)
class Row:
    """One gateway in one setting: the probe's results, one a wire."""

    name: str
    setting: str
    detail: str
    results: tuple[dict[str, Any], ...]

    @property
    def verdict(self) -> str:
        """The worst of its runs; a void one says nothing about the others."""
        verdicts = [result["verdict"] for result in self.results]
        return next((each for each in ("leak", "void") if each in verdicts), "clean")

    def total(self, name: str) -> int:
        return sum(int(result[name]) for result in self.results)

    def findings(self) -> list[dict[str, Any]]:
        return [found for result in self.results for found in result["findings"]]

    def others(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        for result in self.results:
            counted.update(result["seen_by_others"])
        return counted


def probe_peer(peer: Peer, setting: Setting, port: int, upstream: int, scratch: Path) -> Row:
    """Start it, and probe each of its wires. Raises RuntimeError where it doesn't start or the probe can't run."""
    folder = scratch / f"{peer.name}-{setting.name.replace(' ', '-')}"
    with running(setting, port, folder) as gateway:
        results = []
        for wire, model in _WIRES.items():
            headers = dict(gateway.headers)
            if "x-portkey-provider" in headers:
                headers["x-portkey-provider"] = wire
            results.append(
                _probe(
                    *("--gateway", gateway.url, "--key-env", _KEY_ENV, "--upstream-port", str(upstream)),
                    *("--wire", wire, "--model", model, "--pid", str(gateway.pid), "--look", str(folder)),
                    *(part for pair in headers.items() for part in ("--header", ": ".join(pair))),
                )
            )
    return Row(f"{peer.name} {peer.version}", setting.name, setting.detail, tuple(results))


def probe_ours() -> Iterator[Row]:
    """This project, as `valueapi probe` runs it."""
    for setting, options in (("default", ()), ("two workers", ("--workers", "2"))):
        result = _probe(*options)
        yield Row(
            "ValueAPI, this version", setting, f"`valueapi probe {' '.join(options)}`".replace(" `", "`"), (result,)
        )


def _probe(*options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "router.cli", "probe", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, _KEY_ENV: KEY}, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1, 2) or not done.stdout.strip():
        raise RuntimeError(f"the probe ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def page(rows: Iterable[Row]) -> str:
    """The page, from what was measured and nothing else."""
    rows = list(rows)
    lines = [
        "# Other gateways under the same probe",
        "",
        f"Measured on {clock.now():%Y-%m-%d} by `make probe-peers`, which installs each peer from its registry at the version "
        "named here, starts it in front of the probe's hostile upstream, sends every case, and searches its folder, its "
        "output and its processes. The page is written by that command from what it found; nothing in it is typed.",
        "",
        "A peer is run by its own defaults and then with the switches that its documentation offers against logging. It runs "
        "without a database, an add-on or a tracing service, which could only add places. Cases that it refuses are cases too. "
        "At rest is what was found outside the process's memory, in clear or in a form that anybody can undo: content is prompts "
        'and completions; the rest is header values, queries, paths and keys. "Sent on" is what reached somebody whom the '
        "caller may not have meant: it isn't in the verdict, and a gateway that takes the caller's key for the provider's sends "
        "it on by design.",
        "",
        "| gateway | setting | verdict | cases | canaries sent | content at rest | other canaries at rest | sent on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = {each["canary"] for each in row.findings()}
        content = {canary for canary in found if _direction(canary) in _CONTENT}
        lines.append(
            f"| {row.name} | {row.setting} | **{row.verdict}** | {row.total('cases')} | {row.total('canaries')} "
            f"| {len(content)} | {len(found - content)} | {sum(row.others().values())} |"
        )
    lines += ["", "## What was found where", ""]
    for row in rows:
        lines += [f"### {row.name}, {row.setting}", "", f"Run with {row.detail}.", ""]
        lines += _details(row)
    lines += [
        "## How to repeat it",
        "",
        "`make probe-peers` (Node.js and npm are needed for Portkey; some minutes). One gateway of your own: "
        "see [the probe](probe.md).",
        "",
    ]
    return "\n".join(lines)


def _details(row: Row) -> Iterator[str]:
    found = {(_place(each["place"]), _case(each["canary"]), _direction(each["canary"]), each["canary"])
             for each in row.findings()}  # fmt: skip
    where = Counter((place, case, direction) for place, case, direction, _ in found)
    if where:
        yield "| place | case | of the | canaries |"
        yield "|---|---|---|---|"
        for (place, case, direction), count in sorted(where.items(), key=lambda item: (-item[1], item[0])):
            yield f"| {place} | {case} | {direction} | {count} |"
        yield ""
    else:
        yield "No canary was found at rest."
        yield ""
    for what, count in sorted(row.others().items()):
        yield f"- seen by others: {what}: {count}"
    for reason in {reason for result in row.results for reason in result["reasons"]}:
        yield f"- {reason}"
    control = [result["control"] for result in row.results]
    planted, missed = sum(each["planted"] for each in control), sum(len(each["missed"]) for each in control)
    yield f"- positive control: {planted - missed} of {planted} planted values found"
    yield ""


def _place(place: str) -> str:
    """Without what changes from run to run."""
    if place.startswith("/proc/") or " of process" in place:
        return "a process's open files"
    return f"`{Path(place.partition(' ')[0]).name}`"


def _case(canary: str) -> str:
    """What happened, whatever was asked: `case/direction/field`, where the case begins with the lane or wire."""
    return canary.rsplit("/", 2)[0].partition("/")[2]


def _direction(canary: str) -> str:
    return canary.rsplit("/", 2)[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make probe-peers")
    parser.add_argument("--only", action="append", choices=[peer.name for peer in PEERS])
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    wanted = parser.parse_args()
    rows = [] if wanted.only else list(probe_ours())
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        for peer in PEERS:
            if wanted.only and peer.name not in wanted.only:
                continue
            print(f"Installing {peer.name} {peer.version} ...", file=sys.stderr)
            peer.install()
            port, upstream = free_port(), free_port()
            for setting in peer.settings(port, upstream):
                print(f"Probing {peer.name} {peer.version}, {setting.name} ...", file=sys.stderr)
                rows.append(probe_peer(peer, setting, port, upstream, Path(scratch)))
    text = page(rows)
    if wanted.print:
        print(text)
    else:
        PAGE.write_text(text)
        print(f"Written: {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
