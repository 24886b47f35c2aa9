"""Parts of the file format behind ``corten.save`` and ``corten.load``.

``archive`` reads and writes the zip container, ``names`` lists what a pickle may name, ``pickler`` and ``unpickler``
write and read the pickle inside.
"""
