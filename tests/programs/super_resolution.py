"""Images of twice the size by an efficient sub-pixel convolutional network (Shi et al. 2016)."""

from math import log10

import torch
import torch.nn as nn
import torch.nn.init as init
import torch.optim as optim

from harness import main

STEPS, BATCH, PATCH, UPSCALE = 400, 16, 16, 2


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 32, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(32, 32, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(32, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)


def make_data(rng):
    from sklearn.datasets import load_sample_image

    photo = torch.tensor(load_sample_image("china.jpg"), dtype=torch.float32).mean(-1)[None, None] / 255
    size = PATCH * UPSCALE
    patches = photo.unfold(2, size, size).unfold(3, size, size).reshape(-1, 1, size, size)
    large = patches[torch.from_numpy(rng.permutation(len(patches)))]
    small = nn.functional.interpolate(large, size=(PATCH, PATCH), mode="bicubic", align_corners=False, antialias=True)
    return {"large": large.contiguous(), "small": small}


def train(models, data, noise, report):
    model, criterion = models["net"], nn.MSELoss()
    held_out = 40
    small, large = data["small"][held_out:], data["large"][held_out:]
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.992)
    for _ in range(STEPS):
        index = (noise.uniform(BATCH) * len(small)).long()
        optimizer.zero_grad()
        loss = criterion(model(small[index]), large[index])
        loss.backward()
        optimizer.step()
        scheduler.step()
        report(loss)
    with torch.no_grad():
        error = criterion(model(data["small"][:held_out]), data["large"][:held_out])
    return 10 * log10(1 / error.item())


if __name__ == "__main__":
    main(make_data, lambda: {"net": Net(UPSCALE)}, train, uniforms=STEPS * BATCH)
