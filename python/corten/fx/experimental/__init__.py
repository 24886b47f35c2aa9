"""The part of ``torch.fx`` that tells whether a program is traced."""
