"""The verbs. Each is a function elsewhere; this file only names them."""

import typer

from router.cli import (
    accounts,
    audit,
    backup,
    controls,
    datamap,
    docs,
    doctor,
    erase_check,
    incidents,
    jobs,
    keys,
    ledger,
    outbox,
    probe,
    promises,
    scan,
    serve,
    verify,
)

app = typer.Typer(
    name="valueapi",
    help="An AI API router whose privacy policy executes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("migrate")(serve.migrate)
app.command("doctor")(doctor.doctor)
app.command("datamap")(datamap.datamap)
app.command("docs")(docs.docs)
app.command("probe")(probe.probe)
app.command("verify")(verify.verify)
app.command("erase-check")(erase_check.erase_check)
app.command("scan")(scan.scan)
app.add_typer(accounts.app, name="accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(outbox.app, name="outbox")
app.add_typer(ledger.app, name="ledger")
app.add_typer(backup.app, name="backup")
app.add_typer(jobs.app, name="jobs")
app.add_typer(incidents.app, name="incidents")
app.add_typer(audit.app, name="audit")
app.add_typer(controls.app, name="controls")
app.add_typer(promises.app, name="promises")


def main() -> None:
    """The console script."""
    app()
