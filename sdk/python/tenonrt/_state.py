"""State: what a session keeps between the runs of one conversation."""
from __future__ import annotations

from typing import Any

from . import _core


class State:
    """The caches of a decoder, and whatever else the entry "session.state" names. One run at a time uses it.

    A session has one of its own; InferenceSession.new_state makes more, for other conversations with the same model."""

    __slots__ = ("_state",)

    def __init__(self, state: _core.State) -> None:
        self._state = state

    @property
    def rows(self) -> int:
        """How many rows (tokens) the caches hold."""
        return self._state.rows()

    @property
    def capacity(self) -> int:
        """How many there is room for without new memory."""
        return self._state.capacity()

    def truncate(self, rows: int) -> None:
        """Goes back to the first rows: later ones are as if they had not been."""
        self._state.truncate(rows)

    def reset(self) -> None:
        """Forgets everything; the next run may have another batch size."""
        self._state.truncate(0)

    def copy(self) -> State:
        """Another state that goes on from here."""
        return State(self._state.copy())

    def numpy(self, input_name: str) -> Any:
        """A copy of what that input would be fed with."""
        return self._state.value(input_name).array()

    def __len__(self) -> int:
        return self.rows

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<State of {self.rows} rows>"
