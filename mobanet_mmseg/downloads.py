"""Keeps what an address gives, under a name of its own, once it is whole and can be read."""

import hashlib
import re
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlparse
from urllib.request import Request, urlopen

from rich.progress import wrap_file
from torch.hub import get_dir

from mobanet_mmseg.writing import hidden_part, reporting

TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 20  # bytes
PROMISED = re.compile(r'-(?!20\d{6}\.)([0-9a-f]{8})\.')  # a checksum in a name, and no date

Content = TypeVar('Content')


class NotFetchedError(FileNotFoundError):
    """An address gives nothing; the sentence says why, and where else its file may be put."""


class ChecksumError(ValueError):
    """An address gives another file than its name promises."""


def fetched(
    address: str, read: Callable[[Path], Content], folder: str | Path | None = None
) -> Content:
    """Read what an address gives; it is downloaded once, and kept if it can be read.

    Args:
        address: http(s) address of a file; the whole of it tells one kept file from another.
        read: Reads a file, or raises.
        folder: Where files are kept; None is torch's cache.

    Returns:
        What ``read`` gives.

    Raises:
        ChecksumError: If the file is not the one whose checksum its name holds.
        OSError: If nothing can be fetched, the connection ends early, or the disk is full.
    """
    path = kept_path(address, folder)
    if path.exists():
        return read(path)
    with hidden_part(path) as part:
        digest = hashlib.sha256()
        with reporting(path):
            file = part.open('wb')
        with file:
            for chunk in _chunks(address):
                digest.update(chunk)
                with reporting(path):
                    file.write(chunk)
                    file.flush()
        promised = PROMISED.search(path.name)
        if promised is not None and not digest.hexdigest().startswith(promised[1]):
            raise ChecksumError(f'{address} gives a file with SHA-256 {digest.hexdigest()}')
        return read(part)


def kept_path(address: str, folder: str | Path | None = None) -> Path:
    """Say where the file of an address is kept.

    Args:
        address: The address.
        folder: See :func:`fetched`.
    """
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    name = Path(unquote(urlparse(address).path)).name
    name = name if name.strip('.') else 'file'
    return Path(folder or Path(get_dir(), 'checkpoints'), key, name)


def _chunks(address: str) -> Iterator[bytes]:
    """What an address gives, to its last byte."""
    size = 0
    request = Request(address, headers={'User-Agent': 'mobanet_mmseg'})
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            length = response.headers.get('Content-Length', '')
            total = int(length) if length.isdigit() else None
            with wrap_file(response, total or 0, description='Fetching') as shown:
                while chunk := shown.read(CHUNK):
                    size += len(chunk)
                    yield chunk
    except HTTPException as error:  # a chunk that is cut among them
        raise ConnectionError(f'the connection broke after {size} bytes: {error!r}') from error
    if total is not None and size != total:
        raise ConnectionError(f'the connection ended after {size} of {total} bytes')
