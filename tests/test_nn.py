"""nn beside formulas in numpy and recorded numbers: seeded parameters, layers, losses, initialisers, utils."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten import nn
from corten.nn import functional as F

RTOL, ATOL = 2e-5, 2e-6

# Sums of the parameters after manual_seed(0), recorded from PyTorch 2.13 on the CPU.
SEEDED = {
    "Linear(3, 2)": [-0.66223, 0.44634],
    "Conv2d(2, 4, 3, groups=2)": [-1.43379, 0.40225],
    "ConvTranspose1d(2, 3, 2)": [-0.28449, -0.82868],
    "Bilinear(2, 3, 2)": [-0.49275, -1.14384],
    "Embedding(5, 3, padding_idx=0)": [-3.03777],
    "EmbeddingBag(6, 2)": [-3.14174],
    "RNN(2, 3)": [-0.66223, -0.91203, 0.59606, -0.43312],
    "LSTM(2, 3, num_layers=2, bidirectional=True)": [
        -0.61869,
        -1.90487,
        0.98179,
        0.85985,
        -1.56065,
        0.42045,
        -2.20514,
        -1.81662,
        -0.36608,
        -1.82091,
        0.40398,
        -0.61733,
        3.59071,
        3.97655,
        -0.0705,
        -1.02649,
    ],
    "GRUCell(2, 3)": [-0.97821, -1.93267, 1.37861, -0.83985],
    "MultiheadAttention(4, 2, add_bias_kv=True)": [-0.1875, 0.0, -1.74513, -0.19852, -1.34483, 0.0],
    "TransformerEncoderLayer(4, 2, 3)": [
        -0.1875,
        0.0,
        -1.34483,
        0.0,
        1.10671,
        0.35845,
        -0.48297,
        -0.41579,
        4.0,
        0.0,
        4.0,
        0.0,
    ],
    "Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.PReLU())": [-0.72834, -0.08273, 2.0, 0.0, 0.25],
}

# First, last and sum of the values after manual_seed(1), recorded from PyTorch 2.13 on the CPU.
INITIALISED = [
    ("uniform_", (3, 4), {"a": -1.0, "b": 2.0}, [1.272895, 0.573998, 6.980936]),
    ("normal_", (3, 4), {"mean": 1.0, "std": 0.5}, [1.330676, 0.970875, 10.655474]),
    ("normal_", (30,), {}, [-1.525596, -1.037339, -4.381989]),
    ("trunc_normal_", (30,), {"std": 0.02, "a": -0.03, "b": 0.03}, [0.014623, -0.020747, -0.167254]),
    ("trunc_normal_", (5,), {"a": 1.0, "b": 2.0}, [1.313797, 1.029282, 6.678036]),
    ("xavier_uniform_", (4, 5, 3), {}, [0.242897, 0.146304, 1.169791]),
    ("xavier_normal_", (4, 5), {}, [-0.719173, 0.809073, 0.018975]),
    ("kaiming_uniform_", (4, 5), {"mode": "fan_out", "nonlinearity": "relu"}, [0.631066, 0.381129, 2.195789]),
    ("kaiming_normal_", (4, 5), {"a": 0.1}, [-0.960083, 1.080098, 0.025332]),
    ("orthogonal_", (4, 6), {}, [-0.608316, 0.79935, -2.090199]),
    ("sparse_", (6, 5), {"sparsity": 0.3}, [0.0, -0.010373, -0.055666]),
]


def normal(*shape):
    return np.asarray(np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape), np.float32)


def tensor(array, grad=False):
    return corten.tensor(array).requires_grad_(grad)


def array(tensor):
    return tensor.detach().cpu().numpy()


def close(result, expected, rtol=RTOL, atol=ATOL):
    np.testing.assert_allclose(array(result), expected, rtol, atol)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def weights_of(module):
    return {name: array(param) for name, param in module.named_parameters()}


@pytest.mark.cpu
@pytest.mark.parametrize("text", SEEDED)
def test_a_seeded_module_starts_from_the_recorded_parameters(text):
    corten.manual_seed(0)
    module = eval(f"nn.{text}")
    sums = [float(array(param).astype(np.float64).sum()) for param in module.parameters()]
    assert sums == pytest.approx(SEEDED[text], abs=2e-5)


@pytest.mark.cpu
@pytest.mark.parametrize("name, shape, options, expected", INITIALISED)
def test_an_initialiser_draws_the_recorded_numbers(name, shape, options, expected):
    corten.manual_seed(1)
    drawn = getattr(nn.init, name)(corten.empty(shape), **options)
    values = array(drawn).astype(np.float64).ravel()
    assert [values[0], values[-1], values.sum()] == pytest.approx(expected, abs=1e-5)


def test_constant_initialisers_fill_without_gradient():
    weight = nn.Parameter(corten.ones(4, 4, 3))
    nn.init.dirac_(weight, groups=2)
    x = normal(2, 4, 5)
    # With two groups of two channels the identity passes each group's channels through.
    close(F.conv1d(tensor(x[:, :2]), weight[:2, :2], padding=1), x[:, :2])
    close(nn.init.eye_(corten.empty(2, 3)), np.eye(2, 3))
    close(nn.init.constant_(corten.empty(3), 2.5), [2.5] * 3)
    close(nn.init.ones_(corten.empty(2)), [1, 1])
    close(nn.init.zeros_(corten.empty(2)), [0, 0])
    assert weight.grad_fn is None and weight.requires_grad


def test_gains_and_fans():
    assert nn.init.calculate_gain("relu") == math.sqrt(2)
    assert nn.init.calculate_gain("tanh") == 5 / 3
    assert nn.init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    assert nn.init._calculate_fan_in_and_fan_out(corten.empty(4, 3, 2, 5)) == (30, 40)
    with pytest.raises(ValueError, match="Unsupported nonlinearity foo"):
        nn.init.calculate_gain("foo")
    with pytest.raises(ValueError, match="Fan in and fan out can not be computed"):
        nn.init.xavier_uniform_(corten.empty(3))
    with pytest.raises(ValueError, match="Mode foo not supported"):
        nn.init.kaiming_normal_(corten.empty(3, 3), mode="foo")
    with pytest.warns(UserWarning, match="zero-element"):
        nn.init.kaiming_uniform_(corten.empty(0, 3))


def test_linear_is_an_affine_map_with_gradients():
    module, x = nn.Linear(4, 3), tensor(normal(2, 5, 4), grad=True)
    weights, upstream = weights_of(module), normal(2, 5, 3)
    output = module(x)
    close(output, array(x) @ weights["weight"].T + weights["bias"])
    (output * tensor(upstream)).sum().backward()
    close(x.grad, upstream @ weights["weight"])
    close(module.weight.grad, np.einsum("bto,bti->oi", upstream, array(x)))
    close(module.bias.grad, upstream.sum((0, 1)))


def convolve(x, weight, bias, stride, padding, dilation):
    """Cross-correlation of ``(N, C, H, W)`` by loops over the kernel."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kernel = weight.shape[2]
    height = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
    width = (x.shape[3] - dilation * (kernel - 1) - 1) // stride + 1
    output = np.zeros((x.shape[0], weight.shape[0], height, width))
    for i in range(kernel):
        for j in range(kernel):
            rows = slice(i * dilation, i * dilation + (height - 1) * stride + 1, stride)
            columns = slice(j * dilation, j * dilation + (width - 1) * stride + 1, stride)
            output += np.einsum("nchw,oc->nohw", x[:, :, rows, columns], weight[:, :, i, j])
    return output + bias[:, None, None]


def test_conv2d_is_a_cross_correlation():
    module, x = nn.Conv2d(3, 4, 3, stride=2, padding=2, dilation=2), normal(2, 3, 9, 8)
    weights = weights_of(module)
    close(module(tensor(x)), convolve(x, weights["weight"], weights["bias"], 2, 2, 2), 1e-4, 1e-5)


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_conv2d_pads_by_its_mode(mode, numpy_mode):
    module, x = nn.Conv2d(2, 3, 3, padding="same", padding_mode=mode), normal(1, 2, 5, 6)
    weights = weights_of(module)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=numpy_mode)
    close(module(tensor(x)), convolve(padded, weights["weight"], weights["bias"], 1, 0, 1), 1e-4, 1e-5)


def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    module = nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, bias=False)
    x = tensor(normal(2, 4, 4, 5))
    output = module(x, output_size=(8, 9))
    assert tuple(output.shape) == (2, 3, 8, 9)
    image = tensor(normal(2, 3, 8, 9), grad=True)
    (F.conv2d(image, module.weight.detach(), stride=2, padding=1) * x).sum().backward()
    close(output, array(image.grad), 1e-4, 1e-5)
    with pytest.raises(ValueError, match=r"requested an output size of \[20, 9\], but valid sizes range"):
        module(x, output_size=[20, 9])


def test_batch_norm_uses_and_tracks_the_statistics():
    module, x = nn.BatchNorm2d(3), normal(4, 3, 2, 5)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    shape = (1, 3, 1, 1)
    close(module(tensor(x)), (x - mean.reshape(shape)) / np.sqrt(var + 1e-5).reshape(shape), 1e-4, 1e-5)
    close(module.running_mean, 0.1 * mean)
    close(module.running_var, 0.9 + 0.1 * x.var((0, 2, 3), ddof=1))
    assert int(module.num_batches_tracked) == 1
    running_mean, running_var = array(module.running_mean), array(module.running_var)
    module.eval()
    expected = (x - running_mean.reshape(shape)) / np.sqrt(running_var + 1e-5).reshape(shape)
    close(module(tensor(x)), expected, 1e-4, 1e-5)
    assert int(module.num_batches_tracked) == 1


def test_a_batch_norm_without_momentum_averages_all_batches():
    module, batches = nn.BatchNorm1d(2, momentum=None), [normal(4, 2), normal(5, 2), normal(6, 2)]
    for batch in batches:
        module(tensor(batch))
    close(module.running_mean, np.mean([batch.mean(0) for batch in batches], 0))


def test_layer_group_instance_and_rms_norm():
    x = normal(2, 4, 5)
    standard = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    close(nn.LayerNorm(5)(tensor(x)), standard, 1e-4, 1e-5)
    close(nn.InstanceNorm1d(4)(tensor(x)), standard, 1e-4, 1e-5)
    groups = x.reshape(2, 2, 10)
    grouped = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    close(nn.GroupNorm(2, 4)(tensor(x)), grouped.reshape(x.shape), 1e-4, 1e-5)
    close(nn.RMSNorm(5, eps=1e-6)(tensor(x)), x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6), 1e-4, 1e-5)


def test_dropout_zeroes_and_scales_in_training_only():
    x = corten.ones(100, 100)
    dropped = array(nn.Dropout(0.25)(x))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((dropped == 0).mean() - 0.25) < 0.03
    close(nn.Dropout(0.25).eval()(x), np.ones((100, 100)))
    channels = array(nn.Dropout2d(0.5)(corten.ones(8, 16, 3, 3))).reshape(128, 9)
    assert (channels == channels[:, :1]).all() and 0 < (channels == 0).mean() < 1
    noise = array(nn.AlphaDropout(0.3)(corten.randn(200, 200)))
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03


def test_embedding_looks_up_and_leaves_the_padding_row_alone():
    module = nn.Embedding(5, 3, padding_idx=1)
    index = corten.tensor([[0, 1], [4, 0]])
    output = module(index)
    close(output, array(module.weight)[array(index)])
    output.sum().backward()
    close(module.weight.grad, np.array([2, 0, 0, 0, 1])[:, None] * np.ones((5, 3)))
    close(module.weight[1], np.zeros(3))
    frozen = nn.Embedding.from_pretrained(corten.eye(3))
    assert not frozen.weight.requires_grad
    close(frozen(corten.tensor(2)), [0, 0, 1])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_reduces_each_bag(mode):
    module = nn.EmbeddingBag(6, 3, mode=mode)
    index, offsets = np.array([1, 2, 4, 5, 4]), np.array([0, 2, 2])
    rows = array(module.weight)
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = [reduce(rows[[1, 2]], 0), np.zeros(3), reduce(rows[[4, 5, 4]], 0)]
    close(module(tensor(index), tensor(offsets)), expected)


def lstm_reference(x, weights, suffix, hidden, cell):
    outputs = []
    for step in x:
        gates = step @ weights["weight_ih" + suffix].T + weights["bias_ih" + suffix]
        gates = gates + hidden @ weights["weight_hh" + suffix].T + weights["bias_hh" + suffix]
        i, f, g, o = np.split(gates, 4, -1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        if "weight_hr" + suffix in weights:
            hidden = hidden @ weights["weight_hr" + suffix].T
        outputs.append(hidden)
    return np.stack(outputs), hidden, cell


@pytest.mark.parametrize("proj_size", [0, 2])
def test_a_deep_bidirectional_lstm_follows_its_equations(proj_size):
    module, x = nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=proj_size), normal(6, 2, 3)
    weights, size = weights_of(module), proj_size or 4
    h0, c0 = normal(4, 2, size), normal(4, 2, 4)
    output, (h, c) = module(tensor(x), (tensor(h0), tensor(c0)))
    layer_input, hiddens, cells = x, [], []
    for layer in range(2):
        forward, h1, c1 = lstm_reference(layer_input, weights, f"_l{layer}", h0[2 * layer], c0[2 * layer])
        backward, h2, c2 = lstm_reference(
            layer_input[::-1], weights, f"_l{layer}_reverse", h0[2 * layer + 1], c0[2 * layer + 1]
        )
        layer_input = np.concatenate([forward, backward[::-1]], -1)
        hiddens += [h1, h2]
        cells += [c1, c2]
    close(output, layer_input, 1e-4, 1e-5)
    close(h, np.stack(hiddens), 1e-4, 1e-5)
    close(c, np.stack(cells), 1e-4, 1e-5)


def test_a_gru_follows_its_equations():
    module, x = nn.GRU(3, 4, batch_first=True), normal(2, 5, 3)
    weights, hidden = weights_of(module), np.zeros((2, 4))
    for t in range(5):
        from_input = x[:, t] @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        from_state = hidden @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        (xr, xz, xn), (hr, hz, hn) = np.split(from_input, 3, -1), np.split(from_state, 3, -1)
        reset, update = sigmoid(xr + hr), sigmoid(xz + hz)
        hidden = (1 - update) * np.tanh(xn + reset * hn) + update * hidden
    output, state = module(tensor(x))
    assert tuple(output.shape) == (2, 5, 4)
    close(output[:, -1], hidden, 1e-4, 1e-5)
    close(state[0], hidden, 1e-4, 1e-5)


@pytest.mark.parametrize("kind, cell", [("RNN", "RNNCell"), ("LSTM", "LSTMCell"), ("GRU", "GRUCell")])
def test_a_network_is_its_cell_in_a_loop_with_equal_gradients(kind, cell):
    network, step = getattr(nn, kind)(3, 4), getattr(nn, cell)(3, 4)
    step.load_state_dict({name.removesuffix("_l0"): value for name, value in network.state_dict().items()})
    x, state, outputs = tensor(normal(5, 2, 3)), None, []
    for row in x:
        state = step(row, state)
        outputs.append(state[0] if kind == "LSTM" else state)
    expected = corten.stack(outputs)
    output, _ = network(x)
    close(output, array(expected))
    (output**2).sum().backward()
    (expected**2).sum().backward()
    for mine, other in zip(network.parameters(), step.parameters()):
        close(mine.grad, array(other.grad), 1e-4, 1e-5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_give_what_each_sequence_gives_alone(kind):
    module = getattr(nn, kind)(3, 4, bidirectional=True)
    sequences = [tensor(normal(length, 3)) for length in (2, 5, 3)]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    output, state = module(packed)
    state = state[0] if kind == "LSTM" else state
    for i, (sequence, part) in enumerate(zip(sequences, nn.utils.rnn.unpack_sequence(output))):
        alone, last = module(sequence)
        close(part, array(alone), 1e-4, 1e-5)
        close(state[:, i], array(last[0] if kind == "LSTM" else last), 1e-4, 1e-5)


@pytest.mark.cpu
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_layers_have_first_and_second_derivatives(kind, bias):
    module = getattr(nn, kind)(2, 2, bias=bias, bidirectional=True, dtype=corten.float64)
    sizes, parts = corten.tensor([2, 2, 1]), 2 if kind == "LSTM" else 1

    def run(data, *given):
        states = given[:parts] if kind == "LSTM" else given[0]
        output, last = module(nn.utils.rnn.PackedSequence(data, sizes), states)
        return output.data, *(last if kind == "LSTM" else (last,))

    leaves = [tensor(normal(5, 2)), *(tensor(normal(k, 2, 2, 2)[0]) for k in range(1, parts + 1))]
    inputs = [leaf.double().requires_grad_() for leaf in leaves] + list(module.parameters())
    assert corten.autograd.gradcheck(run, inputs)
    assert corten.autograd.gradgradcheck(run, inputs)
    # The gradient that has a graph is computed in another way than the one without.
    total = sum((y**2).sum() for y in run(*inputs))
    grads = (corten.autograd.grad(total, inputs, create_graph=graph, retain_graph=True) for graph in (False, True))
    for plain, differentiable in zip(*grads):
        close(differentiable, array(plain), 1e-12, 1e-12)


def test_padding_and_packing_round_trip():
    rnn = nn.utils.rnn
    sequences = [tensor(normal(length, 2)) for length in (4, 2, 2, 1)]
    padded = rnn.pad_sequence(sequences, batch_first=True, padding_value=9.0)
    assert tuple(padded.shape) == (4, 4, 2) and (array(padded[3, 1:]) == 9).all()
    packed = rnn.pack_padded_sequence(padded, [4, 2, 2, 1], batch_first=True)
    assert packed.batch_sizes.tolist() == [4, 3, 1, 1] and packed.sorted_indices is None
    again, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=9.0)
    close(again, array(padded))
    assert lengths.tolist() == [4, 2, 2, 1]
    assert rnn.invert_permutation(corten.tensor([2, 0, 1])).tolist() == [1, 2, 0]
    left = rnn.pad_sequence(sequences[:2], padding_side="left")
    close(left[2:, 1], array(sequences[1]))
    with pytest.raises(RuntimeError, match="must be sorted in decreasing order"):
        rnn.pack_padded_sequence(padded, [1, 2, 3, 4], batch_first=True)
    with pytest.raises(RuntimeError, match="greater than 0"):
        rnn.pack_padded_sequence(padded, [4, 2, 2, 0], batch_first=True)


def test_attention_follows_its_equations():
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    query, key = normal(3, 4, 8), normal(3, 5, 8)
    hidden = np.zeros((3, 5), bool)
    hidden[0, 3:] = hidden[2, 0] = True
    output, attention = module(tensor(query), tensor(key), tensor(key), key_padding_mask=tensor(hidden))
    weights = weights_of(module)
    q_weight, k_weight, v_weight = np.split(weights["in_proj_weight"], 3)

    def heads(x, weight):
        return (x @ weight.T).reshape(3, -1, 2, 4).transpose(0, 2, 1, 3)

    q, k, v = heads(query, q_weight), heads(key, k_weight), heads(key, v_weight)
    scores = np.where(hidden[:, None, None], -np.inf, q @ k.transpose(0, 1, 3, 2) / 2)
    expected = softmax(scores)
    mixed = (expected @ v).transpose(0, 2, 1, 3).reshape(3, 4, 8)
    close(output, mixed @ weights["out_proj.weight"].T + weights["out_proj.bias"], 1e-4, 1e-5)
    close(attention, expected.mean(1), 1e-4, 1e-5)
    fast, nothing = module(tensor(query), tensor(key), tensor(key), key_padding_mask=tensor(hidden), need_weights=False)
    assert nothing is None
    close(fast, array(output), 1e-4, 1e-5)


def test_a_causal_encoder_does_not_look_ahead():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8))
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    x = normal(1, 6, 8)
    changed = x.copy()
    changed[:, 4:] *= -1
    first = array(encoder(tensor(x), mask=mask, is_causal=True))
    second = array(encoder(tensor(changed), mask=mask))
    np.testing.assert_allclose(first[:, :4], second[:, :4], 1e-4, 1e-5)
    assert np.abs(first[:, 4:] - second[:, 4:]).max() > 1e-3


def test_transformer_layers_are_copies_with_parameters_of_their_own():
    model = nn.Transformer(8, 2, 2, 2, 16)
    assert len(list(model.parameters())) == 2 * 12 + 2 * 18 + 4
    output = model(corten.randn(5, 2, 8), corten.randn(4, 2, 8))
    assert tuple(output.shape) == (4, 2, 8)
    output.sum().backward()
    assert all(param.grad is not None for param in model.parameters())
    with pytest.raises(RuntimeError, match="the batch number of src and tgt must be equal"):
        model(corten.randn(5, 2, 8), corten.randn(4, 3, 8))


LOSSES = {
    "L1Loss": lambda x, y: np.abs(x - y),
    "MSELoss": lambda x, y: (x - y) ** 2,
    "SmoothL1Loss": lambda x, y: np.where(np.abs(x - y) < 1, 0.5 * (x - y) ** 2, np.abs(x - y) - 0.5),
    "HuberLoss": lambda x, y: np.where(np.abs(x - y) <= 1, 0.5 * (x - y) ** 2, np.abs(x - y) - 0.5),
    "BCEWithLogitsLoss": lambda x, y: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0) - x * y,
    "PoissonNLLLoss": lambda x, y: np.exp(x) - y * x,
    "SoftMarginLoss": lambda x, y: np.log1p(np.exp(-x * y)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula_reduced(name):
    x, y = normal(4, 3) * 2, normal(3, 4).T.copy()
    losses = LOSSES[name](x.astype(np.float64), y.astype(np.float64))
    close(getattr(nn, name)(reduction="none")(tensor(x), tensor(y)), losses, 1e-4, 1e-5)
    close(getattr(nn, name)()(tensor(x), tensor(y)), losses.mean(), 1e-4, 1e-5)
    close(getattr(nn, name)(reduction="sum")(tensor(x), tensor(y)), losses.sum(), 1e-4, 1e-5)


def test_cross_entropy_weighs_ignores_and_smooths():
    x, y, weight = normal(6, 4), np.array([0, 3, 1, 2, 1, 3]), np.array([0.5, 1.0, 2.0, 0.7], np.float32)
    log_probs = np.log(softmax(x.astype(np.float64)))
    kept = y != 1
    likelihood = -(weight * log_probs)[np.arange(6), y][kept]
    smooth = -(weight * log_probs).sum(1)[kept] / 4
    expected = (0.9 * likelihood.sum() + 0.1 * smooth.sum()) / weight[y][kept].sum()
    loss = nn.CrossEntropyLoss(tensor(weight), ignore_index=1, label_smoothing=0.1)
    close(loss(tensor(x), tensor(y)), expected, 1e-4, 1e-5)
    close(F.nll_loss(F.log_softmax(tensor(x), 1), tensor(y)), -log_probs[np.arange(6), y].mean(), 1e-4, 1e-5)
    one_hot = np.eye(4, dtype=np.float32)[y]
    close(F.cross_entropy(tensor(x), tensor(one_hot)), -log_probs[np.arange(6), y].mean(), 1e-4, 1e-5)
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        F.cross_entropy(tensor(x), corten.tensor([0, 1, 2, 3, 4, 0])).tolist()


def test_margin_losses():
    x, y = normal(3, 4), np.array([2, 0, 3])
    violation = np.maximum(0, 1 - x[np.arange(3), y][:, None] + x)
    violation[np.arange(3), y] = 0
    close(nn.MultiMarginLoss()(tensor(x), tensor(y)), violation.sum(1).mean() / 4)
    near, far = normal(3, 4) + 0.1, normal(4, 4)[:3]
    distances = [np.linalg.norm(x - other + 1e-6, axis=1) for other in (near, far)]
    expected = np.maximum(0, 1 + distances[0] - distances[1]).mean()
    close(nn.TripletMarginLoss()(tensor(x), tensor(near), tensor(far)), expected, 1e-4)
    single = F.multilabel_margin_loss(corten.tensor([0.1, 0.2, 0.4, 0.8]), corten.tensor([3, 0, -1, 1]))
    assert float(single) == pytest.approx(0.85)


def ctc_by_enumeration(log_probs, target, blank=0):
    """Sums the probabilities of all alignments of one sample ``(T, C)``."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in np.ndindex(*[classes] * steps):
        merged = [label for i, label in enumerate(path) if i == 0 or label != path[i - 1]]
        if [label for label in merged if label != blank] == list(target):
            total += math.exp(sum(log_probs[t, label] for t, label in enumerate(path)))
    return -math.log(total) if total else math.inf


def test_ctc_loss_sums_all_alignments():
    x = tensor(normal(5, 3, 3), grad=True)
    log_probs = F.log_softmax(x, 2)
    targets = [[1, 2], [1, 1, 2], [1, 1, 1]]
    padded = corten.tensor([target + [0] * (3 - len(target)) for target in targets])
    losses = F.ctc_loss(log_probs, padded, (5, 5, 4), (2, 3, 3), reduction="none")
    numbers = array(log_probs).astype(np.float64)
    expected = [ctc_by_enumeration(numbers[:t, i], target) for i, (t, target) in enumerate(zip((5, 5, 4), targets))]
    assert expected[2] == math.inf
    close(losses, expected, 1e-4)
    F.ctc_loss(log_probs, padded, (5, 5, 4), (2, 3, 3), zero_infinity=True).backward()
    gradient = array(x.grad)
    assert np.isfinite(gradient).all() and not gradient[:, 2].any() and gradient[:, 0].any()
    with pytest.raises(RuntimeError, match="input_lengths must be of size batch_size"):
        F.ctc_loss(log_probs, padded, (5, 5), (2, 3, 3))


def test_pixel_shuffle_and_its_inverse():
    x = np.arange(2 * 8 * 2 * 3, dtype=np.float32).reshape(2, 8, 2, 3)
    shuffled = array(nn.PixelShuffle(2)(tensor(x)))
    assert shuffled.shape == (2, 2, 4, 6)
    assert shuffled[1, 1, 3, 4] == x[1, 1 * 4 + 1 * 2 + 0, 1, 2]
    close(nn.PixelUnshuffle(2)(tensor(shuffled)), x)
    channels = array(nn.ChannelShuffle(2)(tensor(x)))
    np.testing.assert_array_equal(channels, x[:, [0, 4, 1, 5, 2, 6, 3, 7]])


def test_sampling_with_the_identity_grid_returns_the_image():
    image = normal(1, 2, 4, 5)
    theta = corten.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    for align_corners in (False, True):
        grid = F.affine_grid(theta, (1, 2, 4, 5), align_corners)
        for mode in ("bilinear", "nearest", "bicubic"):
            close(F.grid_sample(tensor(image), grid, mode, "border", align_corners), image, 1e-4, 1e-5)
    shifted = F.affine_grid(corten.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]]), (1, 2, 4, 5), False)
    moved = array(F.grid_sample(tensor(image), shifted, align_corners=False))
    np.testing.assert_allclose(moved[..., :4], image[..., 1:], 1e-4, 1e-5)
    assert not moved[..., 4].any()


def test_max_unpool_puts_the_maxima_back():
    x = tensor(normal(2, 3, 6, 4))
    pooled, indices = nn.MaxPool2d(2, return_indices=True)(x)
    restored = array(nn.MaxUnpool2d(2)(pooled, indices))
    np.testing.assert_array_equal(restored[restored != 0], array(x)[restored != 0])
    assert (restored != 0).sum() == pooled.numel()


def test_adaptive_log_softmax_is_a_distribution():
    module = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], div_value=2.0)
    x, y = corten.randn(5, 8), corten.tensor([0, 11, 4, 3, 7])
    log_probs = array(module.log_prob(x))
    np.testing.assert_allclose(np.exp(log_probs).sum(1), np.ones(5), 1e-5)
    output, loss = module(x, y)
    close(output, log_probs[np.arange(5), array(y)], 1e-4, 1e-5)
    assert loss.item() == pytest.approx(-output.mean().item(), rel=1e-5)
    assert module.predict(x).tolist() == log_probs.argmax(1).tolist()


def test_gradients_are_clipped_to_a_common_norm_or_by_value():
    first, second = nn.Parameter(corten.zeros(3)), nn.Parameter(corten.zeros(2))
    first.grad, second.grad = corten.tensor([3.0, 0.0, 0.0]), corten.tensor([0.0, -4.0])
    assert float(nn.utils.get_total_norm([first.grad, second.grad])) == 5
    assert float(nn.utils.clip_grad_norm_([first, second], 1.0)) == 5
    close(first.grad, [0.6, 0, 0], 1e-5)
    close(second.grad, [0, -0.8], 1e-5)
    assert float(nn.utils.clip_grad_norm_([first, second], 0.4, norm_type=math.inf)) == pytest.approx(0.8, rel=1e-5)
    close(second.grad, [0, -0.4], 1e-5)
    nn.utils.clip_grad_value_(first, 0.1)
    close(first.grad, [0.1, 0, 0])
    second.grad = corten.tensor([math.nan, 0.0])
    with pytest.raises(RuntimeError, match=r"The total norm of order 2.0 for gradients .* is non-finite"):
        nn.utils.clip_grad_norm_([second], 1.0, error_if_nonfinite=True)


def test_parameters_become_a_vector_and_come_back():
    module = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(module.parameters())
    close(vector, np.concatenate([array(module.weight).ravel(), array(module.bias)]))
    nn.utils.vector_to_parameters(corten.arange(8.0), module.parameters())
    close(module.weight, [[0, 1, 2], [3, 4, 5]])
    close(module.bias, [6, 7])
    with pytest.raises(TypeError, match="Tensor, but got"):
        nn.utils.vector_to_parameters([1.0], module.parameters())


def test_weight_and_spectral_norm_compute_the_weight_at_each_call():
    with pytest.warns(FutureWarning):
        module = nn.utils.weight_norm(nn.Linear(4, 3))
    assert [name for name, _ in module.named_parameters()] == ["bias", "weight_g", "weight_v"]
    with corten.no_grad():
        module.weight_g.mul_(2)
    module(corten.ones(4)).sum().backward()
    rows = array(module.weight_v)
    close(module.weight, rows / np.linalg.norm(rows, axis=1, keepdims=True) * array(module.weight_g))
    assert module.weight_g.grad is not None
    nn.utils.remove_weight_norm(module)
    assert isinstance(module.weight, nn.Parameter)

    module = nn.utils.spectral_norm(nn.Linear(4, 3), n_power_iterations=50)
    module(corten.ones(4))
    assert np.linalg.norm(array(module.weight), 2) == pytest.approx(1.0, abs=1e-4)
    nn.utils.remove_spectral_norm(module)
    assert isinstance(module.weight, nn.Parameter)


def test_a_fused_batch_norm_changes_nothing():
    conv, bn = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
    bn(corten.randn(4, 3, 5, 5) * 2 + 1)
    model = nn.Sequential(conv, bn).eval()
    x = tensor(normal(1, 2, 6, 6))
    close(nn.utils.fuse_conv_bn_eval(conv, bn)(x), array(model(x)), 1e-4, 1e-5)


def test_lazy_modules_take_their_sizes_from_the_first_input():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert repr(model[0].weight) == "<UninitializedParameter>"
    assert tuple(model(corten.randn(2, 3, 5, 5)).shape) == (2, 2)
    assert type(model[0]) is nn.Conv2d and type(model[3]) is nn.Linear
    assert model[3].in_features == 36 and isinstance(model[3].weight, nn.Parameter)
    loaded = nn.LazyLinear(2)
    loaded.load_state_dict(nn.Linear(5, 2).state_dict())
    assert tuple(loaded.weight.shape) == (2, 5)
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        nn.LazyLinear(3).weight.shape  # noqa: B018


def test_gumbel_softmax_samples_one_hot_vectors_with_gradients():
    logits = tensor(normal(6, 5), grad=True)
    sample = F.gumbel_softmax(logits, hard=True)
    assert set(np.unique(np.round(array(sample), 5))) == {0, 1}
    (sample * tensor(normal(5))).sum().backward()
    assert array(logits.grad).any()


@pytest.mark.parametrize("dtype", [corten.float16, corten.bfloat16])
def test_a_sum_of_products_in_half_precision_is_rounded_once(dtype):
    """One unit and half a unit in the last place: rounding the product first would lose it."""
    last = {corten.float16: 2**-10, corten.bfloat16: 2**-7}[dtype]
    a = corten.tensor([[1.0, last / 2]]).to(dtype)
    b = corten.tensor([[1.0], [1.0]]).to(dtype)
    c = corten.tensor([[last / 2]]).to(dtype)
    assert corten.addmm(c, a, b).item() == 1 + last
    assert corten.baddbmm(c[None], a[None], b[None]).item() == 1 + last
    assert corten.addbmm(c, a[None], b[None]).item() == 1 + last


def test_the_seed_reaches_attentions_dropout() -> None:
    """The default generator serves dropout inside attention as it does everywhere else."""
    q = corten.randn(1, 2, 8, 4)

    def attend(seed: int) -> list:
        corten.manual_seed(seed)
        return corten.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5).tolist()

    assert attend(1) == attend(1)
    assert attend(1) != attend(2)
