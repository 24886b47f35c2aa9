"""Runs PyTorch's own sample inputs on both packages and compares; scripts/parity.py is the door."""
