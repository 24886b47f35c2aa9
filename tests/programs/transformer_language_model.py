"""A causal transformer in mixed precision, with accumulated gradients, checkpointed layers and a resumed run."""

import math
import os
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from harness import main, text

LENGTH, BLOCK, BATCH, STEPS, WARMUP, ACCUMULATE, WIDTH, HEADS, LAYERS = 40_000, 48, 8, 80, 10, 2, 64, 4, 2


class CausalSelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (t.view(B, T, HEADS, C // HEADS).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(WIDTH), CausalSelfAttention()
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)})

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.h = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, idx, targets):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))
        for block in self.h:
            x = checkpoint(block, x, use_reentrant=False) if self.training else block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def make_data(rng):
    return {"corpus": text(LENGTH)[0]}


def get_batch(corpus, starts):
    x = torch.stack([corpus[i : i + BLOCK] for i in starts])
    y = torch.stack([corpus[i + 1 : i + 1 + BLOCK] for i in starts])
    return x, y


def set_up(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, WARMUP)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS - WARMUP)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[WARMUP])
    return optimizer, scheduler, torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=10)


def resumed(model, optimizer, scheduler, scaler):
    """What a program that was cut off goes on with: everything saved, and loaded into fresh objects."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ckpt.pt")
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
        torch.save({name: part.state_dict() for name, part in parts.items()}, path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer, scheduler, scaler = set_up(model)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    scaler.load_state_dict(state["scaler"])
    return optimizer, scheduler, scaler


def train(models, data, noise, report):
    model, corpus = models["gpt"], data["corpus"]
    optimizer, scheduler, scaler = set_up(model)
    model.train()
    for step in range(STEPS):
        if step == STEPS // 2:
            optimizer, scheduler, scaler = resumed(model, optimizer, scheduler, scaler)
        total = 0.0
        for _ in range(ACCUMULATE):
            starts = (noise.uniform(BATCH) * (36_000 - BLOCK - 1)).long().tolist()
            x, y = get_batch(corpus, starts)
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                loss = model(x, y) / ACCUMULATE
            scaler.scale(loss).backward()
            total += loss.item()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        report(total)
    model.eval()
    x, y = get_batch(corpus, range(36_000, LENGTH - BLOCK - 1, BLOCK))
    with torch.no_grad(), torch.autocast("cpu"):
        return math.exp(model(x, y).item())


if __name__ == "__main__":
    main(make_data, lambda: {"gpt": GPT(text(LENGTH)[1])}, train, uniforms=STEPS * ACCUMULATE * BATCH)
