"""Alembic's environment for both stores: runs on the connection that `run.py` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator


def _render(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """Migrations name plain SQL types, so that they still run when a type of ours is renamed."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def run() -> None:
    """Run the migrations on the given connection, in its transaction."""
    config = context.config
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=config.attributes["metadata"],
        render_item=_render,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
