"""Models of other programs: entry points of a folder's ``hubconf.py``, and files of weights from an address.

Weights come from any address that `urllib` opens, ``https:`` and ``file:`` among them, and are read by `corten.load`,
which runs nothing from a file. Programs are not downloaded: an entry point is that of a local folder, or of a
repository that lies in the cache already.
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from urllib.parse import urlparse

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

# In a file's name, the beginning of its content's SHA-256.
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_folder = None


def get_dir():
    """The folder for what was downloaded: that of `set_dir`, or ``hub`` in ``$TORCH_HOME``.

    ``$TORCH_HOME`` is by default ``torch`` in ``$XDG_CACHE_HOME``, which is by default ``~/.cache``: PyTorch's own.
    """
    if _folder is not None:
        return _folder
    return os.path.join(_get_torch_home(), "hub")


def _get_torch_home():
    """``$TORCH_HOME``, or ``torch`` in the cache."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def set_dir(d):
    """Puts what is downloaded from now on into a folder."""
    global _folder
    _folder = os.path.expanduser(os.fspath(d))


# -- entry points -----------------------------------------------------------------------------------------------------


def _repository(name):
    """The cached folder of ``"owner/name"`` or ``"owner/name:ref"``.

    Raises:
        ValueError: the name is none.
        NotImplementedError: it is not in the cache.
    """
    match = re.fullmatch(r"([^/:]+)/([^/:]+)(?::(.+))?", name)
    if not match:
        raise ValueError(f"hub: expected a repository 'owner/name' or 'owner/name:ref', got {name!r}")
    owner, repository, ref = match.groups()
    for branch in [ref] if ref else ["main", "master"]:
        folder = os.path.join(get_dir(), "_".join([owner, repository, branch.replace("/", "_")]))
        if os.path.exists(folder):
            return folder
    raise NotImplementedError(
        f"hub: {name} is not in {get_dir()}, and programs are not downloaded; clone the repository and give its folder "
        "with source='local'"
    )


@contextlib.contextmanager
def _importable(folder):
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _hubconf(folder):
    """The module of a folder's ``hubconf.py``, with its dependencies there."""
    path = os.path.join(folder, "hubconf.py")
    if not os.path.exists(path):
        raise FileNotFoundError(f"hub: there is no hubconf.py in {folder}")
    spec = importlib.util.spec_from_file_location("hubconf.py", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lacking = [name for name in getattr(module, "dependencies", None) or [] if importlib.util.find_spec(name) is None]
    if lacking:
        raise RuntimeError(f"Missing dependencies: {', '.join(lacking)}")
    return module


def _entry(module, name):
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def _place(repo_or_dir, source):
    if source == "local":
        return os.path.expanduser(os.fspath(repo_or_dir))
    if source != "github":
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    return _repository(repo_or_dir)


def load(
    repo_or_dir,
    model,
    *args,
    source="github",
    trust_repo="check",
    force_reload=False,
    verbose=True,
    skip_validation=False,
    **kwargs,
):
    """What an entry point of a folder's ``hubconf.py`` returns for the arguments.

    Args:
        repo_or_dir: a folder with ``source="local"``; with ``source="github"`` a repository ``"owner/name:ref"`` that
            lies in the cache.
        model: the entry point's name.
        trust_repo, force_reload, verbose, skip_validation: accepted; nothing is downloaded.

    Raises:
        FileNotFoundError: the folder has no ``hubconf.py``.
        NotImplementedError: the repository is not in the cache.
        RuntimeError: there is no such entry point, or one of the ``dependencies`` that it names is not installed.
    """
    folder = _place(repo_or_dir, source)
    with _importable(folder):
        return _entry(_hubconf(folder), model)(*args, **kwargs)


def list(github, force_reload=False, skip_validation=False, trust_repo="check", verbose=True):
    """The names of the entry points of a cached repository ``"owner/name:ref"``, or of a folder.

    The other arguments are accepted; nothing is downloaded.
    """
    folder = github if os.path.isdir(github) else _repository(github)
    with _importable(folder):
        module = _hubconf(folder)
    return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo="check"):
    """The documentation of an entry point of a cached repository ``"owner/name:ref"``, or of a folder.

    The other arguments are accepted; nothing is downloaded.
    """
    folder = github if os.path.isdir(github) else _repository(github)
    with _importable(folder):
        return _entry(_hubconf(folder), model).__doc__


# -- weights ----------------------------------------------------------------------------------------------------------


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Copies what lies at an address into a file, which appears when it is whole.

    Args:
        dst: the file's path.
        hash_prefix: what the SHA-256 of the content, in hexadecimal digits, begins with.
        progress: accepted; nothing is drawn.

    Raises:
        urllib.error.URLError: the address cannot be read.
        RuntimeError: the hash is another one; the file is not there then.
    """
    from urllib.request import urlopen

    dst = os.path.expanduser(os.fspath(dst))
    digest = hashlib.sha256()
    with (
        urlopen(url) as source,
        tempfile.NamedTemporaryFile(delete=False, dir=os.path.dirname(os.path.abspath(dst))) as part,
    ):
        try:
            while block := source.read(1 << 20):
                digest.update(block)
                part.write(block)
            part.close()
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            shutil.move(part.name, dst)
        finally:
            part.close()
            if os.path.exists(part.name):
                os.remove(part.name)


def load_state_dict_from_url(
    url, model_dir=None, map_location=None, progress=True, check_hash=False, file_name=None, weights_only=False
):
    """What `corten.load` finds in the file at an address, which is kept in a folder and read from there the next time.

    Args:
        url: the address, such as ``"https://..."`` or ``"file:///..."``.
        model_dir: the folder, by default ``checkpoints`` in `get_dir`.
        map_location, weights_only: as in `corten.load`; nothing from the file is run in either case.
        progress: accepted; a line tells of a download.
        check_hash: the name is ``name-HASH.ext``, whose hash is the beginning of the content's SHA-256.
        file_name: the file's name in the folder, by default that in the address.

    Raises:
        urllib.error.URLError: the address cannot be read.
        RuntimeError: the hash is another one.
    """
    from .serialization import load as read

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else os.fspath(model_dir)
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f"load_state_dict_from_url: {url!r} ends in no file's name; give one with file_name")
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        match = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, match.group(1) if match else None, progress)
    if _holds_one_file(path):
        return _read_only_file(path, map_location, weights_only, read)
    return read(path, map_location=map_location, weights_only=weights_only)


def _holds_one_file(path):
    """Whether a file is an archive of one other file, as old collections of weights are, and not PyTorch's format."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    return len(members) == 1 and not members[0].is_dir()


def _read_only_file(path, map_location, weights_only, read):
    import io

    with zipfile.ZipFile(path) as archive:
        content = archive.read(archive.namelist()[0])
    return read(io.BytesIO(content), map_location=map_location, weights_only=weights_only)
