"""Operators that programs define: their schemas, how a call finds its kernel, and `corten.ops`."""
