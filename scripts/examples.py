"""Runs the examples of PyTorch's docstrings on both packages: outputs that PyTorch reproduces must be the same.

The docstrings are those of the installed PyTorch, of the names in scripts/surface.txt. Outputs that PyTorch does not
reproduce, such as those of random numbers, are compared from one seed, to the last digits, and counted apart. Each
package runs in a process of its own, corten under the name `torch`: examples replace functions for good. What cannot
agree is listed with its reason in oracle/known_examples.py; anything else that differs makes the script fail.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from oracle import examples, known_examples, surface


def docstrings(patterns: list[str] | None) -> dict[str, str]:
    """The docstrings of the listed names that have examples, each text once."""
    import torch

    found: dict[str, str] = {}
    known: set[str] = set()
    for namespace, names in surface.namespaces().items():
        for name in names:
            path = f"{surface.module_of(namespace)}.{name}".removeprefix("torch.")
            if patterns and not any(fnmatch.fnmatch(path, pattern) for pattern in patterns):
                continue
            try:
                text = getattr(surface.resolve(torch, path), "__doc__", None)
            except (AttributeError, ImportError):
                continue
            if isinstance(text, str) and ">>>" in text and text not in known:
                known.add(text)
                found[path] = text
    return found


def run(side: str, sources: dict[str, list[str]]) -> dict[str, object]:
    """What "torch" or "corten" prints, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--side", side]
    # Documented outputs of CUDA are not compared.
    env = {name: value for name, value in os.environ.items() if not name.startswith("CORTEN_GPU")}
    done = subprocess.run(command, input=json.dumps(sources), capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"the process of {side} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def unexpected(verdicts: list[examples.Verdict]) -> list[examples.Verdict]:
    """The verdicts that say of a difference, and are not on the list of those that cannot agree."""
    return [v for v in verdicts if "-" in v.kind and not known_examples.reason(v.name, v.source)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="names or patterns below torch, such as 'linalg.*'; all by default")
    parser.add_argument("--json", type=Path, help="write every verdict into this file")
    parser.add_argument("--quiet", action="store_true", help="print the figures only")
    parser.add_argument("--side", choices=("torch", "corten"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        examples.main_of(options.side)
        return
    parsed = {name: examples.statements(text) for name, text in docstrings(options.names).items()}
    sources = {name: [s.source for s in statements] for name, statements in parsed.items()}
    theirs, ours = run("torch", sources), run("corten", sources)
    verdicts = [v for name, s in parsed.items() for v in examples.compare(name, s, theirs[name], ours[name])]
    if options.json:
        options.json.write_text(json.dumps([v.as_dict() for v in verdicts], indent=1), encoding="utf-8")
    counts = collections.Counter(v.kind for v in verdicts)
    rest = unexpected(verdicts)
    for verdict in rest:
        if not options.quiet:
            print(f"== {verdict.name} ({verdict.kind})\n>>> {verdict.source}")
            print(f"PyTorch: {verdict.expected.rstrip()}\ncorten:  {verdict.found.rstrip()}\n")
    for kind, meaning in (("reproduced", "as documented"), ("seeded", "otherwise, from one seed")):
        same = counts[kind]
        whole = same + counts[f"{kind}-differs"] + counts[f"{kind}-raises"]
        percent = 100 * same / max(whole, 1)
        print(f"{same} of {whole} outputs that PyTorch prints {meaning} are the same ({percent:.1f} %)")
    listed = [v for v in verdicts if "-" in v.kind and v not in rest]
    reasons = collections.Counter(known_examples.reason(v.name, v.source) for v in listed)
    print(f"{len(listed)} differ and are listed with a reason:")
    for reason, count in reasons.most_common():
        print(f"  {count:3} {reason}")
    print(f"{len(rest)} differ otherwise")
    sys.exit(1 if rest else 0)


if __name__ == "__main__":
    main()
