"""Sound files that no recorder writes: cut, lying, tiny ones that are hours long or ask for gigabytes."""

import io
import math
import struct
import wave
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import av
import numpy as np

HOURS_SECONDS = 10 * 3600
_PIXELS = 8_000
_KINDS = (
    ("wav", "pcm_s16le"),
    ("flac", "flac"),
    ("ogg", "libopus"),
    ("mp3", "libmp3lame"),
    ("mp4", "aac"),
    ("webm", "libopus"),
)


def hostile_sounds() -> Iterator[tuple[str, bytes]]:
    """Yield all of them with their names."""
    for container, codec in _KINDS:
        whole = _tone(container, codec)
        for percent in (2, 30, 70, 99):
            yield f"{container} cut at {percent} %", whole[: len(whole) * percent // 100]
        middle = len(whole) // 2
        yield f"{container} with noise in it", whole[:middle] + np.random.default_rng(1).bytes(300) + whole[middle:]
        yield f"{container} behind its magic alone", whole[:64] + bytes(100_000)
    yield from _lying_waves()
    yield "10 h of silence in opus", silent_opus(HOURS_SECONDS)
    yield "10 h of silence in flac", constant_flac(16_000, HOURS_SECONDS * 16_000)
    yield "flac of one sample a second", constant_flac(1, 65_535 * 8)
    yield "flac of more samples than it has", constant_flac(16_000, 65_535, told=(1 << 36) - 1)
    yield "flac with a picture that swells", constant_flac(16_000, 65_535, picture=_picture())
    yield "mov with a picture that swells", _film()
    yield from _atoms()
    yield "matroska of no end", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe" + bytes(1_000)
    yield "mp3 behind a tag of 256 MiB", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"TIT2" + bytes(5_000)
    yield "a playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    yield "a list of files", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "a description of a session", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n"
    yield "a picture", _picture()
    yield "text", b"no sound at all " * 1_000
    yield "zeros", bytes(1_000_000)


def silent_opus(seconds: int) -> bytes:
    """Return Ogg/Opus of silence: packets of 120 ms that hold nothing."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    pages = [_page(0, 2, 0, [head]), _page(1, 0, 0, [tags])]
    packet, packets = b"\xfb\x06", seconds * 1_000 // 120
    for number, start in enumerate(range(0, packets, 255)):
        count = min(255, packets - start)
        pages.append(_page(number + 2, 0, (start + count) * 5_760, [packet] * count))
    return b"".join(pages)


def constant_flac(rate: int, samples: int, *, told: int | None = None, picture: bytes = b"") -> bytes:
    """Return FLAC of one value, 14 bytes for every 65,535 samples."""
    size = 65_535
    shape = rate << 44 | 15 << 36 | (samples if told is None else told)  # mono, 16 bit
    info = struct.pack(">HH", size, size) + bytes(6) + struct.pack(">Q", shape) + bytes(16)
    out = [b"fLaC", bytes([0 if picture else 0x80]), len(info).to_bytes(3, "big"), info]
    if picture:
        block = (
            struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">I", 0) + struct.pack(">4I", _PIXELS, _PIXELS, 32, 0)
        )
        block += struct.pack(">I", len(picture)) + picture
        out += [b"\x86", len(block).to_bytes(3, "big"), block]
    for number in range(math.ceil(samples / size)):
        head = b"\xff\xf8\x70\x08" + _utf8(number) + struct.pack(">H", min(size, samples - number * size) - 1)
        frame = head + bytes([_crc(head, 8, 0x07)]) + b"\0\0\0"
        out.append(frame + _crc(frame, 16, 0x8005).to_bytes(2, "big"))
    return b"".join(out)


def _tone(container: str, codec: str) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        pcm = (8_000 * np.sin(np.arange(96_000) * 0.06)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.format.name, "mono", 48_000, frame_size=stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return content.getvalue()


def _film() -> bytes:
    """Return a film of one picture, with sound."""
    content = io.BytesIO()
    with av.open(content, "w", format="mov") as file:
        sound: Any = file.add_stream("pcm_s16le", rate=16_000)
        sound.layout = "mono"
        film: Any = file.add_stream("png", rate=1)
        film.width = film.height = 16
        film.pix_fmt = "rgba"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        file.mux(sound.encode(frame))
        packet = av.Packet(_picture())
        packet.stream = film
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        file.mux(packet)
    return content.getvalue()


def _lying_waves() -> Iterator[tuple[str, bytes]]:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64_000))
    honest = content.getvalue()
    lies = {
        "65,535 channels": (22, b"\xff\xff"),
        "no channels": (22, b"\0\0"),
        "one sample a second": (24, b"\1\0\0\0"),
        "no rate": (24, b"\0\0\0\0"),
        "4,294,967,295 samples a second": (24, b"\xff\xff\xff\xff"),
        "no block": (32, b"\0\0"),
        "65,535 bits": (34, b"\xff\xff"),
        "no bits": (34, b"\0\0"),
        "an unknown codec": (20, b"\xfe\xca"),
        "a head of 4 GiB": (16, b"\xff\xff\xff\xff"),
        "more data than it has": (40, b"\xff\xff\xff\x7f"),
    }
    for name, (at, lie) in lies.items():
        yield f"wav that tells of {name}", honest[:at] + lie + honest[at + len(lie) :]
    slow = honest[:24] + b"\1\0\0\0" + honest[28:]
    yield "8 MiB of wav, one sample a second", slow + bytes(8 * 1024 * 1024 - len(slow) - 1)


def _atoms() -> Iterator[tuple[str, bytes]]:
    whole = _tone("mp4", "aac")
    kind = _atom(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    yield "mp4 with an atom of 4 GiB", kind + b"\xff\xff\xff\xffmoov" + bytes(1_000)
    yield "mp4 with an atom of 2^62", kind + b"\0\0\0\1moov" + struct.pack(">Q", 1 << 62) + bytes(1_000)
    nested = b""
    for _ in range(20_000):
        nested = _atom(b"moov", nested)[:400_000]
    yield "mp4 of atoms in atoms", kind + nested
    for table in (b"stsz", b"stts", b"stsc", b"stco", b"ctts"):
        at = whole.find(table)
        if at > 0:
            count = at + (12 if table == b"stsz" else 8)
            for lie in (b"\x7f\xff\xff\xff", b"\x0f\xff\xff\xff"):
                yield f"mp4 whose {table.decode()} has {lie.hex()} entries", whole[:count] + lie + whole[count + 4 :]
    at = whole.find(b"stts")
    yield "mp4 of samples that last for ever", whole[: at + 16] + b"\x7f\xff\xff\xff" + whole[at + 20 :]


def _atom(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


@cache
def _picture() -> bytes:
    """Return a PNG of one colour: a megabyte for a quarter of a gigabyte."""
    squeeze = zlib.compressobj(1)
    line = bytes(1 + 4 * _PIXELS)
    rows = b"".join([squeeze.compress(line * 100) for _ in range(_PIXELS // 100)]) + squeeze.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", _PIXELS, _PIXELS, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _page(number: int, flags: int, granule: int, packets: list[bytes]) -> bytes:
    """Return an Ogg page of packets shorter than 255 bytes."""
    sizes = bytes(len(packet) for packet in packets)
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, number, 0) + bytes([len(packets)]) + sizes
    page = head + b"".join(packets)
    return page[:22] + struct.pack("<I", _crc(page, 32, 0x04C11DB7)) + page[26:]


_TABLES: dict[tuple[int, int], list[int]] = {}


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """Return the plain CRC, highest bit first, that Ogg and FLAC use."""
    table = _TABLES.get((bits, polynomial))
    mask, top = (1 << bits) - 1, 1 << (bits - 1)
    if table is None:
        table = []
        for byte in range(256):
            value = byte << (bits - 8)
            for _ in range(8):
                value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
            table.append(value)
        _TABLES[bits, polynomial] = table
    value = 0
    for byte in data:
        value = (value << 8 & mask) ^ table[(value >> (bits - 8)) ^ byte]
    return value


def _utf8(number: int) -> bytes:
    """Return a frame's number as FLAC writes it."""
    return chr(number).encode("utf-8", "surrogatepass")
