"""Packages whose documentation is an example or two: averages, optimizers, attention, metrics, equations."""

import torch
from torch import nn


def learn(model, optimizer, steps=5):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(steps):
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_torch_ema():
    from torch_ema import ExponentialMovingAverage

    layer = nn.Linear(4, 1)
    average = ExponentialMovingAverage(layer.parameters(), decay=0.9)
    learn(layer, torch.optim.SGD(layer.parameters(), 0.1))
    average.update()
    average.load_state_dict(average.state_dict())
    with average.average_parameters():
        assert layer.weight.isfinite().all()


def test_ema_pytorch():
    from ema_pytorch import EMA

    layer = nn.Linear(4, 1)
    average = EMA(layer, beta=0.9, update_after_step=0, update_every=1)
    learn(layer, torch.optim.SGD(layer.parameters(), 0.1))
    average.update()
    assert average(torch.ones(1, 4)).shape == (1, 1)


def test_lion_pytorch():
    from lion_pytorch import Lion

    layer = nn.Linear(4, 1)
    losses = learn(layer, Lion(layer.parameters(), lr=0.01))
    assert losses[-1] < losses[0]


def test_rotary_embedding_torch():
    from rotary_embedding_torch import RotaryEmbedding

    turned = RotaryEmbedding(dim=8).rotate_queries_or_keys(torch.ones(1, 2, 5, 16))
    assert turned.shape == (1, 2, 5, 16) and turned[0, 0, 0].tolist() == [1.0] * 16


def test_vector_quantize_pytorch():
    from vector_quantize_pytorch import FSQ, ResidualVQ, VectorQuantize

    x = torch.randn(1, 32, 16)
    for quantizer in (VectorQuantize(dim=16, codebook_size=8), ResidualVQ(dim=16, num_quantizers=2, codebook_size=8)):
        quantized, indices, _ = quantizer(x)
        assert quantized.shape == x.shape and indices.shape[:2] == (1, 32)
    assert FSQ([4, 4])(torch.randn(1, 5, 2))[0].shape == (1, 5, 2)


def test_x_transformers():
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=4, rotary_pos_emb=True, attn_flash=True)
    model = AutoregressiveWrapper(TransformerWrapper(num_tokens=20, max_seq_len=16, attn_layers=layers))
    model(torch.randint(0, 20, (2, 10))).backward()
    assert model.generate(torch.ones(1, 2, dtype=torch.long), 4).shape == (1, 4)


def test_vit_pytorch():
    from vit_pytorch import SimpleViT, ViT

    for kind, options in ((ViT, dict(dropout=0.1, emb_dropout=0.1)), (SimpleViT, {})):
        model = kind(image_size=16, patch_size=8, num_classes=3, dim=16, depth=2, heads=2, mlp_dim=32, **options)
        model(torch.rand(2, 3, 16, 16)).sum().backward()


def test_linear_attention():
    from linear_attention_transformer import LinearAttentionTransformerLM
    from performer_pytorch import PerformerLM

    tokens = torch.randint(0, 20, (1, 16))
    options = dict(num_tokens=20, dim=16, depth=1, heads=2, max_seq_len=16, causal=True)
    for kind in (PerformerLM, LinearAttentionTransformerLM):
        kind(**options)(tokens).sum().backward()


def test_pytorch_msssim():
    from pytorch_msssim import ms_ssim, ssim

    x = torch.rand(1, 3, 176, 176)
    assert ssim(x, x, data_range=1).item() == 1 and ms_ssim(x, x, data_range=1).item() == 1


def test_torchinfo_and_torchsummary(capsys):
    import torchinfo
    import torchsummary

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert torchinfo.summary(model, (1, 3, 8, 8), verbose=0).total_params == 402
    torchsummary.summary(model, (3, 8, 8), device="cpu")
    assert "402" in capsys.readouterr().out


def test_captum():
    from captum.attr import IntegratedGradients, Occlusion, Saliency

    layer, x = nn.Linear(4, 1), torch.randn(2, 4)
    given, delta = IntegratedGradients(layer).attribute(x, target=0, return_convergence_delta=True)
    torch.testing.assert_close(given, x * layer.weight)
    assert delta.abs().max() < 1e-4 and Saliency(layer).attribute(x, target=0).shape == x.shape
    assert Occlusion(layer).attribute(x, (1,), target=0).shape == x.shape


def test_torchdiffeq():
    from torchdiffeq import odeint, odeint_adjoint

    class Rate(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, t, y):
            return self.layer(y)

    rate = nn.Linear(1, 1, bias=False)
    for solve in (odeint, odeint_adjoint):
        rate.zero_grad()
        end = solve(Rate(rate), torch.ones(1), torch.tensor([0.0, 1.0]))[-1]
        torch.testing.assert_close(end, rate.weight.exp().flatten(), rtol=1e-4, atol=1e-4)
        end.backward()
        torch.testing.assert_close(rate.weight.grad, rate.weight.exp(), rtol=1e-3, atol=1e-3)


def test_pytorch_metric_learning():
    from pytorch_metric_learning import distances, losses, miners

    x, labels = torch.randn(8, 4, requires_grad=True), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    pairs = miners.MultiSimilarityMiner()(x, labels)
    losses.TripletMarginLoss(distance=distances.CosineSimilarity())(x, labels, pairs).backward()
    assert losses.NTXentLoss()(x, labels).isfinite()


def test_gpytorch():
    import gpytorch

    class Regression(gpytorch.models.ExactGP):
        def __init__(self, x, y, likelihood):
            super().__init__(x, y, likelihood)
            self.mean, self.kernel = (
                gpytorch.means.ConstantMean(),
                gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel()),
            )

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))

    x = torch.linspace(0, 1, 20)
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = Regression(x, torch.sin(6 * x), likelihood)
    objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        loss = -objective(model(x), torch.sin(6 * x))
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert (likelihood(model.eval()(x)).mean - torch.sin(6 * x)).abs().max() < 0.3


def test_skorch():
    import numpy as np
    from skorch import NeuralNetClassifier

    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    net = NeuralNetClassifier(nn.Sequential(nn.Linear(4, 2), nn.Softmax(-1)), max_epochs=3, lr=0.1, verbose=0)
    assert net.fit(x, (x[:, 0] > 0).astype("int64")).predict(x).shape == (60,)


def test_ignite():
    from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
    from ignite.metrics import Accuracy, Loss

    layer, criterion = nn.Linear(4, 2), nn.CrossEntropyLoss()
    data = [(torch.randn(8, 4), torch.randint(0, 2, (8,))) for _ in range(4)]
    trainer = create_supervised_trainer(layer, torch.optim.SGD(layer.parameters(), 0.1), criterion)
    evaluator = create_supervised_evaluator(layer, {"accuracy": Accuracy(), "loss": Loss(criterion)})
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: evaluator.run(data))
    trainer.run(data, max_epochs=2)
    assert 0 <= evaluator.state.metrics["accuracy"] <= 1


def test_higher():
    import higher

    layer = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with higher.innerloop_ctx(layer, optimizer, copy_initial_weights=False) as (inner, steps):
        steps.step(inner(torch.ones(2, 4)).square().mean())
        inner(torch.ones(2, 4)).sum().backward()
    assert layer.weight.grad is not None


def test_torchsde():
    import torchsde

    class Pull(nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def __init__(self):
            super().__init__()
            self.rate = nn.Parameter(torch.tensor(-1.0))

        def f(self, t, y):
            return self.rate * y

        def g(self, t, y):
            return 0.1 * torch.ones_like(y)

    pull, times, losses = Pull(), torch.tensor([0.0, 1.0]), []
    optimizer = torch.optim.Adam(pull.parameters(), 0.1)
    for step in range(8):
        noise = dict(size=(32, 1), entropy=step, levy_area_approximation="space-time")
        path = torchsde.sdeint(pull, torch.ones(32, 1), times, bm=torchsde.BrownianInterval(0.0, 1.0, **noise), dt=0.1)
        loss = (path[-1].mean() - 1.0).square()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # PyTorch 2.13 computes these.
    torch.testing.assert_close(torch.tensor(losses[::7]), torch.tensor([0.401442, 0.0698838]), rtol=1e-4, atol=1e-5)
    torchsde.sdeint_adjoint(pull, torch.ones(32, 1), times, dt=0.1)[-1].sum().backward()


def test_einx():
    import einx

    x = torch.randn(4, 6, requires_grad=True)
    torch.testing.assert_close(einx.softmax("a [b]", x), x.softmax(1))
    torch.testing.assert_close(einx.dot("a b, c b -> a c", x, x), x @ x.T)
    einx.sum("a [b]", x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.sum(1, keepdim=True).expand(4, 6))


def test_jaxtyping():
    from jaxtyping import Float

    x = torch.ones(2, 3)
    assert isinstance(x, Float[torch.Tensor, "n m"])
    assert not isinstance(x, Float[torch.Tensor, "n"]) and not isinstance(x.long(), Float[torch.Tensor, "n m"])


def test_piq():
    import piq
    from piq.feature_extractors import fid_inception as features

    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1).requires_grad_()
    scores = [piq.gmsd(noisy, x), piq.vif_p(noisy, x), piq.fsim(noisy, x), piq.haarpsi(noisy, x), piq.mdsi(noisy, x)]
    # PyTorch 2.13 computes these.
    expected = torch.tensor([0.0588031, 0.353228, 0.941239, 0.779604, 0.357085])
    torch.testing.assert_close(torch.stack(scores), expected, rtol=1e-4, atol=1e-5)
    sum(scores).backward()
    assert noisy.grad.isfinite().all() and piq.psnr(x, x, 1.0) > 70
    for block in (features.FIDInceptionA(8, 32), features.FIDInceptionC(8, 16), features.FIDInceptionE2(8)):
        assert block(torch.rand(1, 8, 5, 5)).shape[2:] == (5, 5)
    assert piq.FID()(torch.randn(20, 8), torch.randn(20, 8)) > 0
