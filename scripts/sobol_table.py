"""Writes python/corten/_sobol_table.py: Joe and Kuo's direction numbers of the first dimensions of Sobol sequences.

They are read from scipy, which ships all 21201 dimensions of the file new-joe-kuo-6.21201. With --check nothing is
written and a difference is an error.
"""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

from corten.quasirandom import scipy_numbers  # noqa: E402

TABLE = ROOT / "python" / "corten" / "_sobol_table.py"
# The first dimension and one for each primitive polynomial of degree 13 and below.
DEGREE = 13
WIDTH = 112
HEAD = '''\
"""Sobol sequences' direction numbers of the first {dimensions} dimensions. Written by scripts/sobol_table.py.

Bits, most significant first in each byte, written in base 85. `POLYNOMIALS` has one for each odd number below
2^{top}, whether it is a primitive polynomial over GF(2). `NUMBERS` has, for i = 2, 3, ..., the i - 1 free bits of the
initial number m_i of every polynomial of degree i and above, least significant first: m_i is odd and below 2^i.

The numbers are those of S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections",
SIAM J. Sci. Comput. 30, 2635-2654 (2008), with this licence:

Copyright (c) 2008, Frances Y. Kuo and Stephen Joe
All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met:

    * Redistributions of source code must retain the above copyright notice, this list of conditions and the following
      disclaimer.

    * Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the
      following disclaimer in the documentation and/or other materials provided with the distribution.

    * Neither the names of the copyright holders nor the names of the University of New South Wales and the University
      of Waikato and its contributors may be used to endorse or promote products derived from this software without
      specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT
LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT
SHALL THE COPYRIGHT HOLDERS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES
(INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH
DAMAGE.
"""
'''


def text_of(bits: np.ndarray) -> str:
    """The bits in base 85, as lines of Python."""
    written = base64.b85encode(np.packbits(bits.astype(np.uint8)).tobytes()).decode()
    return "".join(f'    "{written[at : at + WIDTH]}"\n' for at in range(0, len(written), WIDTH))


def table() -> str:
    """The text of the module.

    Raises:
        ValueError: polynomials of scipy are not those of all degrees, in ascending order.
    """
    polynomials, initial = scipy_numbers()
    kept = int(np.searchsorted(polynomials, 2 << DEGREE))
    polynomials, initial = polynomials[1:kept], initial[1:kept]
    if (np.diff(polynomials) <= 0).any():
        raise ValueError("the polynomials do not ascend")
    primitive = np.isin(np.arange(1, 2 << DEGREE, 2), polynomials)
    numbers = [(initial[polynomials >= 1 << i, i - 1][:, None] >> np.arange(1, i)) & 1 for i in range(2, DEGREE + 1)]
    head = HEAD.format(dimensions=kept, top=DEGREE + 1)
    bits = np.concatenate([block.ravel() for block in numbers])
    return (
        f"{head}\nDIMENSIONS = {kept}\nDEGREE = {DEGREE}\n"
        f"POLYNOMIALS = (\n{text_of(primitive)})\nNUMBERS = (\n{text_of(bits)})\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; a difference is an error")
    check = parser.parse_args().check
    written = table()
    if not check:
        TABLE.write_text(written, encoding="utf-8")
        return 0
    if TABLE.read_text(encoding="utf-8") == written:
        return 0
    print(f"{TABLE.name} is not what scripts/sobol_table.py writes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
