"""Four autoencoders of Fashion-MNIST: denoising, variational, β-VAE with codes one by one, VQ-VAE with a codebook.

All four learn side by side from the 60,000 training images, as numbers from 0 to 1, without a label. What is measured
is of the 10,000 test images:

* the VAE's negative evidence lower bound, in nats an image: what the pixels cost when each is a Bernoulli variable,
  plus the divergence of the codes from the normal distribution, with one draw of the code for each image;
* how much the denoising autoencoder's codes say about the classes that it was never told: a linear probe, which is
  logistic regression on the codes of the training images.

The pictures show what each network makes of test images, of which the denoising one gets a third of the pixels blacked
out; images that the VAE draws out of nothing; and what each number of the β-VAE's code does to a shirt.
"""

from __future__ import annotations

import corten
import corten.nn.functional as F
from corten import models, nn
from corten.training import Batches

from common import accuracy, arguments, draw_curves, draw_images, parse, print_result, sized, total_steps, train
from datasets import fashion_mnist

BOUND_TARGET, PROBE_TARGET = 245, 0.80


def networks(args) -> nn.ModuleDict:
    """The four networks, which have nothing in common but the batches."""
    width = sized(args, 32, 32, 4)
    return nn.ModuleDict(
        {
            "denoising": models.denoising_autoencoder(width=width),
            "vae": models.vae(width=width),
            "beta_vae": models.beta_vae(width=width),
            "vqvae": models.vqvae(width=width),
        }
    )


def pixels(images: corten.Tensor) -> corten.Tensor:
    """Bytes as numbers from 0 to 1."""
    return images.float() / 255


def losses(model: nn.ModuleDict, batch) -> dict[str, corten.Tensor]:
    """What each network says of a batch, and the sum, whose gradients do not mix as no weight is shared."""
    (images,) = batch
    parts = {name: network.loss(images) for name, network in model.items()}
    return {"loss": sum(parts.values()), **{name: part.detach() for name, part in parts.items()}}


def codes(network: nn.Module, images: corten.Tensor) -> corten.Tensor:
    """The codes of images of bytes, on the CPU; the VAE's are the means of theirs."""
    network.eval()
    with corten.no_grad():
        parts = [network.encode(pixels(part)) for part in images.split(500)]
    return corten.cat([part[0] if isinstance(part, tuple) else part for part in parts]).cpu()


def bound(vae: nn.Module, images: corten.Tensor) -> dict[str, float]:
    """The negative evidence lower bound of images of bytes in nats, and the share of it that is divergence."""
    vae.eval()
    with corten.no_grad():
        terms = [vae.terms(pixels(part)) for part in images.split(500)]
    divergence = corten.cat([part for _, part in terms]).mean().item()
    return {"bound": corten.cat([part for part, _ in terms]).mean().item() + divergence, "divergence": divergence}


def probe(network: nn.Module, data, test, steps: int) -> float:
    """The accuracy on test codes of a logistic regression that is fitted to the codes of the training images."""
    (inputs, labels), (others, answers) = ((codes(network, images), labels) for images, labels in (data, test))
    mean, std = inputs.mean(0), inputs.std(0) + 1e-6
    inputs, others = (inputs - mean) / std, (others - mean) / std
    linear = nn.Linear(inputs.shape[1], 10)
    optimizer = corten.optim.LBFGS(linear.parameters(), lr=1, max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(inputs), labels) + 1e-4 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with corten.no_grad():
        return accuracy(linear(others), answers).item()


def draw_reconstructions(path, model: nn.ModuleDict, images: corten.Tensor) -> None:
    """Draws images, what the denoising autoencoder gets of them, and what each network makes of them, row by row."""
    model.eval()
    images = pixels(images)
    with corten.no_grad():
        damaged = model["denoising"].corrupt(images)
        rows = [images, damaged, model["denoising"](damaged).sigmoid()]
        rows += [model[name](images)[0].sigmoid() for name in ("vae", "beta_vae", "vqvae")]
    titles = ["test image", "damaged", "repaired", "VAE", "β-VAE", "VQ-VAE"]
    names = [title if column == 0 else "" for title in titles for column in range(len(images))]
    draw_images(path, corten.cat(rows), names, columns=len(images))


def draw_traversals(path, vae: nn.Module, image: corten.Tensor, count: int) -> None:
    """Draws an image while one number of its code goes from -2 to 2, a row for each of the numbers that say most."""
    vae.eval()
    with corten.no_grad():
        mean, log_variance = vae.encode(pixels(image))
        # A number that says nothing of the image is as wide as the prior, which has variance 1.
        chosen = log_variance[0].argsort()[:count]
        codes = mean.repeat(count, 7, 1)
        codes[corten.arange(count), :, chosen] = corten.linspace(-2, 2, 7, device=mean.device)
        drawn = vae.decoder(codes.flatten(0, 1)).sigmoid()
    titles = [f"number {number}" if column == 0 else "" for number in chosen.tolist() for column in range(7)]
    draw_images(path, drawn, titles, columns=7)


def codes_used(vqvae: nn.Module, images: corten.Tensor) -> float:
    """The perplexity of the codes of images of bytes: how many of the codebook are in use."""
    numbers = codes(vqvae, images)
    shares = numbers.flatten().bincount().float() / numbers.numel()
    return (-(shares * shares.clamp(min=1e-12).log()).sum()).exp().item()


def draw_training(path, history) -> None:
    """Draws the losses of the four networks and the bound of test images."""
    bounds = {"-ELBO": history["val_bound"], "of which divergence": history["val_divergence"]}
    pixelwise = {name: history[name] for name in ("denoising", "vae", "beta_vae")}
    draw_curves(
        path,
        {"loss, nats": pixelwise, "VQ-VAE's loss, nats a pixel": {"vqvae": history["vqvae"]}, "test, nats": bounds},
    )


def main() -> None:
    args = parse(arguments(__doc__, epochs=10, quick_epochs=1, out="autoencoders"))
    test = fashion_mnist(train=False)
    data = test if args.smoke else fashion_mnist()
    size, held_out = sized(args, 60_000, 15_000, 32), sized(args, 10_000, 2000, 32)
    images, labels = data.data[:size].unsqueeze(1).to(args.device), data.targets[:size]
    unseen, answers = test.data[-held_out:].unsqueeze(1).to(args.device), test.targets[-held_out:]
    batches = Batches(
        images, batch_size=sized(args, 128, 128, 16), drop_last=True, transform=lambda images: (pixels(images),)
    )

    model = networks(args).to(args.device)
    optimizer = corten.optim.Adam(model.parameters(), lr=2e-3)
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=total_steps(args, len(batches)), pct_start=0.1
    )
    history = train(
        args,
        model,
        batches,
        optimizer=optimizer,
        step=lambda batch: losses(model, batch),
        step_scheduler=schedule,
        validation=lambda model: bound(model["vae"], unseen),
    )

    draw_training(args.out / "curves.png", history)
    shown = sized(args, 8, 8, 2)
    draw_reconstructions(args.out / "reconstructions.png", model, unseen[:shown])
    with corten.no_grad():
        draw_images(args.out / "samples.png", model["vae"].sample(sized(args, 32, 32, 2)))
    draw_traversals(args.out / "traversals.png", model["beta_vae"], unseen[:1], sized(args, 6, 6, 1))
    print(f"the VQ-VAE uses codes of perplexity {codes_used(model['vqvae'], unseen):.0f}")
    accuracies = {}
    for name in ("vae", "denoising"):
        accuracies[name] = probe(model[name], (images, labels), (unseen, answers), sized(args, 100, 100, 2))
        print(f"linear probe of the codes of {name}: {accuracies[name]:.4f}")
    print_result("autoencoders", "negative_elbo_nats", bound(model["vae"], unseen)["bound"], BOUND_TARGET)
    print_result("autoencoders", "linear_probe_accuracy", accuracies["denoising"], PROBE_TARGET)


if __name__ == "__main__":
    main()
