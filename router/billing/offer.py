"""The table of offers; apart from what fills and reads it, so that whoever only needs the tables needs no catalog."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, String, Uuid
from sqlalchemy.orm import Mapped

from governance.datamap import Base, impersonal
from governance.db import UtcDateTime


class Offer(Base):
    """What a provider asks for a model from `at` on: price and host of each of its routes, in the catalog's order."""

    __tablename__ = "offer"

    id: Mapped[UUID] = impersonal(Uuid, 570, primary_key=True)
    model: Mapped[str] = impersonal(String(200), 571)
    provider: Mapped[str] = impersonal(String(64), 572)
    at: Mapped[datetime] = impersonal(UtcDateTime, 573)
    prices: Mapped[list[dict[str, Any]]] = impersonal(JSON, 574)
