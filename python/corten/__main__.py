"""`python -m corten`: runs programs written for PyTorch, and tells what this installation is."""

import sys

USAGE = """\
usage: python -m corten run [-m module | -c code | script.py | -] [arguments ...]
       python -m corten info
       python -m corten --help | --version

run   runs a program in which `import torch`, its submodules and torchvision mean corten; no file is changed. Scripts,
      folders and zip files with a __main__.py, modules (-m), code (-c) and standard input (-) are run as `python`
      runs them: sys.argv, sys.path[0], __main__, tracebacks and exit status are the same. Python processes that the
      program starts inherit it.
info  prints versions, devices, threads and how the engine was built.
"""


def main():
    """Runs the command that the arguments name; ends with status 2 where they name none."""
    command, *rest = sys.argv[1:] or [""]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif command in ("-V", "--version"):
        import corten

        print("corten", corten.__version__)
    elif command == "info" and not rest:
        from corten._info import describe

        print(describe())
    elif command == "run" and rest in (["-h"], ["--help"]):
        print(USAGE, end="")
    elif command == "run" and rest:
        from corten._run import run

        run(rest)
    else:
        problem = f"no command is called {command!r}" if command not in ("", "run", "info") else None
        problem = problem or {"": "a command is needed", "run": "run needs a program"}.get(
            command, "info takes no more"
        )
        print(f"python -m corten: {problem}\n{USAGE}", end="", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
