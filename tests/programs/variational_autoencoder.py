"""A variational autoencoder of digits (Kingma & Welling 2014)."""

import torch
from torch import nn, optim
from torch.nn import functional as F

from harness import digits, main

EPOCHS, BATCH, LATENT = 10, 100, 8


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 100)
        self.fc21 = nn.Linear(100, LATENT)
        self.fc22 = nn.Linear(100, LATENT)
        self.fc3 = nn.Linear(LATENT, 100)
        self.fc4 = nn.Linear(100, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar, eps)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    """Reconstruction and divergence, summed over elements and the batch."""
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def make_data(rng):
    return {"images": digits(rng)[0]}


def train(models, data, noise, report):
    model = models["vae"]
    train_images, test_images = data["images"][:1500], data["images"][1500:]
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(EPOCHS):
        model.train()
        for batch in train_images[noise.permutation(1500)].split(BATCH):
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(batch, noise.normal(len(batch), LATENT))
            loss = loss_function(recon_batch, batch, mu, logvar)
            loss.backward()
            report(loss / len(batch))
            optimizer.step()
    model.eval()
    with torch.no_grad():
        recon, mu, logvar = model(test_images, noise.normal(len(test_images), LATENT))
        return loss_function(recon, test_images, mu, logvar).item() / len(test_images)


if __name__ == "__main__":
    main(make_data, lambda: {"vae": VAE()}, train, normals=(EPOCHS * 1500 + 300) * LATENT, uniforms=EPOCHS * 1500)
