"""What programs import from torchrun's package about its processes."""
