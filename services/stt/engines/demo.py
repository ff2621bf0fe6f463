"""Our own 2 MB Whisper: the whole path at work without a download, for synthetic voices and 200 interview words.

On a human voice it invents sentences and is sure of them. It is never chosen but by name, and every result says so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.stt.engines.engine import SpeechEngine
from services.stt.engines.faster_whisper import open_whisper
from services.stt.engines.model_files import check_files
from services.stt.models import TINY_WHISPER, tiny_whisper_directory
from services.stt.settings import SttSettings

NAME = "demo"
NOTE = "demonstration model of 200 words for synthetic voices; invents text for human speech"


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Load the model that ships with the room.

    Raises:
        EngineNotReady: the installation lacks its files.
    """
    directory = check_files(tiny_whisper_directory())
    opening = open_whisper(directory, settings, engine=NAME, name=TINY_WHISPER, note=NOTE, invents=True)
    async with opening as engine:
        yield engine
