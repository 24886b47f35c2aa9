"""A transformer looks at patches of digits (Dosovitskiy et al. 2021), with warm-up and weights averaged at the end."""

import math

import torch
import torch.nn as nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from harness import digits, main

STEPS, BATCH, WARMUP = 300, 64, 15


class VisionTransformer(nn.Module):
    def __init__(self, size=8, patch=2, dim=48, depth=2, heads=4, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        return self.head(self.norm(self.encoder(x))[:, 0])


def make_data(rng):
    images, labels = digits(rng)
    return {"images": (images - 0.3) / 0.38, "labels": labels}


def schedule(step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def train(models, data, noise, report):
    model = models["net"]
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    criterion = nn.CrossEntropyLoss()
    for _ in range(STEPS):
        index = (noise.uniform(BATCH) * 1500).long()
        optimizer.zero_grad()
        loss = criterion(model(data["images"][index]), data["labels"][index])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        averaged.update_parameters(model)
        report(loss)
    averaged.eval()
    with torch.no_grad():
        predicted = averaged(data["images"][1500:]).argmax(-1)
    return (predicted == data["labels"][1500:]).double().mean().item()


if __name__ == "__main__":
    main(make_data, lambda: {"net": VisionTransformer()}, train, uniforms=STEPS * BATCH)
