"""Cases that the CPU's and the GPU's benchmarks share: products, convolutions, attention and training steps.

`draw(module, *shape, grad=False)` makes their inputs, on the device that is measured.
"""

from __future__ import annotations

from math import prod


def product_flops(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return 2 * prod(left) * (right[-1] if len(right) > 1 else 1)


def convolution_flops(n, channels, size: tuple[int, ...], out, kernel, stride, groups) -> int:
    """Of the forward pass, by the plain algorithm; the backward pass takes twice as many."""
    return 2 * n * out * prod(-(-side // stride) for side in size) * (channels // groups) * kernel ** len(size)


def attention_flops(shape: tuple[int, ...], causal: bool) -> float:
    """Of the forward pass: a causal mask halves it; a backward pass takes two and a half times as many."""
    n, heads, length, width = shape
    return 4 * n * heads * length**2 * width * (0.5 if causal else 1.0)


def product(draw, left: tuple[int, ...], right: tuple[int, ...]):
    def build(m):
        a, b = draw(m, *left), draw(m, *right)
        return lambda: a @ b

    return build


def convolution(draw, n, channels, size: tuple[int, ...], out, kernel, stride, groups, backward: bool):
    """Images of `size` pixels, or lines, or volumes."""

    def build(m):
        x = draw(m, n, channels, *size, grad=backward)
        w = draw(m, out, channels // groups, *([kernel] * len(size)), grad=backward)
        operator = getattr(m.nn.functional, f"conv{len(size)}d")

        def forward():
            return operator(x, w, stride=stride, padding=kernel // 2, groups=groups)

        if not backward:
            return forward
        y = forward()
        gradient = draw(m, *y.shape)
        return lambda: m.autograd.grad(y, (x, w), gradient, retain_graph=True)

    return build


def attend(draw, shape: tuple[int, ...], causal: bool, backward: bool):
    def build(m):
        q, k, v = (draw(m, *shape, grad=backward) for _ in range(3))
        gradient = draw(m, *shape)

        def forward():
            return m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return (lambda: m.autograd.grad(forward(), (q, k, v), gradient)) if backward else forward

    return build


def two_layers(m, hidden: int):
    nn = m.nn
    return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def deep(m, depth: int, width: int):
    nn = m.nn
    blocks = []
    for _ in range(depth):
        blocks += [nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.1)]
    return nn.Sequential(*blocks, nn.Linear(width, 10))


def convolutional(m):
    nn = m.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def training_step(draw, network, optimizer: str, shape: tuple[int, ...], read):
    """`network(module)` is trained on images of ten classes; a step returns `read(loss)`."""

    def build(m):
        x = draw(m, *shape)
        model = network(m).to(x.device)
        updates = getattr(m.optim, optimizer)(model.parameters(), lr=1e-3)
        step = update(model, updates, m.nn.functional.cross_entropy)
        labels = m.arange(shape[0], device=x.device) % 10
        return lambda: read(step(x, labels))

    return build


def update(model, updates, loss_of):
    """A step of training on inputs and what they should lead to; returns the loss."""

    def step(inputs, wanted):
        loss = loss_of(model(inputs), wanted)
        updates.zero_grad()
        loss.backward()
        updates.step()
        return loss.detach()

    return step
