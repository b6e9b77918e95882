"""State of conjugate gradients to a file and back, so that a restart goes on."""

from dataclasses import dataclass

import safetensors.torch

from inflib.numerics import conjugate_gradients
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Checkpoint:
    """A file with the state of conjugate gradients after every few steps."""

    folder: Folder
    name: str
    every: int = 4
    """Steps between two writes."""

    def read(self) -> conjugate_gradients.State | None:
        """The state that was last written; None without one."""
        if self.name not in self.folder.names():
            return None
        tensors = safetensors.torch.load(self.folder.read_bytes(self.name))
        return conjugate_gradients.State.of(tensors)

    def write(self, state: conjugate_gradients.State) -> None:
        """Write the state, if its number of steps is due."""
        if state.steps % self.every == 0:
            self.folder.write(self.name, safetensors.torch.save(state.tensors()))
