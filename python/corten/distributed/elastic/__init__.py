"""What programs import from torchrun's package."""
