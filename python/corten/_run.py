"""Runs a program as `python` itself would, with `import torch` meaning corten."""

import os
import runpy
import sys
import types
import zipfile

import corten

from ._as_torch import install_as_torch

# Whoever starts another Python finds sitecustomize.py there.
_INHERIT = os.path.join(os.path.dirname(os.path.abspath(corten.__file__)), "_inherit")
_FILES = {__file__, os.path.join(os.path.dirname(__file__), "__main__.py")}


def run(arguments):
    """Runs `-m module`, `-c code`, `-` or the path of a script, with the arguments that follow it.

    Args:
        arguments: the program and its arguments, as they follow ``python`` on a command line.

    Raises:
        SystemExit: with status 2 where the program cannot be read.
    """
    install_as_torch()
    _reach_child_processes()
    try:
        _start(arguments)
    except BaseException:
        _hide_own_frames()
        raise


def _start(arguments):
    first, *rest = arguments
    if first == "-m":
        if not rest:
            _refuse("argument expected for the -m option")
        _new_main()
        sys.argv[:] = ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])
    elif first == "-c":
        if not rest:
            _refuse("argument expected for the -c option")
        sys.argv[:] = ["-c", *rest[1:]]
        _replace_first_folder("")
        _execute(rest[0], "<string>")
    elif first == "-":
        sys.argv[:] = arguments
        _replace_first_folder("")
        _execute(sys.stdin.buffer.read(), "<stdin>")
    elif first.startswith("-"):
        _refuse(f"unknown option {first}")
    else:
        sys.argv[:] = arguments
        _run_path(first)


def _run_path(path):
    """Runs a script, or the __main__.py of a folder or zip file."""
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        path = os.path.abspath(path)
        # Python imports from it whatever the flags say.
        if sys.flags.safe_path:
            sys.path.insert(0, path)
        else:
            sys.path[0] = path
        _new_main()
        runpy._run_module_as_main("__main__", False)
        return
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        _refuse(f"can't open file {os.path.abspath(path)!r}: [Errno {error.errno}] {error.strerror}")
    # Of a link the folder in which the file really is, as Python does.
    _replace_first_folder(os.path.dirname(os.path.realpath(path)))
    _execute(source, path)


def _replace_first_folder(folder):
    """Python puts the current folder first for `-m corten`; safe mode puts nothing there."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _new_main():
    """A fresh `__main__`: the program must see nothing of the one that started it."""
    module = types.ModuleType("__main__")
    module.__builtins__ = __builtins__
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return module


def _execute(source, path):
    from importlib.machinery import SourceFileLoader

    module = _new_main()
    if not path.startswith("<"):
        module.__file__ = os.path.abspath(path)
        module.__loader__ = SourceFileLoader("__main__", path)
        module.__cached__ = None
    code = compile(source, module.__dict__.get("__file__", path), "exec", dont_inherit=True)
    exec(code, module.__dict__)


def _refuse(problem):
    print(f"python -m corten run: {problem}", file=sys.stderr)
    raise SystemExit(2)


def _hide_own_frames():
    """Tracebacks begin where the program does; the interpreter still decides on the exit status."""
    show = sys.excepthook

    def shown(kind, error, traceback):
        while traceback is not None and not _belongs_to_program(traceback):
            traceback = traceback.tb_next
        show(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = shown


def _belongs_to_program(traceback):
    """Whether no frame from here on is one that started the program."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename in _FILES:
            return False
        traceback = traceback.tb_next
    return True


def _reach_child_processes():
    """Python processes started with this environment run `_inherit/sitecustomize.py` before anything else."""
    before = os.environ.get("PYTHONPATH")
    if _INHERIT not in (before or "").split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_INHERIT, before)))
