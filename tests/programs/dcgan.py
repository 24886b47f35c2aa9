"""A deep convolutional generative adversarial network draws digits (Radford et al. 2016)."""

import torch
import torch.nn as nn
import torch.optim as optim

from harness import digits, main

STEPS, BATCH, NZ, NGF, NDF = 60, 32, 16, 16, 16


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NZ, NGF * 2, 4, 1, 0, bias=False),
            nn.BatchNorm2d(NGF * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(NGF * 2, NGF, 4, 2, 1, bias=False),
            nn.BatchNorm2d(NGF),
            nn.ReLU(True),
            nn.ConvTranspose2d(NGF, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, NDF, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF, NDF * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(NDF * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF * 2, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


def build():
    netG, netD = Generator(), Discriminator()
    netG.apply(weights_init)
    netD.apply(weights_init)
    return {"G": netG, "D": netD}


def make_data(rng):
    images = digits(rng)[0]
    images = nn.functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    return {"images": images * 2 - 1}


def train(models, data, noise, report):
    netG, netD = models["G"], models["D"]
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for _ in range(STEPS):
        real = data["images"][(noise.uniform(BATCH) * len(data["images"])).long()]
        netD.zero_grad()
        label = torch.full((BATCH,), 1.0)
        errD_real = criterion(netD(real), label)
        errD_real.backward()
        fake = netG(noise.normal(BATCH, NZ, 1, 1))
        label.fill_(0.0)
        errD_fake = criterion(netD(fake.detach()), label)
        errD_fake.backward()
        optimizerD.step()
        netG.zero_grad()
        label.fill_(1.0)
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()
        report(errD_real + errD_fake)
        report(errG)
    with torch.no_grad():
        drawn = netG(noise.normal(256, NZ, 1, 1)).mean(0)
    # How far the mean of the drawn images is from that of the digits; an untrained generator draws grey.
    return (drawn - data["images"].mean(0)).abs().mean()


if __name__ == "__main__":
    main(make_data, build, train, normals=(STEPS * BATCH + 256) * NZ, uniforms=STEPS * BATCH)
