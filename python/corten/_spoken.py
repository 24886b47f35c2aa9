"""What the package calls itself in what it prints: ``torch`` where it stands for PyTorch."""

name = "corten"
