"""The networks of `corten.models` that make images: adversarial ones, autoencoders, diffusion."""

from __future__ import annotations

import math

import corten as torch
import pytest
from corten import models, nn
from corten.models.diffusion_unet import DiffusionUNet, TextEncoder, step_embedding, with_coordinates

from test_models_vision import gradients_reach_everything


def test_dcgan_has_the_parameters_of_pytorchs_tutorial_at_its_width():
    generator, discriminator = models.dcgan(width=64)
    assert models.count_parameters(generator) == 3_576_704
    assert models.count_parameters(discriminator) == 2_765_568
    assert generator.layers[0].weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("size", [64, 32, 28])
def test_generators_make_images_that_discriminators_take(size, device):
    generator, discriminator = (part.to(device) for part in models.dcgan(16, 1, size, 4))
    images = generator(torch.randn(3, 16, device=device))
    assert images.shape == (3, 1, size, size) and images.abs().max() <= 1
    models.generator_loss(discriminator(images)).backward()
    gradients_reach_everything(generator)
    gradients_reach_everything(discriminator)


def test_generators_refuse_sizes_that_cannot_be_doubled_to():
    with pytest.raises(ValueError, match="size must be a multiple of 2 above 4, got 27"):
        models.Generator(size=27)
    with pytest.raises(ValueError, match="size must be a multiple of 2 above 4, got 27"):
        models.Discriminator(size=27)
    with pytest.raises(ValueError, match="norm must be 'batch', 'layer' or 'spectral', got 'none'"):
        models.Discriminator(norm="none")


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_the_last_features_of_a_discriminator_see_most_of_an_image(norm):
    discriminator = models.Discriminator(1, 28, 4, norm=norm).eval()
    image = torch.randn(1, 1, 28, 28, requires_grad=True)
    features = discriminator.features(image)
    assert features.shape == (1, 16, 3, 3)
    features[0, :, 1, 1].square().sum().backward()
    seen = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert seen.max() - seen.min() + 1 == 22


def test_spectral_normalisation_holds_every_weight_of_a_discriminator_at_norm_1():
    _, discriminator = models.conditional_gan(num_classes=4, latent=8, width=8)
    images, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
    for _ in range(20):
        discriminator(images, labels)
    discriminator.eval()
    layers = [layer for layer in discriminator.modules() if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) == 5
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    together = discriminator(images, labels)
    torch.testing.assert_close(together[:1], discriminator(images[:1], labels[:1]))


@pytest.mark.cpu
def test_a_conditional_gan_is_told_classes():
    generator, discriminator = models.conditional_gan(num_classes=4, latent=8, width=4)
    noise, labels = torch.randn(4, 8), torch.arange(4)
    images = generator(noise, labels)
    assert not torch.equal(images, generator(noise, labels.flip(0)))
    real, swapped = discriminator(images, labels), discriminator(images, labels.flip(0))
    assert real.shape == (4,) and not torch.equal(real, swapped)
    models.discriminator_loss(real, swapped).backward()
    gradients_reach_everything(generator)
    gradients_reach_everything(discriminator)


def test_a_critic_looks_at_each_image_alone():
    images = torch.randn(3, 3, 16, 16)
    critic, discriminator = models.Discriminator(size=16, width=4, norm="layer"), models.Discriminator(size=16, width=4)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))
    assert (discriminator(images)[:1] - discriminator(images[:1])).abs() > 1e-4


def test_adversarial_losses_are_those_of_the_papers():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0])

    def log_sigmoid(x):
        return -math.log(1 + math.exp(-x))

    expected = -(log_sigmoid(2) + log_sigmoid(-1)) / 2 - (log_sigmoid(-0.5) + log_sigmoid(0)) / 2
    assert models.discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-5)
    assert models.generator_loss(fake).item() == pytest.approx(-(log_sigmoid(0.5) + log_sigmoid(0)) / 2, rel=1e-5)
    assert models.critic_loss(real, fake).item() == pytest.approx(0.25 - 0.5)
    hinge = models.discriminator_hinge_loss(torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0]))
    assert hinge.item() == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)


def test_the_gradient_penalty_of_a_linear_critic_is_that_of_its_weights(device):
    weight = torch.full((12,), 0.5, device=device, requires_grad=True)
    real, fake = torch.randn(5, 3, 2, 2, device=device), torch.randn(5, 3, 2, 2, device=device)
    penalty = models.gradient_penalty(lambda images: images.flatten(1) @ weight, real, fake)
    norm = math.sqrt(12 * 0.25)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 2 * (norm - 1) * 0.5 / norm))


@pytest.mark.cpu
def test_the_gradient_penalty_trains_a_critic():
    _, critic = models.wgan_gp(8, 1, 16, 4)
    real, fake = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16)
    loss = models.critic_loss(critic(real), critic(fake)) + 10 * models.gradient_penalty(critic, real, fake)
    loss.backward()
    gradients_reach_everything(critic)


@pytest.mark.parametrize("make", [models.denoising_autoencoder, models.vae, models.vqvae])
def test_an_autoencoder_returns_images_of_the_same_size_and_learns(make, device):
    model = make(width=8).to(device)
    images = torch.rand(6, 1, 28, 28, device=device)
    logits = model(images)
    logits = logits[0] if isinstance(logits, tuple) else logits
    assert logits.shape == images.shape
    model.loss(images).backward()
    gradients_reach_everything(model)
    model.eval()
    assert torch.equal(model.encode(images)[0], model.encode(images)[0])


def test_a_denoising_autoencoder_loses_whole_pixels_in_training_alone():
    model = models.DenoisingAutoencoder(in_channels=3, width=4, size=64, destroyed=0.3)
    corrupted = model.corrupt(torch.ones(8, 3, 64, 64))
    assert (1 - corrupted.mean()).item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(corrupted[:, 0], corrupted[:, 2])
    model.eval()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(model(images), model.decoder(model.encode(images)))
    with pytest.raises(ValueError, match="size must be a multiple of 4, got 30"):
        models.vae(size=30)


@pytest.mark.cpu
def test_the_terms_of_a_vae_are_cross_entropy_and_divergence():
    model = models.vae(latent=3, width=4)
    images = torch.rand(2, 1, 28, 28)
    nn.init.zeros_(model.encoder[-1].weight)
    mean, log_variance = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.0, 1.0, -2.0])
    model.encoder[-1].bias = nn.Parameter(torch.cat([mean, log_variance]))
    nn.init.zeros_(model.decoder[-1].weight)
    nn.init.zeros_(model.decoder[-1].bias)
    reconstruction, divergence = model.terms(images)
    torch.testing.assert_close(reconstruction, torch.full((2,), 784 * math.log(2)))
    normal = torch.distributions.Normal
    exact = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum()
    torch.testing.assert_close(divergence, exact.expand(2))
    heavy = models.beta_vae(beta=4.0, latent=3, width=4)
    heavy.load_state_dict(model.state_dict())
    torch.testing.assert_close(heavy.loss(images) - model.loss(images), 3 * exact, rtol=1e-4, atol=1e-3)
    assert model.sample(5).shape == (5, 1, 28, 28)


def test_a_quantizer_chooses_the_nearest_code_and_lets_gradients_through():
    quantizer = models.VectorQuantizer(codes=5, dim=3).eval()
    maps = torch.randn(2, 3, 4, 4, requires_grad=True)
    chosen, commitment, numbers = quantizer(maps)
    vectors = maps.detach().permute(0, 2, 3, 1).reshape(-1, 3)
    nearest = torch.cdist(vectors, quantizer.codebook).argmin(1)
    assert torch.equal(numbers.flatten(), nearest)
    torch.testing.assert_close(chosen, quantizer.lookup(numbers))
    torch.testing.assert_close(commitment, (maps - chosen).square().mean())
    upstream = torch.randn(2, 3, 4, 4)
    chosen.backward(upstream)
    assert torch.equal(maps.grad, upstream)


@pytest.mark.cpu
def test_codes_follow_their_vectors():
    quantizer = models.VectorQuantizer(codes=2, dim=1, decay=0.5, restart=0.0)
    maps = torch.tensor([0.0, 1.0, 10.0, 11.0]).view(1, 1, 2, 2)
    for _ in range(30):
        numbers = quantizer(maps)[2].flatten()
        if quantizer.codebook.max() > 5 > quantizer.codebook.min():
            break
        quantizer.counts.zero_()  # Both began on one side: begin again.
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    for _ in range(30):
        quantizer(maps)
    torch.testing.assert_close(quantizer.codebook.flatten().sort().values, torch.tensor([0.5, 10.5]))
    torch.testing.assert_close(quantizer.counts, torch.tensor([2.0, 2.0]))
    before = quantizer.codebook.clone()
    quantizer.eval()(maps + 100)
    assert torch.equal(quantizer.codebook, before), "nothing moves outside training"


@pytest.mark.cpu
def test_codes_that_nobody_chooses_are_drawn_anew():
    quantizer = models.VectorQuantizer(codes=8, dim=2, decay=0.5)
    quantizer(torch.randn(1, 2, 8, 8))
    far = torch.randn(1, 2, 8, 8) + 50
    for _ in range(20):
        quantizer(far)
    assert quantizer.codebook.min() > 40


def test_a_vqvae_is_its_codes():
    model = models.vqvae(codes=16, dim=4, width=8).eval()
    images = torch.rand(2, 1, 28, 28)
    numbers = model.encode(images)
    assert numbers.shape == (2, 7, 7)
    torch.testing.assert_close(model.decode(numbers), model(images)[0])


def test_schedules_are_those_of_the_papers():
    linear, cosine = models.Diffusion(schedule="linear"), models.Diffusion(schedule="cosine")
    assert linear.betas[0].item() == pytest.approx(1e-4) and linear.betas[-1].item() == pytest.approx(0.02)
    assert linear.kept[-1].item() == pytest.approx(4.04e-5, rel=0.01)
    angle = (0.5 + 0.008) / 1.008 * math.pi / 2
    assert cosine.kept[499].item() == pytest.approx(
        (math.cos(angle) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2, rel=1e-3
    )
    assert (cosine.kept[1:] < cosine.kept[:-1]).all() and cosine.betas.max() <= 0.999
    with pytest.raises(ValueError, match="schedule must be 'linear' or 'cosine', got 'sine'"):
        models.Diffusion(schedule="sine")


def test_noised_images_keep_unit_variance():
    diffusion = models.Diffusion()
    images, noise = torch.randn(2, 1, 64, 64), torch.randn(2, 1, 64, 64)
    noised = diffusion.noised(images, torch.tensor([0, 999]), noise)
    torch.testing.assert_close(noised[0], images[0], rtol=0, atol=0.05)
    torch.testing.assert_close(noised[1], noise[1], rtol=0, atol=0.05)
    middle = diffusion.noised(images, torch.tensor([300, 600]), noise)
    torch.testing.assert_close(middle.var((1, 2, 3)), torch.ones(2), rtol=0, atol=0.06)


def knows(diffusion, mean, deviation):
    """The best network for images that are normal: its expectation of the noise."""

    def network(x, step, tokens):
        kept = diffusion.kept[step][:, None, None, None]
        return (1 - kept).sqrt() * (x - kept.sqrt() * mean) / (kept * deviation**2 + 1 - kept)

    return network


@pytest.mark.cpu
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "ddim with noise"])
def test_samplers_draw_what_the_network_knows(schedule, sampler):
    diffusion = models.Diffusion(100, schedule)
    network, shape = knows(diffusion, 0.3, 0.5), (64, 1, 8, 8)
    if sampler == "ddpm":
        images = diffusion.ddpm(network, shape, clip=False)
    else:
        options = dict(steps=100, eta=1.0) if sampler.endswith("noise") else dict(steps=50)
        images = diffusion.ddim(network, shape, clip=False, **options)
    assert images.mean().item() == pytest.approx(0.3, abs=0.04)
    assert images.std().item() == pytest.approx(0.5, abs=0.04)


@pytest.mark.cpu
def test_samplers_find_the_one_image_there_is():
    diffusion = models.Diffusion(20)
    image = torch.rand(1, 3, 4, 4) * 2 - 1
    network = knows(diffusion, image, 0.0)
    found = diffusion.ddim(network, (2, 3, 4, 4), steps=5), diffusion.ddpm(network, (2, 3, 4, 4))
    for images in found:
        torch.testing.assert_close(images, image.expand(2, -1, -1, -1), rtol=1e-3, atol=1e-3)


@pytest.mark.cpu
def test_velocities_tell_what_noise_tells():
    diffusion = models.Diffusion(50, prediction="velocity")
    image = torch.rand(1, 3, 4, 4) * 2 - 1

    def told(step):
        kept = diffusion.kept[step][:, None, None, None]
        return kept.sqrt(), (1 - kept).sqrt()

    def velocity(x, step, tokens):
        near, far = told(step)
        return (near * x - image) / far  # as x is near * image + far * noise

    assert diffusion.loss(velocity, image.expand(32, -1, -1, -1)).item() == pytest.approx(0, abs=1e-6)
    step = torch.tensor([4, 4])
    x = torch.randn(2, 3, 4, 4)
    near, far = told(step)
    torch.testing.assert_close(diffusion._noise(velocity, x, 4, None, 1.0), (x - near * image) / far)
    found = diffusion.ddim(velocity, (2, 3, 4, 4), steps=5), diffusion.ddpm(velocity, (2, 3, 4, 4))
    for images in found:
        torch.testing.assert_close(images, image.expand(2, -1, -1, -1), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="prediction must be 'noise' or 'velocity', got 'image'"):
        models.Diffusion(50, prediction="image")


@pytest.mark.cpu
def test_ddim_without_noise_is_a_function_of_its_start():
    diffusion = models.Diffusion(50)
    start = torch.randn(1, 1, 4, 4)
    first, again = (diffusion.ddim(knows(diffusion, 0.0, 1.0), start.shape, steps=10, start=start) for _ in range(2))
    assert torch.equal(first, again)
    with pytest.raises(ValueError, match="steps must be from 1 to 50, got 51"):
        diffusion.ddim(knows(diffusion, 0.0, 1.0), start.shape, steps=51)


def test_guidance_goes_beyond_what_the_text_changes():
    diffusion, seen = models.Diffusion(10), []

    def network(x, step, tokens):
        seen.append(tokens.tolist())
        return tokens[:, :1, None, None] * torch.ones_like(x)

    tokens = torch.tensor([[2], [3]])
    noise = diffusion._noise(network, torch.zeros(2, 1, 1, 1), 4, tokens, 3.0)
    assert seen == [[[0], [0], [2], [3]]], "one call with the empty text and the text"
    assert noise.flatten().tolist() == [6, 9]
    assert diffusion._noise(network, torch.zeros(2, 1, 1, 1), 4, tokens, 1.0).flatten().tolist() == [2, 3]


def test_texts_are_dropped_at_random_in_training():
    diffusion, seen = models.Diffusion(10), []

    def network(x, step, tokens):
        seen.append(tokens)
        return x

    diffusion.loss(network, torch.zeros(4000, 1, 1, 1), torch.ones(4000, 2, dtype=torch.int64), dropped=0.25)
    assert seen[0].dtype == torch.int64 and torch.equal(seen[0][:, 0], seen[0][:, 1])
    assert seen[0].float().mean().item() == pytest.approx(0.75, abs=0.03)


@pytest.mark.cpu
def test_the_network_of_ddpm_has_its_parameters():
    # google/ddpm-cifar10-32, the paper's network.
    assert models.count_parameters(models.ddpm_unet()) == 35_746_307


def test_the_steps_embedding_tells_steps_apart():
    embedded = step_embedding(torch.tensor([0, 1, 999]), 32)
    torch.testing.assert_close(embedded[0], torch.tensor([0.0] * 16 + [1.0] * 16))
    torch.testing.assert_close(embedded[1, [0, 15]], torch.tensor([math.sin(1), math.sin(1e-4)]))


def awake(model):
    """The network with random numbers where it starts from zeros, which let no gradient through."""
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


def test_a_diffusion_network_starts_by_telling_no_noise_and_all_of_it_learns(device):
    model = models.text_to_image_unet(20, width=8, factors=(1, 2, 2), text_width=16, length=6, heads=2).to(device)
    images, step = torch.randn(2, 3, 16, 16, device=device), torch.tensor([3, 90], device=device)
    tokens = torch.tensor([[5, 6, 7], [8, 0, 0]], device=device)
    assert not model(images, step, tokens).any()
    awake(model)
    models.Diffusion(100).to(device).loss(model, images, tokens, dropped=0.0).backward()
    # Attention adds to all scores of a query what the bias of keys adds: its gradient is only rounding.
    gradients_reach_everything(model)


@pytest.mark.cpu
def test_a_diffusion_network_reads_the_text_and_not_what_follows_it():
    model = awake(models.text_to_image_unet(20, width=8, text_width=16, length=6, heads=2)).eval()
    images, step = torch.randn(2, 3, 16, 16), torch.tensor([3, 3])

    def told(*rows):
        with torch.no_grad():
            return model(images, step, torch.tensor(rows))

    short, long = told([5, 6], [7, 0]), told([5, 6, 0, 0], [7, 0, 0, 0])
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)
    assert (short - told([5, 9], [7, 0]))[0].abs().max() > 1e-3
    with torch.no_grad():
        torch.testing.assert_close(model(images, step), told([0, 0], [0, 0]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="7 tokens, at most 6 are allowed"):
        told([1] * 7, [1] * 7)


def test_a_unet_with_coordinates_tells_left_from_right_and_up_from_down(device) -> None:
    seen = with_coordinates(torch.zeros(2, 3, 4, 5))
    assert seen.shape == (2, 5, 4, 5)
    assert seen[1, 3, :, 0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert seen[0, 4, 2].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])

    words = TextEncoder(9, 8, length=4, init_std=1.0)
    assert words.embedding.weight.std() > 0.7 and words.position.std() > 0.7
    network = DiffusionUNet(3, 8, (1, 2), 1, (1,), text_encoder=words, text_width=8, coordinates=True).to(device)
    step, tokens = torch.tensor([1, 2]), torch.tensor([[1, 2], [3, 0]])
    assert network.stem.in_channels == 5
    assert network(torch.randn(2, 3, 8, 8), step, tokens).shape == (2, 3, 8, 8)
