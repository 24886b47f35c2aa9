"""The breakthrough of 2012: a step of AlexNet at its own size is timed, and a scaled AlexNet learns Fashion-MNIST.

AlexNet has 61 million weights and reads colour images of 227 × 227 pixels. Its 90 passes over 1.2 million of them took
the authors five to six days on two GPUs. The program takes training steps as theirs were (batches of 128, momentum 0.9,
weight decay 0.0005) on images of Fashion-MNIST that are enlarged to that size, and tells how long one takes and how
long the 90 passes would.

What is trained to the end is its plan for images of 28 × 28: five convolutions, poolings that overlap, three linear
layers with dropout, mirrored images. Its accuracy is that after the last epoch on the 10,000 test images, which
training never sees. The picture shows the filters of the first layer, as the paper does.
"""

from __future__ import annotations

import time

import corten
import corten.nn.functional as F
from corten import models, nn
from corten.training import Batches
from corten.vision.utils import save_image

from common import (
    accuracy,
    arguments,
    draw_history,
    draw_samples,
    parse,
    predict,
    print_result,
    sized,
    total_steps,
    train,
)
from datasets import fashion_mnist
from fashion_mnist import flipped, normalised, tensors

TARGET = 0.91
EDGE = 227
IMAGES, PASSES = 1_281_167, 90  # of ImageNet in 2012, and the paper's passes over them


def room_for(model: nn.Module, device: corten.device) -> corten.device:
    """The device, or the CPU where the device's shaders cannot see the largest of the weights as a whole.

    The first linear layer has 151 MB of them. Some devices, software ones among them, promise 128 MiB, most 2 GiB.
    """
    largest = max(weight.nbytes for weight in model.parameters())
    if device.type == "gpu" and largest > corten.gpu.get_device_properties(device).max_storage_buffer_binding_size:
        print(f"{device} has no room for a weight of {largest:,} bytes: the full size is timed on the CPU")
        return corten.device("cpu")
    return device


def time_full_size(images: corten.Tensor, labels: corten.Tensor, steps: int) -> None:
    """Times steps of the network of 2012 on a batch of bytes `(N, 1, 28, 28)`, and says what the fastest took."""
    model = models.alexnet2012()
    device = room_for(model, images.device)
    model, images, labels = model.to(device), images.to(device), labels.to(device)
    enlarged = F.interpolate(normalised(images), EDGE, mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
    optimizer = corten.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(enlarged), labels)
        loss.backward()
        optimizer.step()
        value = loss.item()
        if device.type == "gpu":
            corten.gpu.synchronize()  # nobody has asked for the new weights yet
        seconds.append(time.perf_counter() - begin)
    days = min(seconds) / len(images) * IMAGES * PASSES / 86400
    print(
        f"AlexNet at {EDGE} × {EDGE} on {device}: a training step of {len(images)} images takes {min(seconds):.2f} s, "
        f"{len(images) / min(seconds):.1f} images/s, loss {value:.3f}; {PASSES} passes over ImageNet would take "
        f"{days:.0f} days"
    )


def draw_filters(path, model) -> None:
    """Draws the filters of the first convolution, each with a scale of its own."""
    filters = model.features[0].weight.detach().cpu()
    enlarged = F.interpolate(filters, scale_factor=20, mode="nearest")
    save_image(enlarged, path, normalize=True, scale_each=True, pad_value=1.0)
    print("wrote", path)


def main() -> None:
    args = parse(arguments(__doc__, epochs=12, quick_epochs=1, out="alexnet"))
    test = fashion_mnist(train=False)
    images, labels = tensors(test if args.smoke else fashion_mnist(), args)
    count = sized(args, 128, 32, 1)
    time_full_size(images[:count], labels[:count], sized(args, 3, 2, 1))

    batches = Batches(
        images,
        labels,
        batch_size=sized(args, 128, 128, 16),
        drop_last=True,
        transform=lambda images, labels: (flipped(normalised(images)), labels),
    )
    held_out = Batches(
        *tensors(test, args),
        batch_size=1000,
        shuffle=False,
        transform=lambda images, labels: (normalised(images), labels),
    )
    model = models.alexnet28().to(args.device)
    optimizer = corten.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=total_steps(args, len(batches)), pct_start=0.25
    )
    history = train(
        args,
        model,
        batches,
        F.cross_entropy,
        optimizer,
        step_scheduler=schedule,
        validation=held_out,
        metrics={"accuracy": accuracy},
    )

    draw_history(args.out / "curves.png", history)
    shown = sized(args, 32, 32, 4)
    examples = test.data[:shown].unsqueeze(1)
    guesses = predict(model, examples, prepare=normalised).argmax(1).tolist()
    names = [test.classes[label] for label in test.targets[:shown].tolist()]
    draw_samples(args.out / "predictions.png", examples, [test.classes[guess] for guess in guesses], names)
    draw_filters(args.out / "filters.png", model)
    print_result("alexnet", "accuracy", history["val_accuracy"][-1], TARGET)


if __name__ == "__main__":
    main()
