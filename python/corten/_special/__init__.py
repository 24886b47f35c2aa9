"""Special functions that are written in other operators; :mod:`corten.special` names them."""
