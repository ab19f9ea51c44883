"""Operations for which a GPU would have to be waited for, found as a step runs on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique2",
    "_unique2",
    "unique_consecutive",
    "unique_dim",
}
"""Operations whose result, or its shape, the host has to read."""


class NoWaiting(TorchDispatchMode):
    """Fails at each operation that reads a figure of the device on the host."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function._schema.name.split("::")[1]
        if name in WAITING:
            raise AssertionError(f"{name} waits for the device")
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [one for one in args[1] if one is not None and one.dtype == torch.bool]
            # Put where a mask says is one operation with a value; all others count the mask.
            if masks and not (name != "index" and args[2].numel() == 1):
                raise AssertionError(f"{name} by a mask waits for the device")
        if name == "repeat_interleave" and not (kwargs or {}).get("output_size"):
            raise AssertionError("repeat_interleave waits for the device")
        return function(*args, **(kwargs or {}))
