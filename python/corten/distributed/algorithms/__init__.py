"""What may be put into the averaging of gradients."""
