"""What the suites of files share: an object as the bytes of a file, and back."""

from __future__ import annotations

import io

import corten


def saved(obj, **options) -> bytes:
    buffer = io.BytesIO()
    corten.save(obj, buffer, **options)
    return buffer.getvalue()


def loaded(content: bytes, **options):
    return corten.load(io.BytesIO(content), **options)
