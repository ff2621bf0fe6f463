"""A Whisper model's files: found in a directory, in the hub's cache, or downloaded, and checked before they are loaded.

A missing file would otherwise show itself late and badly: as half a minute of silent retries, or as a parser's message.
"""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import faster_whisper
import faster_whisper.utils
import huggingface_hub
import huggingface_hub.constants
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from kit import progress
from kit.clock import monotonic
from kit.telemetry import logs
from services.stt.errors import EngineNotReady

_TELL_SECONDS = 1.0
_LOG_SECONDS = 5.0
_SIZE_SECONDS = 10.0
_WANTED = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.")
"""Beginnings of the names of the files that faster-whisper downloads."""
_REQUIRED = ("model.bin", "config.json", "tokenizer.json")

log = logs.get()
# The hub's client writes 10 MiB at a time: on a slow line nothing would seem to move for minutes.
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 2**18


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A whole model on this machine."""

    name: str
    """What results call it: the directory's own name, a size, or `owner/name`."""
    directory: Path


async def locate_model(model: str, *, offline: bool) -> LocatedModel:
    """Find a model's directory: a directory of this name, the hub's cache, then the hub.

    Args:
        model: a path, a size known to faster-whisper, or `owner/name` on the hub.
        offline: True to leave the hub alone.

    Raises:
        EngineNotReady: it cannot be had, or lacks files; the sentence says what to do.
    """
    local = await asyncio.to_thread(_local, model)
    if local is not None:
        return local
    if _looks_like_path(model):
        raise EngineNotReady(f"STT_MODEL={model}: there is no such directory")
    if model not in faster_whisper.available_models() and "/" not in model:
        sizes = ", ".join(faster_whisper.available_models())
        raise EngineNotReady(f"STT_MODEL={model}: neither a directory, nor owner/name on the hub, nor one of {sizes}")
    cached = await asyncio.to_thread(_cached, model)
    # A download that was cut off leaves a part of the model: it is gone on with, as if there were none.
    if cached is not None and (offline or not _missing(cached)):
        return LocatedModel(model, check_files(cached))
    if offline:
        raise EngineNotReady(f"STT_MODEL={model} was not downloaded before, and STT_OFFLINE=true. {_ADVICE}")
    return LocatedModel(model, check_files(await _download(model)))


def check_files(directory: Path) -> Path:
    """Return the directory if it holds a whole model.

    Raises:
        EngineNotReady: files are missing or broken.
    """
    if missing := _missing(directory):
        raise EngineNotReady(f"the model in {directory} lacks {', '.join(missing)}")
    for path in directory.glob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EngineNotReady(f"the model's file {path} cannot be read: {error}") from error
    return directory


def _missing(directory: Path) -> list[str]:
    missing = [name for name in _REQUIRED if not (directory / name).is_file()]
    if not any(path.is_file() for path in directory.glob("vocabulary.*")):
        missing.append("vocabulary.json")
    return missing


_ADVICE = (
    "Set STT_MODEL to the directory of a CTranslate2 Whisper model, or run once with the model hub reachable "
    "(the download is kept), or copy a filled Hugging Face cache here and set HF_HOME; "
    "STT_PROVIDER=demo tries the path with synthetic voices only"
)


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def _local(model: str) -> LocatedModel | None:
    directory = Path(model).expanduser()
    return LocatedModel(directory.resolve().name, check_files(directory)) if directory.is_dir() else None


def _cached(model: str) -> Path | None:
    try:
        return Path(faster_whisper.download_model(model, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise EngineNotReady(f"STT_MODEL={model}: not a name the hub knows: {_first_line(error)}") from error


async def _download(model: str) -> Path:
    log.info("model_download_started", model=model)
    started = monotonic()
    download = asyncio.create_task(asyncio.to_thread(faster_whisper.download_model, model), name="stt.download")
    try:
        await _watch(model, download)
        path = Path(await download)
    except Exception as error:
        # The edge to the hub's client, whose transport errors change their class with its version.
        raise EngineNotReady(
            f"STT_MODEL={model} is neither a directory nor in the cache, and the hub did not give it "
            f"({_first_line(error)}). {_ADVICE}"
        ) from error
    log.info("model_downloaded", model=model, seconds=round(monotonic() - started))
    return path


async def _watch(model: str, download: "asyncio.Task[str]") -> None:
    """Tell how far a download is, until it is over; one that stands still tells nothing."""
    started, received, logged = monotonic(), -1, 0.0
    repository = _repository(model)
    total = asyncio.create_task(asyncio.to_thread(_hub_bytes, repository), name="stt.download_size")
    try:
        while not (await asyncio.wait({download}, timeout=_TELL_SECONDS))[0]:
            before, received = received, await asyncio.to_thread(_cached_bytes, repository)
            if received == before:
                continue
            size = total.result() if total.done() else 0
            progress.tell(f"downloading {model}: {_share(received, size)}")
            if (seconds := monotonic() - started) - logged >= _LOG_SECONDS:
                logged = seconds
                log.info(
                    "model_downloading",
                    model=model,
                    seconds=round(seconds),
                    megabytes=received // 2**20,
                    of_megabytes=size // 2**20,
                )
    finally:
        total.cancel()


def _share(received: int, size: int) -> str:
    if not size:
        return f"{received / 2**20:.1f} MiB"
    return f"{received / 2**20:.1f} of {size / 2**20:.1f} MiB ({min(100, 100 * received // size)} %)"


def _repository(model: str) -> str:
    return model if "/" in model else faster_whisper.utils._MODELS[model]


def _hub_bytes(repository: str) -> int:
    """Size of a model's files on the hub; 0 if it does not say: it is for people to look at."""
    try:
        info = huggingface_hub.HfApi().model_info(repository, files_metadata=True, timeout=_SIZE_SECONDS)
    except Exception as error:  # the edge to the hub's client, as above
        log.info("model_size_unknown", reason=_first_line(error))
        return 0
    return sum(file.size or 0 for file in info.siblings or () if file.rfilename.startswith(_WANTED))


def _cached_bytes(repository: str) -> int:
    """Size of what the cache has of a model, partial downloads included; links are not counted twice."""
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    received = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a partial file takes its name in the end
            received += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    return received


def _first_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error).strip().partition("\n")[0]) or type(error).__name__
