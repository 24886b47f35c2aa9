"""Recurrent networks: RNN, LSTM and GRU over sequences, and their cells.

Each layer and direction projects its whole input in one product; the loop over steps then holds only the
recurrent product and the gates.
"""

import math
import numbers
import warnings

import corten

from ... import _ops
from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def apply_permutation(tensor, permutation, dim=1):
    """Reorders ``tensor`` along ``dim``; deprecated, use ``index_select``."""
    warnings.warn(
        "apply_permutation is deprecated, please use tensor.index_select(dim, permutation) instead",
        FutureWarning,
        stacklevel=2,
    )
    return tensor.index_select(dim, permutation)


def _rnn_step(activation):
    def step(projected, state, weight_hh, bias_hh):
        return (activation(corten.addmm(projected, state[0], weight_hh)),)

    return step


def _lstm_step(projected, state, weight_hh, bias_hh):
    hidden, cell = state
    i, f, g, o = corten.addmm(projected, hidden, weight_hh).chunk(4, 1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _gru_step(projected, state, weight_hh, bias_hh):
    (hidden,) = state
    recurrent = hidden @ weight_hh if bias_hh is None else corten.addmm(bias_hh, hidden, weight_hh)
    pr, pz, pn = projected.chunk(3, 1)
    hr, hz, hn = recurrent.chunk(3, 1)
    reset, update = (pr + hr).sigmoid(), (pz + hz).sigmoid()
    candidate = (pn + reset * hn).tanh()
    return (candidate + update * (hidden - candidate),)


_STEPS = {
    "RNN_TANH": _rnn_step(corten.tanh),
    "RNN_RELU": _rnn_step(corten.relu),
    "LSTM": _lstm_step,
    "GRU": _gru_step,
}


def _project(mode, x, weights):
    """The input's part of the gates for all steps at once.

    The recurrent bias joins it, except in GRU, where the reset gate multiplies it.
    """
    bias_ih, bias_hh = weights.get("bias_ih"), weights.get("bias_hh")
    bias = bias_ih
    if mode != "GRU" and bias_ih is not None:
        bias = bias_ih + bias_hh
    return F.linear(x, weights["weight_ih"], bias)


def _advance(mode, projected, state, weights, weight_hh):
    new = _STEPS[mode](projected, state, weight_hh, weights.get("bias_hh"))
    if "weight_hr" in weights:
        new = (F.linear(new[0], weights["weight_hr"]), *new[1:])
    return new


def _has_kernel(x, state, weights):
    """Whether one kernel runs all steps of the layer; elsewhere, as inside ``vmap``, it is composed of operators."""
    tensors = (x, *state, *weights.values())
    if any(hasattr(t, "_apply_function") for t in tensors):
        return False
    dtype = x.dtype
    return (
        dtype in (corten.float32, corten.float64)
        and "weight_hr" not in weights
        and all(t.device.type == "cpu" and t.dtype == dtype for t in tensors)
    )


def _run_kernel(mode, x, batch_sizes, steps, state, weights, reverse):
    """One direction over rows ``(rows of all steps, *)``; returns their outputs and the last state."""
    biases = weights.get("bias_ih"), weights.get("bias_hh")
    hidden, cell = state if mode == "LSTM" else (state[0], None)
    parameters = weights["weight_ih"], weights["weight_hh"], *biases
    output, *last = _ops._recurrent(mode, x, hidden, cell, *parameters, batch_sizes, steps, reverse)
    return output, tuple(last)


def _run_padded(mode, x, state, weights, reverse):
    """One direction over ``(T, N, *)``; returns the outputs ``(T, N, H)`` and the last state."""
    if _has_kernel(x, state, weights):
        output, last = _run_kernel(mode, x.flatten(0, 1), None, x.shape[0], state, weights, reverse)
        return output.unflatten(0, x.shape[:2]), last
    steps = list(_project(mode, x, weights).unbind(0))
    weight_hh = weights["weight_hh"].t()
    outputs = [None] * len(steps)
    order = range(len(steps) - 1, -1, -1) if reverse else range(len(steps))
    for t in order:
        state = _advance(mode, steps[t], state, weights, weight_hh)
        outputs[t] = state[0]
    return corten.stack(outputs), state


def _run_packed(mode, data, batch_sizes, state, weights, reverse):
    """One direction over packed rows ``(sum of batch_sizes, *)``; returns their outputs and the last state.

    Samples are sorted by length, so the sequences still running at a step are the first ``batch_sizes[t]``.
    """
    if _has_kernel(data, state, weights):
        sizes = corten.tensor(batch_sizes)
        return _run_kernel(mode, data, sizes, len(batch_sizes), state, weights, reverse)
    steps = _project(mode, data, weights).split(batch_sizes)
    weight_hh = weights["weight_hh"].t()
    outputs = [None] * len(steps)
    if reverse:
        # Shorter sequences begin later: their initial states join as the batch grows.
        initial, state = state, tuple(part[: batch_sizes[-1]] for part in state)
        for t in range(len(steps) - 1, -1, -1):
            size, running = batch_sizes[t], state[0].shape[0]
            if size > running:
                state = tuple(
                    corten.cat([part, first[running:size]]) for part, first in zip(state, initial, strict=True)
                )
            state = _advance(mode, steps[t], state, weights, weight_hh)
            outputs[t] = state[0]
        return corten.cat(outputs), state
    finished = []
    for t, size in enumerate(batch_sizes):
        if size < state[0].shape[0]:
            finished.append(tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        state = _advance(mode, steps[t], state, weights, weight_hh)
        outputs[t] = state[0]
    finished.append(state)
    last = tuple(corten.cat(parts[::-1]) for parts in zip(*finished, strict=True))
    return corten.cat(outputs), last


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, argument checks and the loops over layers and directions."""

    def __init__(
        self,
        mode,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout) if isinstance(dropout, numbers.Number) else dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_options(dropout)
        self._flat_weights_names = []
        self._all_weights = []
        for layer in range(num_layers):
            for direction in range(2 if bidirectional else 1):
                names = self._add_layer(layer, direction, {"device": device, "dtype": dtype})
                self._flat_weights_names.extend(names)
                self._all_weights.append(names)
        self._init_flat_weights()
        self.reset_parameters()

    def _check_options(self, dropout):
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        if not isinstance(self.batch_first, bool):
            raise TypeError(f"batch_first should be of type bool, got: {type(self.batch_first).__name__}")
        if not isinstance(self.input_size, int):
            raise TypeError(f"input_size should be of type int, got: {type(self.input_size).__name__}")
        if not isinstance(self.hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(self.hidden_size).__name__}")
        if self.hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + self.mode)

    def _add_layer(self, layer, direction, options):
        """Registers the parameters of one layer and direction; returns their names in order."""
        gate_size = _GATES[self.mode] * self.hidden_size
        output_size = self.proj_size or self.hidden_size
        directions = 2 if self.bidirectional else 1
        layer_input = self.input_size if layer == 0 else output_size * directions
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        shapes = {"weight_ih": (gate_size, layer_input), "weight_hh": (gate_size, output_size)}
        if self.bias:
            shapes["bias_ih"] = shapes["bias_hh"] = (gate_size,)
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(corten.empty(shape, **options)))
        return [name + suffix for name in shapes]

    def _init_flat_weights(self):
        # Kept for programs that read it; the parameters themselves stay the source.
        self._flat_weights = [getattr(self, name, None) for name in self._flat_weights_names]

    def __setattr__(self, name, value):
        names = self.__dict__.get("_flat_weights_names")
        if names is not None and name in names and "_flat_weights" in self.__dict__:
            self._flat_weights[names.index(name)] = value
        super().__setattr__(name, value)

    def flatten_parameters(self):
        """Does nothing: the weights need no common buffer here."""

    def _apply(self, fn, recurse=True):
        result = super()._apply(fn, recurse)
        self._init_flat_weights()
        return result

    def reset_parameters(self):
        """Draws all parameters uniformly in ``±1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self):
        """The parameters, one list per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("proj_size", 0)
        # A copy has parameters of its own.
        self._init_flat_weights()

    # Checks

    def check_input(self, input, batch_sizes):
        """Raises RuntimeError unless ``input`` has the rank and the size that this network takes."""
        weight = getattr(self, self._flat_weights_names[0])
        if input.dtype != weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.shape[-1]:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )

    def get_expected_hidden_size(self, input, batch_sizes):
        """The shape of a hidden state for ``input``: ``(layers * directions, N, H)``."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0] if self.batch_first else input.shape[1]
        directions = 2 if self.bidirectional else 1
        return self.num_layers * directions, batch, self.proj_size or self.hidden_size

    def get_expected_cell_size(self, input, batch_sizes):
        """The shape of a cell state for ``input``: ``(layers * directions, N, hidden_size)``."""
        layers, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return layers, batch, self.hidden_size

    def check_forward_args(self, input, hidden, batch_sizes):
        """Raises RuntimeError unless input and state have the shapes that this network takes."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def check_hidden_size(self, hx, expected_hidden_size, msg="Expected hidden size {}, got {}"):
        """Raises RuntimeError with ``msg`` unless ``hx`` has the expected shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(tuple(expected_hidden_size), list(hx.shape)))

    def permute_hidden(self, hx, permutation):
        """Reorders the samples of a hidden state."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # Computing

    def _run_layers(self, x, batch_sizes, states):
        """Runs all layers on ``(T, N, *)`` or packed rows; ``states`` are stacked over layers and directions."""
        directions = 2 if self.bidirectional else 1
        lasts = []
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if self.bias else ("weight_ih", "weight_hh")
        names = (*names, "weight_hr") if self.proj_size else names
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                weights = dict(zip(names, (getattr(self, name) for name in self._all_weights[index]), strict=True))
                state = tuple(part[index] for part in states)
                if batch_sizes is None:
                    output, last = _run_padded(self.mode, x, state, weights, direction == 1)
                else:
                    output, last = _run_packed(self.mode, x, batch_sizes, state, weights, direction == 1)
                outputs.append(output)
                lasts.append(last)
            x = outputs[0] if directions == 1 else corten.cat(outputs, -1)
            if self.dropout > 0 and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, True)
        return x, tuple(corten.stack(parts) for parts in zip(*lasts, strict=True))

    def _prepare_states(self, hx, input, batch_sizes, sorted_indices, batched):
        """Checks the given states, or makes zeros; returns them as a tuple sorted like the input."""
        raise NotImplementedError

    def forward(self, input, hx=None):
        """Runs the network.

        Args:
            input: ``(T, N, input_size)``, ``(N, T, input_size)`` with ``batch_first``, ``(T, input_size)`` or a
                :class:`PackedSequence`.
            hx: the initial state ``(layers * directions, N, H)``, zeros by default; LSTM takes a pair.

        Returns:
            The last layer's outputs, shaped as the input with ``directions * H`` features, and the last state.
        """
        batch_sizes, batched = None, True
        sorted_indices = unsorted_indices = None
        packed = isinstance(input, PackedSequence)
        if packed:
            data, sizes, sorted_indices, unsorted_indices = input
            batch_sizes, x = sizes.tolist(), data
        else:
            if input.dim() not in (2, 3):
                raise ValueError(
                    f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D tensor instead"
                )
            batched = input.dim() == 3
            x = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        states = self._prepare_states(hx, x, batch_sizes, sorted_indices, batched)
        self.check_input(x, batch_sizes)
        if not packed and self.batch_first:
            x = x.transpose(0, 1)
        if x.shape[0] == 0 and not packed:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        output, last = self._run_layers(x, batch_sizes, states)
        if packed:
            output = PackedSequence(output, sizes, sorted_indices, unsorted_indices)
            last = tuple(self.permute_hidden(part, unsorted_indices) for part in last)
        else:
            if self.batch_first:
                output = output.transpose(0, 1)
            if not batched:
                output = output.squeeze(0 if self.batch_first else 1)
                last = tuple(part.squeeze(1) for part in last)
        return output, (last if self.mode == "LSTM" else last[0])


class _OneState(RNNBase):
    """A network with a hidden state but no cell state."""

    def _prepare_states(self, hx, input, batch_sizes, sorted_indices, batched):
        expected = self.get_expected_hidden_size(input, batch_sizes)
        if hx is None:
            return (input.new_zeros(expected),)
        if batch_sizes is None:
            wanted = 3 if batched else 2
            if hx.dim() != wanted:
                kind = "batched 3-D" if batched else "unbatched 2-D"
                raise RuntimeError(f"For {kind} input, hx should also be {wanted}-D but got {hx.dim()}-D tensor")
            hx = hx if batched else hx.unsqueeze(1)
        self.check_hidden_size(hx, expected)
        return (self.permute_hidden(hx, sorted_indices),)


def _refuse_projection(kwargs):
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(_OneState):
    """The Elman network: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with ReLU.

    Args:
        input_size: features of an input step.
        hidden_size: features H of the state.
        num_layers: layers stacked on each other.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether the products have biases.
        batch_first: tensors are ``(N, T, *)`` instead of ``(T, N, *)``; states are not affected.
        dropout: probability of dropping an output between layers.
        bidirectional: also run backwards and concatenate the outputs.
    """

    def __init__(self, *args, **kwargs):
        _refuse_projection(kwargs)
        if len(args) > 3:
            self_nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self_nonlinearity = kwargs.pop("nonlinearity", "tanh")
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if self_nonlinearity not in modes:
            raise ValueError(f"Unknown nonlinearity {self_nonlinearity!r}. Select from 'tanh' or 'relu'.")
        # Set before Module.__init__, as a plain attribute.
        self.__dict__["nonlinearity"] = self_nonlinearity
        super().__init__(modes[self_nonlinearity], *args, **kwargs)


class GRU(_OneState):
    """Gated recurrent units (Cho et al. 2014), with the reset gate applied after the recurrent product.

    Arguments as in :class:`RNN`, without ``nonlinearity``.
    """

    def __init__(self, *args, **kwargs):
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), optionally with projected states.

    Arguments as in :class:`RNN`, without ``nonlinearity``, and ``proj_size``, the size of the projected hidden
    state (Sak et al. 2014). The state is the pair (hidden, cell).
    """

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def check_forward_args(self, input, hidden, batch_sizes):
        """Raises RuntimeError unless input and both states have the shapes that this network takes."""
        self.check_input(input, batch_sizes)
        self._check_states(input, hidden, batch_sizes)

    def _check_states(self, input, hidden, batch_sizes):
        expected_hidden = self.get_expected_hidden_size(input, batch_sizes)
        expected_cell = self.get_expected_cell_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], expected_hidden, "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], expected_cell, "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx, permutation):
        """Reorders the samples of a state, or of a pair of states."""
        if isinstance(hx, tuple):
            return tuple(RNNBase.permute_hidden(self, part, permutation) for part in hx)
        return super().permute_hidden(hx, permutation)

    def _prepare_states(self, hx, input, batch_sizes, sorted_indices, batched):
        if hx is None:
            hidden = input.new_zeros(self.get_expected_hidden_size(input, batch_sizes))
            return hidden, input.new_zeros(self.get_expected_cell_size(input, batch_sizes))
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise TypeError(f"LSTM: expected hx to be a pair (hidden, cell), got {type(hx).__name__}")
        if batch_sizes is None:
            wanted = 3 if batched else 2
            if hx[0].dim() != wanted or hx[1].dim() != wanted:
                kind = "batched 3-D" if batched else "unbatched 2-D"
                raise RuntimeError(
                    f"For {kind} input, hx and cx should also be {wanted}-D but got "
                    f"({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
                )
            hx = hx if batched else tuple(part.unsqueeze(1) for part in hx)
        self._check_states(input, hx, batch_sizes)
        return self.permute_hidden(tuple(hx), sorted_indices)


class RNNCellBase(Module):
    """What the cells share: the parameters of one step."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(corten.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(corten.empty((rows, hidden_size), device=device, dtype=dtype))
        if bias:
            self.bias_ih = Parameter(corten.empty(rows, device=device, dtype=dtype))
            self.bias_hh = Parameter(corten.empty(rows, device=device, dtype=dtype))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draws all parameters uniformly in ``±1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _check(self, input, states):
        name = self._get_name()
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for index, state in enumerate(states):
            label = f"hx[{index}]" if len(states) == 2 else "hidden"
            if state.dim() not in (1, 2):
                raise ValueError(f"{name}: Expected {label} to be 1D or 2D, got {state.dim()}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}")
        for index, state in enumerate(states):
            if input.dim() == 2 and state.dim() == 2 and state.shape[0] != input.shape[0]:
                raise RuntimeError(
                    f"Input batch size {input.shape[0]} doesn't match hidden{index} batch size {state.shape[0]}"
                )
            if state.shape[-1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{index} has inconsistent hidden_size: got {state.shape[-1]}, expected {self.hidden_size}"
                )

    def _step(self, mode, input, states):
        batched = input.dim() == 2
        if states is not None:
            self._check(input, states)
        else:
            self._check(input, ())
        x = input if batched else input.unsqueeze(0)
        if states is None:
            zeros = x.new_zeros(x.shape[0], self.hidden_size)
            states = (zeros, zeros) if mode == "LSTM" else (zeros,)
        elif not batched:
            states = tuple(state.unsqueeze(0) for state in states)
        weights = {"weight_ih": self.weight_ih, "bias_ih": self.bias_ih, "bias_hh": self.bias_hh}
        result = _advance(mode, _project(mode, x, weights), states, weights, self.weight_hh.t())
        return result if batched else tuple(state.squeeze(0) for state in result)


class RNNCell(RNNCellBase):
    """One step ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`` on ``(N, input_size)`` or ``(input_size,)``."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        """Returns the next state ``(N, hidden_size)``."""
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if self.nonlinearity not in modes:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(modes[self.nonlinearity], input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One LSTM step on ``(N, input_size)`` or ``(input_size,)``."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        """Returns the next pair (hidden, cell), each ``(N, hidden_size)``."""
        return self._step("LSTM", input, None if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One GRU step on ``(N, input_size)`` or ``(input_size,)``."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        """Returns the next state ``(N, hidden_size)``."""
        return self._step("GRU", input, None if hx is None else (hx,))[0]
