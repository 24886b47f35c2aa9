"""An optimizer with other parameters and state for a while."""

import contextlib
from collections import defaultdict

__all__ = ["swap_in_optimizer_params_and_state"]


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """The optimizer has the given parameters and state inside the block, and its own again afterwards.

    Args:
        swapin_parameters: tensors in the order of the optimizer's parameters, or a dictionary of them in that order.
        swapin_optim_state: as from ``state_dict()``. What is written into its tensors stays there.

    Raises:
        ValueError: there are more or fewer parameters or groups than the optimizer has.
    """
    given = list(swapin_parameters.values() if isinstance(swapin_parameters, dict) else swapin_parameters)
    groups, state = optimizer.param_groups, optimizer.state
    saved_groups = swapin_optim_state["param_groups"]
    count = sum(len(group["params"]) for group in groups)
    if len(given) != count:
        raise ValueError(f"the optimizer has {count} parameters, {len(given)} were given")
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved_groups]:
        raise ValueError("the state's parameter groups are not those of the optimizer")
    numbers = [number for group in saved_groups for number in group["params"]]
    by_number = dict(zip(numbers, given, strict=True))
    swapped_state = defaultdict(dict)
    for key, value in swapin_optim_state["state"].items():
        swapped_state[by_number.get(key, key)] = dict(value) if isinstance(value, dict) else value
    swapped_groups = [{**group, "params": [by_number[n] for n in group["params"]]} for group in saved_groups]
    optimizer.param_groups, optimizer.state = swapped_groups, swapped_state
    try:
        yield
    finally:
        optimizer.param_groups, optimizer.state = groups, state
