"""Losses, sampling and recurrent layers under the names and with the arguments that `torch` itself has for them.

Here a reduction, a mode of sampling and one of padding are numbers: 0 none, 1 mean, 2 sum; 0 bilinear, 1 nearest, 2
bicubic; 0 zeros, 1 border, 2 reflection. A reduction that is not given is 0, as it is there.
"""

import corten

from ..._composites._arguments import handed_over
from ..modules import rnn as _rnn
from . import ctc, embedding, grid_sample, loss, ranking, vision

_REDUCTIONS = ("none", "mean", "sum")
_BAG_MODES = ("sum", "mean", "max")
_SAMPLING_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


def _named(name, argument, names, code):
    if not 0 <= code < len(names):
        raise ValueError(f"{name}: {argument} must be a number from 0 to {len(names) - 1}, got {code}")
    return names[code]


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=0, zero_infinity=False):
    """As :func:`corten.nn.functional.ctc_loss`."""
    reduction = _named("ctc_loss", "reduction", _REDUCTIONS, reduction)
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction=0):
    """As :func:`corten.nn.functional.cosine_embedding_loss`."""
    reduction = _named("cosine_embedding_loss", "reduction", _REDUCTIONS, reduction)
    return ranking.cosine_embedding_loss(input1, input2, target, margin, reduction=reduction)


def hinge_embedding_loss(input, target, margin=1.0, reduction=0):
    """As :func:`corten.nn.functional.hinge_embedding_loss`."""
    reduction = _named("hinge_embedding_loss", "reduction", _REDUCTIONS, reduction)
    return ranking.hinge_embedding_loss(input, target, margin, reduction=reduction)


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction=0):
    """As :func:`corten.nn.functional.margin_ranking_loss`."""
    reduction = _named("margin_ranking_loss", "reduction", _REDUCTIONS, reduction)
    return ranking.margin_ranking_loss(input1, input2, target, margin, reduction=reduction)


def poisson_nll_loss(input, target, log_input, full, eps, reduction):
    """As :func:`corten.nn.functional.poisson_nll_loss`."""
    reduction = _named("poisson_nll_loss", "reduction", _REDUCTIONS, reduction)
    return loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=reduction)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction=0):
    """As :func:`corten.nn.functional.triplet_margin_loss`."""
    reduction = _named("triplet_margin_loss", "reduction", _REDUCTIONS, reduction)
    return ranking.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=reduction)


def affine_grid_generator(theta, size, align_corners):
    """As :func:`corten.nn.functional.affine_grid`."""
    return vision.affine_grid(theta, size, align_corners)


def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """As :func:`corten.nn.functional.grid_sample`, for images ``(N, C, H, W)`` and volumes ``(N, C, D, H, W)``."""
    mode = _named("grid_sampler", "interpolation_mode", _SAMPLING_MODES, interpolation_mode)
    padding = _named("grid_sampler", "padding_mode", _PADDING_MODES, padding_mode)
    return grid_sample.grid_sample(input, grid, mode, padding, align_corners)


def _check_rank(name, input, rank):
    if input.dim() != rank:
        raise RuntimeError(f"{name}: expected {rank}D input, got {input.dim()}D")


def grid_sampler_2d(input, grid, interpolation_mode, padding_mode, align_corners):
    """As :func:`grid_sampler`, for images."""
    _check_rank("grid_sampler_2d", input, 4)
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(input, grid, interpolation_mode, padding_mode, align_corners):
    """As :func:`grid_sampler`, for volumes."""
    _check_rank("grid_sampler_3d", input, 5)
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def embedding_bag(
    weight,
    indices,
    offsets,
    scale_grad_by_freq=False,
    mode=0,
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """As :func:`corten.nn.functional.embedding_bag`, with ``mode`` 0 for sums, 1 for means, 2 for maxima.

    Returns:
        The bags ``(B, D)``; for each index the number of its bag; how many indices each bag has; and for maxima the
        index from which each element comes, otherwise the size of each bag again. Indices that are ``padding_idx`` do
        not count.
    """
    name = _named("embedding_bag", "mode", _BAG_MODES, mode)
    bags = embedding.embedding_bag(
        indices,
        weight,
        offsets,
        scale_grad_by_freq=scale_grad_by_freq,
        mode=name,
        sparse=sparse,
        per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
        padding_idx=padding_idx,
    )
    with corten.no_grad():
        place, count = embedding._bag_of_position(offsets, indices.shape[0], include_last_offset)
        kept = corten.ones_like(indices) if padding_idx is None else (indices != padding_idx % weight.shape[0]).long()
        sizes = indices.new_zeros(count).index_add(0, place.long(), kept.to(indices.dtype))
        if name != "max":
            return bags, place, sizes, sizes.clone()
        # The first position of the bag whose row holds the maximum.
        rows = weight[indices.long()] == bags[place.long()]
        rows = rows & kept.bool().unsqueeze(1)
        positions = corten.arange(len(indices), device=indices.device).unsqueeze(1).expand_as(rows)
        index = place.long().unsqueeze(1).expand_as(rows)
        unfound = positions.new_full(bags.shape, len(indices))
        first = unfound.scatter_reduce(0, index, corten.where(rows, positions, len(indices)), "amin")
        chosen = corten.cat([indices.long(), indices.new_zeros(1).long()])[first]
    return bags, place, sizes, chosen.to(indices.dtype)


def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """A convolution of one to three dims, or its transposition; the lists have a number for each dim."""
    rank = weight.dim() - 2
    if rank not in (1, 2, 3):
        raise RuntimeError(f"convolution: expected a weight of 3 to 5 dims, got {weight.dim()}")
    if transposed:
        function = (corten.conv_transpose1d, corten.conv_transpose2d, corten.conv_transpose3d)[rank - 1]
        return function(input, weight, bias, stride, padding, output_padding, groups, dilation)
    function = (corten.conv1d, corten.conv2d, corten.conv3d)[rank - 1]
    return function(input, weight, bias, stride, padding, dilation, groups)


def norm_except_dim(v, pow=2, dim=0):
    """The norms of the slices along ``dim``, shaped to broadcast; with ``dim=-1`` one norm of all."""
    if dim == -1:
        return v.norm(pow)
    others = [d for d in range(v.dim()) if d != dim]
    return v.norm(pow, others, keepdim=True)


def _layer_weights(params, has_biases, layers, per_layer):
    """The parameters, in the order in which PyTorch lists them, by name for each layer and direction."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if has_biases else ("weight_ih", "weight_hh")
    if len(params) == layers * (len(names) + 1):
        names = (*names, "weight_hr")
    if len(params) != layers * len(names):
        raise RuntimeError(f"{per_layer}: expected {layers * len(names)} parameters, got {len(params)}")
    chunks = [params[i : i + len(names)] for i in range(0, len(params), len(names))]
    return [dict(zip(names, chunk, strict=True)) for chunk in chunks]


def _run_stack(mode, input, sizes, states, params, options):
    """All layers over ``(T, N, *)`` or packed rows; returns the outputs and the last states, stacked."""
    has_biases, num_layers, dropout, train, bidirectional = options
    directions = 2 if bidirectional else 1
    weights = _layer_weights(params, has_biases, num_layers * directions, mode.lower())
    x, lasts = input, []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            state = tuple(part[index] for part in states)
            run = (_rnn._run_padded, mode, x) if sizes is None else (_rnn._run_packed, mode, x, sizes)
            output, last = run[0](*run[1:], state, weights[index], direction == 1)
            outputs.append(output)
            lasts.append(last)
        x = outputs[0] if directions == 1 else corten.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            x = corten.dropout(x, dropout, True)
    return x, tuple(corten.stack(parts) for parts in zip(*lasts, strict=True))


_LAYERS_DOC = """
Args:
    input or data: ``(T, N, *)``, ``(N, T, *)`` with ``batch_first``, or packed rows.
    batch_sizes: for packed rows only, after ``data``: the number of sequences that run at each step.
    hx: the initial state, or the pair of states of an LSTM, each ``(layers * directions, N, H)``.
    params: the weights and biases of each layer and direction in turn.
    has_biases, num_layers, dropout, train, bidirectional: the shape of the network.
    batch_first: not for packed rows.

Returns:
    The outputs, and the last states.
"""


def _layers(mode, name):
    def function(*args, **kwargs):
        packed = (len(args) > 3 and isinstance(args[3], (list, tuple))) or "batch_sizes" in kwargs
        names = "data batch_sizes hx params" if packed else "input hx params"
        options = ["has_biases", "num_layers", "dropout", "train", "bidirectional"]
        expected = [*names.split(), *options, *([] if packed else ["batch_first"])]
        given = dict(zip(expected, args)) | kwargs
        if len(args) > len(expected) or sorted(given) != sorted(expected):
            raise TypeError(f"{name}() takes ({', '.join(expected)})")
        x, states = given[expected[0]], given["hx"]
        states = tuple(states) if isinstance(states, (tuple, list)) else (states,)
        sizes = given["batch_sizes"].tolist() if packed else None
        swap = not packed and given["batch_first"]
        x = x.transpose(0, 1) if swap else x
        output, last = _run_stack(mode, x, sizes, states, list(given["params"]), [given[key] for key in options])
        return output.transpose(0, 1) if swap else output, *last

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"All layers of {mode.replace('_', ' with ')} over a sequence or packed rows.\n\n{_LAYERS_DOC}"
    return function


lstm = _layers("LSTM", "lstm")
gru = _layers("GRU", "gru")
rnn_tanh = _layers("RNN_TANH", "rnn_tanh")
rnn_relu = _layers("RNN_RELU", "rnn_relu")


def _cell(mode, name):
    def function(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        if input.shape[-1] != w_ih.shape[1]:
            raise RuntimeError(
                f"{name}: input has inconsistent input_size: got {input.shape[-1]} expected {w_ih.shape[1]}"
            )
        if states[0].shape[-1] != w_hh.shape[1]:
            raise RuntimeError(
                f"{name}: hidden0 has inconsistent hidden_size: got {states[0].shape[-1]}, expected {w_hh.shape[1]}"
            )
        weights = {"weight_ih": w_ih, "bias_ih": b_ih, "bias_hh": b_hh}
        new = _rnn._advance(mode, _rnn._project(mode, input, weights), states, weights, w_hh.t())
        return new if mode == "LSTM" else new[0]

    function.__name__ = function.__qualname__ = name
    pair = "pair (hidden, cell)" if mode == "LSTM" else "state"
    function.__doc__ = f"One step of {mode.replace('_', ' with ')} on ``(N, input_size)``; returns the next {pair}."
    return function


lstm_cell = _cell("LSTM", "lstm_cell")
gru_cell = _cell("GRU", "gru_cell")
rnn_tanh_cell = _cell("RNN_TANH", "rnn_tanh_cell")
rnn_relu_cell = _cell("RNN_RELU", "rnn_relu_cell")

# None of these asks about its arguments.
for _name, _function in list(globals().items()):
    if getattr(_function, "__module__", None) == __name__ and not _name.startswith("_"):
        globals()[_name] = handed_over(_function)
