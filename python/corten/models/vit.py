"""ViT (Dosovitskiy et al., arXiv:2010.11929): an image as a sequence of patches, read by a Transformer."""

import corten

from .. import nn
from ..nn import functional as F

__all__ = ["ViT", "vit_b_16", "vit_b_32", "vit_l_16", "vit_tiny_16"]


def convolutions(patch_size, channels, dim):
    """A stem of 3 × 3 convolutions in place of cut patches (Xiao et al., arXiv:2106.14881), which sees edges first.

    Each halves height and width and doubles the features, up to one vector for ``patch_size`` × ``patch_size`` pixels.
    """
    layers, width = [], channels
    for halvings in range(patch_size.bit_length() - 1, 0, -1):
        wider = dim >> halvings
        layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, nn.Conv2d(width, dim, 1))


class PatchEmbed(nn.Module):
    """Images ``(N, C, H, W)`` to a vector for each patch, row by row: ``(N, H W / patch_size², dim)``."""

    def __init__(self, image_size, patch_size, channels, dim, stem="patches"):
        super().__init__()
        self.image_size = image_size
        if stem == "patches":
            self.proj = nn.Conv2d(channels, dim, patch_size, stride=patch_size)
        else:
            self.proj = convolutions(patch_size, channels, dim)

    def forward(self, images):
        size = (self.image_size, self.image_size)
        if images.ndim != 4 or tuple(images.shape[2:]) != size:
            raise ValueError(f"ViT: images must be (N, C, {size[0]}, {size[1]}), got {tuple(images.shape)}")
        return self.proj(images).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention of every patch to every patch: ``(N, L, E)`` to ``(N, L, E)``."""

    def __init__(self, dim, num_heads, dropout=0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def heads(self, x):
        """Queries, keys and values, ``(3, N, heads, L, head_dim)``."""
        return self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)

    def weights(self, x):
        """How much each patch looks at each: ``(N, heads, L, L)``, rows sum to 1."""
        query, key, _ = self.heads(x)
        return (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(-1)

    def forward(self, x):
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(*self.heads(x), dropout_p=dropout)
        return self.proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an MLP with GELU, each behind a normalisation and beside an identity."""

    def __init__(self, dim, num_heads, mlp_dim, dropout=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, mlp_dim), "fc2": nn.Linear(mlp_dim, dim)})
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.drop(self.attn(self.norm1(x)))
        inside = self.drop(F.gelu(self.mlp["fc1"](self.norm2(x))))
        return x + self.drop(self.mlp["fc2"](inside))


class ViT(nn.Module):
    """Images ``(N, channels, image_size, image_size)`` to scores ``(N, num_classes)``.

    A class token stands before the patches; its last vector is classified. Names are those of timm's files.

    Args:
        image_size, patch_size: sides in pixels, by default those of ViT-B/16: 86,567,656 parameters.
        channels: of the images.
        num_classes: the number of scores; 0 leaves the class token's vector ``(N, dim)``.
        dim, depth, num_heads, mlp_dim: sizes.
        dropout: of embeddings, attention and what each part adds.
        init_std, pos_std: deviations of the weights and of the positions at the beginning. Where the data are few, a
            network of about 100 features learns several times as fast from 0.1 and 1.
        stem: ``"patches"``, each read by one matrix, or ``"convolutions"`` of 3 × 3 that shrink the image step by step
            (Xiao et al., arXiv:2106.14881), which small networks on few data see more with.

    Raises:
        ValueError: ``image_size`` is no multiple of ``patch_size``, or ``dim`` none of ``num_heads``; another ``stem``;
            ``patch_size`` is no power of two where the stem has convolutions, or ``dim`` no multiple of it; at a call,
            images of another size.
    """

    def __init__(
        self,
        image_size=224,
        patch_size=16,
        channels=3,
        num_classes=1000,
        dim=768,
        depth=12,
        num_heads=12,
        mlp_dim=3072,
        dropout=0.0,
        init_std=0.02,
        pos_std=0.02,
        stem="patches",
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"ViT: image_size must be a multiple of patch_size, got {image_size} and {patch_size}")
        if dim % num_heads:
            raise ValueError(f"ViT: dim must be a multiple of num_heads, got {dim} and {num_heads}")
        if stem not in ("patches", "convolutions"):
            raise ValueError(f"ViT: stem must be 'patches' or 'convolutions', got {stem!r}")
        if stem == "convolutions" and (patch_size & (patch_size - 1) or patch_size < 2 or dim % patch_size):
            raise ValueError(
                "ViT: a stem of convolutions needs patch_size to be a power of two and dim a multiple of it, "
                f"got {patch_size} and {dim}"
            )
        self.dim = dim
        self.patch_embed = PatchEmbed(image_size, patch_size, channels, dim, stem)
        self.cls_token = nn.Parameter(corten.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(corten.zeros(1, 1 + (image_size // patch_size) ** 2, dim))
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(dim, num_heads, mlp_dim, dropout) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()
        nn.init.normal_(self.pos_embed, std=pos_std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=init_std)
                nn.init.zeros_(module.bias)

    def embed(self, images):
        """The class token and the patches with their positions: ``(N, 1 + patches, dim)``."""
        patches = self.patch_embed(images)
        tokens = corten.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.drop(tokens + self.pos_embed)

    def features(self, images):
        """The last vectors of the class token and the patches: ``(N, 1 + patches, dim)``."""
        x = self.embed(images)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def attentions(self, images):
        """How much each token looks at each, by block: ``(depth, N, heads, L, L)``, for attention rollout."""
        x, maps = self.embed(images), []
        for block in self.blocks:
            maps.append(block.attn.weights(block.norm1(x)))
            x = block(x)
        return corten.stack(maps)

    def forward(self, images):
        return self.head(self.features(images)[:, 0])


def vit_tiny_16(**options):
    """ViT-Ti/16 (Touvron et al., arXiv:2012.12877): 5,717,416 parameters."""
    return ViT(**{**dict(dim=192, num_heads=3, mlp_dim=768), **options})


def vit_b_16(**options):
    """ViT-B/16: 86,567,656 parameters."""
    return ViT(**options)


def vit_b_32(**options):
    """ViT-B/32: 88,224,232 parameters."""
    return ViT(**{"patch_size": 32, **options})


def vit_l_16(**options):
    """ViT-L/16: 304,326,632 parameters."""
    return ViT(**{**dict(dim=1024, depth=24, num_heads=16, mlp_dim=4096), **options})
