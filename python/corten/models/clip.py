"""CLIP (Radford et al., arXiv:2103.00020): images and their captions in one space, by contrast with all others."""

import math

import corten

from .. import nn
from ..nn import functional as F

__all__ = ["CLIP", "ImageTower", "TextTower", "clip_vit_b_32", "info_nce"]


class ResidualAttentionBlock(nn.Module):
    """Attention and an MLP with the sigmoid form of GELU, each behind a normalisation: ``(N, L, E)``."""

    def __init__(self, width, heads):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x, mask=None):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        inside = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](inside * (1.702 * inside).sigmoid())


class Transformer(nn.Module):
    """Blocks one after the other; weights begin as small as the width and the depth ask for."""

    def __init__(self, width, layers, heads):
        super().__init__()
        self.resblocks = nn.ModuleList([ResidualAttentionBlock(width, heads) for _ in range(layers)])
        std = width**-0.5
        for block in self.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=std)
            nn.init.normal_(block.attn.out_proj.weight, std=std * (2 * layers) ** -0.5)
            nn.init.normal_(block.mlp["c_fc"].weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp["c_proj"].weight, std=std * (2 * layers) ** -0.5)

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class ImageTower(nn.Module):
    """Images ``(N, channels, image_size, image_size)`` to vectors ``(N, embed_dim)``: a ViT with one more norm."""

    def __init__(self, embed_dim, image_size=224, patch_size=32, channels=3, width=768, layers=12, heads=12):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"CLIP: image_size must be a multiple of patch_size, got {image_size} and {patch_size}")
        scale = width**-0.5
        self.conv1 = nn.Conv2d(channels, width, patch_size, stride=patch_size, bias=False)
        self.class_embedding = nn.Parameter(scale * corten.randn(width))
        self.positional_embedding = nn.Parameter(scale * corten.randn((image_size // patch_size) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * corten.randn(width, embed_dim))

    def forward(self, images):
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        x = self.ln_pre(corten.cat([first, patches], dim=1) + self.positional_embedding)
        return self.ln_post(self.transformer(x)[:, 0]) @ self.proj


class TextTower(nn.Module):
    """Tokens ``(N, L)`` to vectors ``(N, embed_dim)``, taken where the text ends: at its largest token."""

    def __init__(self, embed_dim, vocab_size=49408, context_length=77, width=512, layers=12, heads=8):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(0.01 * corten.randn(context_length, width))
        self.transformer = Transformer(width, layers, heads)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(width**-0.5 * corten.randn(width, embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, ids):
        length, limit = ids.shape[1], len(self.positional_embedding)
        if length > limit:
            raise ValueError(f"CLIP: the context has {limit} tokens, got {length}")
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        future = corten.full((length, length), -math.inf, device=ids.device).triu(1)
        x = self.ln_final(self.transformer(x, future))
        return x[corten.arange(len(ids), device=ids.device), ids.argmax(1)] @ self.text_projection


class CLIP(nn.Module):
    """Images and tokens ``(N, L)`` to the logits of every image with every text, ``(images, texts)``.

    Args:
        visual: a tower for images, such as `ImageTower`.
        text: a tower for texts, such as `TextTower`; both give vectors of one length.
    """

    def __init__(self, visual, text):
        super().__init__()
        self.visual, self.text = visual, text
        self.logit_scale = nn.Parameter(corten.tensor(math.log(1 / 0.07)))

    def encode_image(self, images):
        """Unit vectors of images, ``(N, embed_dim)``."""
        return F.normalize(self.visual(images), dim=-1)

    def encode_text(self, ids):
        """Unit vectors of texts, ``(N, embed_dim)``."""
        return F.normalize(self.text(ids), dim=-1)

    def forward(self, images, ids):
        # The scale is kept below 100 (section 2.5).
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return scale * self.encode_image(images) @ self.encode_text(ids).T


def info_nce(logits):
    """The mean of both cross entropies of logits ``(N, N)``: text given image and image given text.

    The pairs that belong together stand on the diagonal (van den Oord et al., arXiv:1807.03748).
    """
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1]:
        raise ValueError(f"info_nce: logits must be (N, N), got {tuple(logits.shape)}")
    target = corten.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def clip_vit_b_32():
    """CLIP ViT-B/32: 151,277,313 parameters."""
    return CLIP(ImageTower(512), TextTower(512))
