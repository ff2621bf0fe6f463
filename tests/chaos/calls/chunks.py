"""A call in REST chunks: each is sent again until it is acknowledged, under the same number and key."""

import base64

import httpx2

from tests.chaos.calls.call import Call, CallBroken, Doors, open_http, paced, post, start_meeting

_CHUNK_SECONDS = 2.0


async def hold(call: Call, doors: Doors) -> None:
    """Send the participants' chunks in turn; the last one finishes the meeting.

    Raises:
        CallBroken: a chunk was refused.
    """
    async with open_http(doors) as http:
        await start_meeting(call, http, "upload")
        number = 0
        async for start, said in paced(call.sample, doors.pace, _CHUNK_SECONDS):
            number += 1
            for name, data in said.items():
                last = name == list(said)[-1] and start + len(data) // 2 == call.sample.samples
                await _put(call, http, name, number, data, last=last)
                call.keep(name, data)
    call.acknowledge_all()


async def _put(call: Call, http: httpx2.AsyncClient, name: str, number: int, data: bytes, *, last: bool) -> None:
    body = {
        "content": base64.b64encode(data).decode(),
        "encoding": "s16le",
        "sequence": number,
        "idempotency_key": f"{name}-{number}",
        "participant_id": name,
        "display_name": name.title(),
        "language": call.sample.language,
        "last": last,
    }
    answer = await post(http, f"/v1/meetings/{call.meeting_id}/chunks", body)
    if answer["sequence"] != number:
        raise CallBroken(f"chunk {number} of {name} was taken as {answer['sequence']}")
