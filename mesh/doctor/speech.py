"""Speech engines: whether the model is here and whole, and whether a transcription service takes our key and model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from kit.clock import now
from kit.settings import SettingsError, load
from mesh.doctor.finding import Finding, State, first_line
from mesh.doctor.rooms import settings_of
from mesh.rooms import ROOMS

_FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.*")
_SECONDS = 10.0
_MOST_SKEW = timedelta(minutes=2)
_LISTED = 5
_LOCAL = frozenset({"auto", "faster_whisper"})


def speech_findings() -> Iterator[Finding]:
    """A line per engine of the chain that has something to be looked at."""
    room = next(room for room in ROOMS if room.name == "stt")
    if not room.installed:
        return
    module = settings_of(room)
    try:
        stt, service = load(module.SttSettings, module.OpenAiSettings)
    except SettingsError:
        return  # the room's own lines name them
    for name in dict.fromkeys(stt.provider):
        if name in _LOCAL:
            yield model_finding(stt.model, offline=stt.offline)
        elif name == "openai_http":
            yield from service_findings(service, stt.openai_model, alone=len(stt.provider) == 1)
        elif name in ("demo", "mock"):
            yield Finding("speech", "note", f"STT_PROVIDER={name} says what nobody said: for tests and demonstrations")
        else:
            yield Finding("speech", "ok", f"STT_PROVIDER={name}")


def model_finding(model: str, *, offline: bool) -> Finding:
    """Whether a model is here and whole; a name is looked up in the hub's cache, as the room itself would."""
    directory = Path(model).expanduser()
    if directory.is_dir():
        missing = [name for name in _FILES if not any(directory.glob(name))]
        advice = f"STT_MODEL={model} lacks {', '.join(missing)}: copy the whole directory of a converted model"
        return Finding("speech", "missing" if missing else "ok", advice if missing else f"STT_MODEL={model}")
    if model.startswith((".", "/", "~")):
        return Finding("speech", "missing", f"STT_MODEL={model}: no such directory; name one, or a size such as small")
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    if any(cache.glob(f"models--*{model.replace('/', '--')}/snapshots/*/model.bin")):
        return Finding("speech", "ok", f"model {model!r}, in the cache")
    if offline:
        advice = f"model {model!r} is not in the cache {cache}, and STT_OFFLINE=true: set STT_MODEL to a directory"
        return Finding("speech", "missing", advice)
    advice = (
        f"model {model!r} is fetched from the hub at the first start; without a network set STT_MODEL to a directory"
    )
    return Finding("speech", "note", advice)


def service_findings(service: Any, model: str, *, alone: bool) -> Iterator[Finding]:
    """Whether a transcription service answers, takes the key and has the model.

    Args:
        service: the stt room's OpenAiSettings.
        model: STT_OPENAI_MODEL.
        alone: whether nothing is recognised without it.
    """
    key = service.openai_api_key.get_secret_value() if service.openai_api_key else ""
    wrong: State = "missing" if alone else "note"
    if not key:
        what = "recognises nothing" if alone else "is left out of the chain"
        yield Finding("speech", wrong, f"openai_http {what} without OPENAI_API_KEY: set it")
        return
    address = _shown(service.openai_base_url)
    proxy = service.chatgpt_proxy_url
    try:
        with httpx2.Client(
            timeout=min(_SECONDS, service.request_timeout_s),
            proxy=proxy.get_secret_value() if proxy else None,
            trust_env=False,  # as the room itself
        ) as http:
            headers = {"Authorization": f"Bearer {key}"}
            answer = http.get(f"{service.openai_base_url.rstrip('/')}/models", headers=headers)
    except httpx2.HTTPError as error:
        advice = "check OPENAI_BASE_URL, and set CHATGPT_PROXY_URL if this machine needs a proxy"
        yield Finding("speech", wrong, f"{address} cannot be reached ({first_line(error)}): {advice}")
        return
    yield _answer_finding(answer, address, model, wrong)
    yield from _clock_findings(answer.headers, address)


def _answer_finding(answer: httpx2.Response, address: str, model: str, wrong: State) -> Finding:
    if answer.status_code in (401, 403):
        return Finding("speech", wrong, f"{address} refuses the key (HTTP {answer.status_code}): check OPENAI_API_KEY")
    models = _models(answer)
    if models is None:
        advice = f"does not list its models (HTTP {answer.status_code}): whether it has {model} shows at the start"
        return Finding("speech", "note", f"{address} answers, but {advice}")
    if model in models:
        return Finding("speech", "ok", f"{address} takes the key and has {model}")
    listed = ", ".join(sorted(models)[:_LISTED]) + (", ..." if len(models) > _LISTED else "")
    return Finding(
        "speech", wrong, f"{address} does not list {model}: set STT_OPENAI_MODEL to one of {listed or 'its own'}"
    )


def _models(answer: httpx2.Response) -> set[str] | None:
    """Names of the service's models; None if it lists none."""
    try:
        return {str(entry["id"]) for entry in answer.json()["data"]} if answer.is_success else None
    except (ValueError, TypeError, KeyError):
        return None


def _clock_findings(headers: Mapping[str, str], address: str) -> Iterator[Finding]:
    try:
        skew = now() - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return
    if abs(skew) > _MOST_SKEW:
        minutes = f"{abs(skew).total_seconds() / 60:.0f} min {'ahead of' if skew > timedelta(0) else 'behind'}"
        yield Finding("clock", "missing", f"{minutes} that of {address}: set it, tokens will be refused")


def _shown(url: str) -> str:
    """An address without a name and password in it."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
