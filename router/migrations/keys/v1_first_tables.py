"""first tables"""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backup",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("store", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=4096), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup")),
    )
    op.create_table(
        "blind_index",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("inner", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blind_index")),
        sa.UniqueConstraint("name", "digest", name=op.f("uq_blind_index_name_digest")),
    )
    with op.batch_alter_table("blind_index", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_blind_index_key_id"), ["key_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_blind_index_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "clock_mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_mark")),
    )
    op.create_table(
        "destroyed_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destroyed_key")),
    )
    with op.batch_alter_table("destroyed_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_destroyed_key_epoch"), ["epoch"], unique=False)
        batch_op.create_index(batch_op.f("ix_destroyed_key_root_id"), ["root_id"], unique=False)

    op.create_table(
        "key_generation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_generation")),
    )
    op.create_table(
        "key_holder",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_holder")),
    )
    op.create_table(
        "key_node",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("rekeyed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_node")),
    )
    with op.batch_alter_table("key_node", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_node_level_entries"), ["level", "entries"], unique=False)

    op.create_table(
        "keys_epoch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Uuid(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("told_state", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_epoch")),
    )
    op.create_table(
        "keys_evidence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_evidence")),
        sa.UniqueConstraint("position", name=op.f("uq_keys_evidence_position")),
    )
    op.create_table(
        "keys_evidence_state",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("log_id", sa.Uuid(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_evidence_state")),
    )
    op.create_table(
        "keys_evidence_subject",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_evidence_subject")),
    )
    with op.batch_alter_table("keys_evidence_subject", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_keys_evidence_subject_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "keys_pair",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_pair")),
    )
    op.create_table(
        "root_epoch",
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("real_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("limit", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("root_id", name=op.f("pk_root_epoch")),
    )
    op.create_table(
        "rotation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rotation")),
    )
    op.create_table(
        "staff_opening",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_opening")),
    )
    with op.batch_alter_table("staff_opening", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_staff_opening_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_staff_opening_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "stored_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("slot", sa.String(length=128), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("basis", sa.String(length=16), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_key")),
        sa.UniqueConstraint("slot", name=op.f("uq_stored_key_slot")),
    )
    with op.batch_alter_table("stored_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stored_key_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_stored_key_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_stored_key_node_id"), ["node_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_stored_key_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "subject_uses",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("objected", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subject_uses")),
        sa.UniqueConstraint("version", name=op.f("uq_subject_uses_version")),
    )
    op.create_table(
        "tombstone",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan_digest", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_tombstone")),
    )
    with op.batch_alter_table("tombstone", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tombstone_epoch"), ["epoch"], unique=False)

    op.create_table(
        "uses_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_uses_version")),
    )


def downgrade() -> None:
    op.drop_table("uses_version")
    with op.batch_alter_table("tombstone", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tombstone_epoch"))

    op.drop_table("tombstone")
    op.drop_table("subject_uses")
    with op.batch_alter_table("stored_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stored_key_subject_id"))
        batch_op.drop_index(batch_op.f("ix_stored_key_node_id"))
        batch_op.drop_index(batch_op.f("ix_stored_key_expires_at"))
        batch_op.drop_index(batch_op.f("ix_stored_key_created_at"))

    op.drop_table("stored_key")
    with op.batch_alter_table("staff_opening", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_staff_opening_subject_id"))
        batch_op.drop_index(batch_op.f("ix_staff_opening_at"))

    op.drop_table("staff_opening")
    op.drop_table("rotation")
    op.drop_table("root_epoch")
    op.drop_table("keys_pair")
    with op.batch_alter_table("keys_evidence_subject", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_keys_evidence_subject_subject_id"))

    op.drop_table("keys_evidence_subject")
    op.drop_table("keys_evidence_state")
    op.drop_table("keys_evidence")
    op.drop_table("keys_epoch")
    with op.batch_alter_table("key_node", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_key_node_level_entries"))

    op.drop_table("key_node")
    op.drop_table("key_holder")
    op.drop_table("key_generation")
    with op.batch_alter_table("destroyed_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_destroyed_key_root_id"))
        batch_op.drop_index(batch_op.f("ix_destroyed_key_epoch"))

    op.drop_table("destroyed_key")
    op.drop_table("clock_mark")
    with op.batch_alter_table("blind_index", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_blind_index_subject_id"))
        batch_op.drop_index(batch_op.f("ix_blind_index_key_id"))

    op.drop_table("blind_index")
    op.drop_table("backup")
