"""The networks among the cases of `compare.py`, in training and inference, and what a process costs to begin with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import network_flops as work
import networks
from cpu_cases import WINOGRAD, Case, normal
from network_flops import step_flops
from shared_cases import convolutional, deep, two_layers, update

CLASSES = 10


def cases(scale: str = "full") -> list[Case]:
    tiny = scale == "tiny"
    return [case for part in (training, inference, process) for case in part(tiny)]


def images(m: ModuleType, *shape: int):
    """Images, and a class of each."""
    return normal(m, *shape), m.arange(shape[0]) % CLASSES


def masks(m: ModuleType, *shape: int):
    """Images, and a class of each of their pixels."""
    x = normal(m, *shape)
    return x, (x.mean(1) > 0).long()


def text(m: ModuleType, count: int, length: int, vocabulary: int):
    """Rows of tokens, and what follows each token."""
    tokens = m.randint(0, vocabulary, (count, length + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def cross_entropy(m: ModuleType, scores, wanted):
    """Of scores whose classes are the second dimension, or the last where each token has scores."""
    if wanted.dim() == scores.dim() - 1 == 2:
        scores, wanted = scores.flatten(0, 1), wanted.flatten()
    return m.nn.functional.cross_entropy(scores, wanted)


def saving_cost(flops: Callable[[float], float]) -> tuple[float, float]:
    """The operations, and how many times fewer there are where Winograd's algorithm does the convolutions it can."""
    return flops(1.0), flops(1.0) / flops(WINOGRAD)


def trained(network, optimizer: str, data, shape: tuple[int, ...], settings: dict[str, float], compiled: bool):
    """Builds a step of training; it ends when its loss is read. NotImplementedError where there is no `compile`."""

    def build(m):
        inputs, wanted = data(m, *shape)
        model = network(m)
        updates = getattr(m.optim, optimizer)(model.parameters(), **settings)
        step = update(model, updates, partial(cross_entropy, m))
        if compiled:
            if not hasattr(m, "compile"):
                raise NotImplementedError(f"{m.__name__} has no compile")
            step = m.compile(step)
        return lambda: step(inputs, wanted).item()

    return build


def steps(
    name: str, network, optimizer: str, data, shape: tuple[int, ...], flops: float, saving=1.0, **settings: float
):
    """A step of training as it is, and through `compile`."""
    for compiled in (False, True):
        build = trained(network, optimizer, data, shape, {"lr": 1e-3} | settings, compiled)
        full = f"{name}{', compiled' if compiled else ''}"
        yield Case("training step", full, build, flops, saving=saving, compiled=compiled)


def training(tiny: bool) -> Iterator[Case]:
    return chain(small_training(tiny), image_training(tiny), text_training(tiny))


def small_training(tiny: bool) -> Iterator[Case]:
    width, count = (8, 2) if tiny else (64, 64)
    flops = step_flops(32 * work.linear(784, 128, CLASSES), first=32 * work.linear(784, 128))
    network = partial(two_layers, hidden=128)
    yield from steps("784-128-10, batch 32, Adam", network, "Adam", images, (32, 784), flops)

    flops = step_flops(16 * work.linear(*[width] * 13, CLASSES), first=16 * work.linear(width, width))
    name = "12 layers of 64, LayerNorm, GELU, Dropout, batch 16, AdamW"
    yield from steps(name, partial(deep, depth=12, width=width), "AdamW", images, (16, width), flops)

    def step(saved: float) -> float:
        return count * step_flops(work.small_cnn(28, CLASSES, saved), work.convolution(1, 16, 3, 28 * 28, saved))

    cost = saving_cost(step)
    yield from steps("CNN on 28 x 28, batch 64, Adam", convolutional, "Adam", images, (count, 1, 28, 28), *cost)


def image_training(tiny: bool) -> Iterator[Case]:
    def cost_of(forward, count: int, **sizes):
        """Both networks begin with a convolution of 3x3."""

        def flops(saved):
            first = work.convolution(3, sizes["width"], 3, sizes["side"] ** 2, saved)
            return count * step_flops(forward(**sizes, saved=saved), first)

        return saving_cost(flops)

    count, side, width = (4, 16, 8) if tiny else (16, 32, 64)
    counts = (1, 1) if tiny else (2, 2, 2, 2)
    sizes: dict[str, Any] = {"counts": counts, "width": width, "bottleneck": False, "small": True, "classes": CLASSES}
    cost = cost_of(work.resnet, count, **sizes, side=side)
    name, network = "ResNet-18 on 32 x 32, batch 16, SGD with momentum", partial(networks.resnet, **sizes)
    yield from steps(name, network, "SGD", images, (count, 3, side, side), *cost, lr=0.01, momentum=0.9)

    count, side, width, depth = (2, 16, 4, 2) if tiny else (4, 96, 32, 3)
    sizes = {"width": width, "depth": depth, "classes": 2}
    cost = cost_of(work.unet, count, **sizes, side=side)
    name, network = "U-Net on 96 x 96, batch 4, Adam", partial(networks.unet, **sizes)
    yield from steps(name, network, "Adam", masks, (count, 3, side, side), *cost)


def text_training(tiny: bool) -> Iterator[Case]:
    count, length, vocabulary = (2, 16, 50) if tiny else (8, 128, 8192)
    layers, width, heads = (2, 16, 2) if tiny else (4, 256, 4)
    sizes = {"layers": layers, "width": width, "heads": heads, "vocabulary": vocabulary}
    flops = step_flops(work.gpt(**sizes, count=count, length=length, scored=length))
    name = "GPT of 4 layers of 256, 8192 tokens, length 128, batch 8, AdamW"
    network = partial(networks.gpt, **sizes, length=length)
    yield from steps(name, network, "AdamW", text, (count, length, vocabulary), flops)

    count, length, vocabulary = (4, 8, 20) if tiny else (32, 64, 128)
    sizes = {"layers": 2, "width": width, "vocabulary": vocabulary}
    flops = step_flops(work.lstm(**sizes, count=count, length=length))
    name, network = "LSTM of 2 layers of 256, length 64, batch 32, Adam", partial(networks.lstm, **sizes)
    yield from steps(name, network, "Adam", text, (count, length, vocabulary), flops)


def inferred(network, inputs):
    """Builds `network(m)`, ready to infer, and calls it on `inputs(m)`."""

    def build(m):
        model, x = network(m).eval(), inputs(m)

        def call():
            with m.no_grad():
                return model(x)

        return call

    return build


def after_prompt(network, prompt: int, vocabulary: int):
    """Builds a model and a function that returns the token after a prompt and the keys and values of the prompt."""

    def build(m):
        model, tokens = network(m).eval(), m.randint(0, vocabulary, (1, prompt))

        def call():
            caches: list[list] = [[] for _ in model.blocks]
            with m.no_grad():
                return model.next_token(tokens, caches), caches

        return model, call

    return build


def prefill(network, prompt: int, vocabulary: int):
    return lambda m: after_prompt(network, prompt, vocabulary)(m)[1]


def generated(network, prompt: int, vocabulary: int, count: int):
    """`count` tokens after a prompt, whose keys and values are there, each from the one before."""

    def build(m):
        model, start = after_prompt(network, prompt, vocabulary)(m)
        first, kept = start()

        def call():
            caches, token, tokens = [list(cache) for cache in kept], first, []
            with m.no_grad():
                for k in range(count):
                    token = model.next_token(token, caches, prompt + k)
                    tokens.append(token.item())
            return tokens

        return call

    return build


def inference(tiny: bool) -> Iterator[Case]:
    layers, width, heads, vocabulary, positions = (2, 16, 2, 50, 32) if tiny else (12, 768, 12, 50257, 1024)
    prompt, tokens = (8, 2) if tiny else (64, 8)
    sizes = {"layers": layers, "width": width, "heads": heads}
    gpt = partial(networks.gpt, **sizes, vocabulary=vocabulary, length=positions)
    flops = work.gpt(**sizes, vocabulary=vocabulary, count=1, length=prompt, scored=1)
    yield Case("inference", "GPT-2 small, prompt of 64 tokens", prefill(gpt, prompt, vocabulary), flops)
    # A token reads every weight but the table of positions, of which it reads a row, and the keys and values before it.
    weights = layers * (12 * width + 13) * width + 2 * width + vocabulary * width
    reads = 4 * (weights + work.kept(layers, width, prompt, tokens))
    name = "GPT-2 small, a token after 64 with the cache"
    yield Case("inference", name, generated(gpt, prompt, vocabulary, tokens), reads=reads, operators=tokens)

    counts, side, channels, classes = ((1, 1), 32, 8, 10) if tiny else ((3, 4, 6, 3), 224, 64, 1000)
    shape: dict[str, Any] = {"counts": counts, "width": channels, "bottleneck": True, "small": False}
    resnet = partial(networks.resnet, **shape, classes=classes)
    for batch in (1, 16):
        count = min(batch, 2) if tiny else batch
        build = inferred(resnet, partial(drawn, shape=(count, 3, side, side)))
        image, saving = saving_cost(lambda saved: work.resnet(**shape, classes=classes, side=side, saved=saved))
        yield Case("inference", f"ResNet-50, batch {batch}", build, count * image, saving=saving)

    words, length, positions = (50, 16, 32) if tiny else (30522, 128, 512)
    bert = partial(networks.bert, **sizes, vocabulary=words, length=positions)
    build = inferred(bert, lambda m: m.randint(0, words, (1, length)))
    yield Case("inference", "BERT base, length 128", build, work.bert(**sizes, count=1, length=length))


def drawn(m: ModuleType, shape: tuple[int, ...]):
    return normal(m, *shape)


FIRST_RESULT = "import {0} as m; x = m.ones(8, 8); print(x @ x)"


def process(_tiny: bool) -> Iterator[Case]:
    """A fresh process of Python, with the start of the interpreter, and what lies on the disk."""

    def program(code: str):
        def build(m):
            command = [sys.executable, "-c", code.format(m.__name__)]
            return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        return build

    yield Case("process", "import", program("import {0}"))
    yield Case("process", "import, product of 8 x 8, print", program(FIRST_RESULT))
    yield Case("process", "installed size", lambda m: partial(installed_bytes, m), unit="bytes")


def installed_bytes(m: ModuleType) -> int:
    """Of the files in the package's folder, without what Python compiles and what the package depends on."""
    found = Path(next(iter(m.__path__))).rglob("*")
    return sum(path.stat().st_size for path in found if path.is_file() and path.suffix != ".pyc")
