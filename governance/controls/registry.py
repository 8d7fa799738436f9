"""The controls of this program, by id."""

from collections.abc import Iterable, Iterator

from governance.controls.control import Control
from governance.errors import DeclarationError, NotFound
from governance.evidence import fields


class Registry:
    """Raises DeclarationError where two controls have one id, or one has a pass that is out of date before it runs again."""

    def __init__(self, controls: Iterable[Control]) -> None:
        self._controls: dict[str, Control] = {}
        for each in controls:
            if each.id in self._controls:
                raise DeclarationError(f"Two controls are called {each.id}.")
            if (each.cadence.months, each.cadence.exact) >= (each.max_age.months, each.max_age.exact):
                raise DeclarationError(f"The control {each.id} runs less often than its passes are good for.")
            self._controls[each.id] = each
        fields.declare_names("control", self._controls)

    def __iter__(self) -> Iterator[Control]:
        return iter(self._controls.values())

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._controls)

    def get(self, control_id: str) -> Control:
        """Raises NotFound."""
        try:
            return self._controls[control_id]
        except KeyError:
            raise NotFound("There is no such control.") from None
