"""Ben presses a button and is not recorded, presses it again and is: in real browsers, on the real mesh."""

from pathlib import Path

import pytest

from agent.common.v1.transcript_pb2 import CoverageKind
from mesh.demo.checks import words
from mesh.demo.reference import read_reference
from tests.system.mesh.test_call import (
    LANGUAGE,
    LEAD_SECONDS,
    account_of,
    assert_exact,
    finish,
    open_call,
    said_by,
    written,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

WITHDRAWS, CONSENTS, ENDS = 8.5, 16.2, 21.0  # in seconds of the interview; between them Ben says two sentences


async def test_what_is_said_by_somebody_who_withdrew_is_nowhere(tmp_path: Path) -> None:
    reference = read_reference(LANGUAGE)
    async with open_call(tmp_path, ENDS) as call:
        alice, ben = call.alice, call.ben
        await ben.until("document.querySelector('#banner').innerText.includes('Withdraw at any time')")
        await ben.until("document.querySelectorAll('.notice-line').length === 1")
        await ben.said(LEAD_SECONDS + WITHDRAWS)
        await ben.page.click("#record")
        await alice.until("document.querySelector('.person[data-recording=false] .name')?.textContent === 'Ben Carter'")
        await ben.said(LEAD_SECONDS + CONSENTS)
        await ben.page.click("#record")
        await alice.until("document.querySelector('.person[data-recording=false]') === null")
        for reader in (alice, ben):
            await written(reader, ben.name, said_by(reference, ben.name, until_seconds=ENDS, after_seconds=CONSENTS))
            await written(reader, ben.name, said_by(reference, ben.name, until_seconds=WITHDRAWS))
            await written(reader, alice.name, said_by(reference, alice.name, until_seconds=ENDS - 5))
        secret = {"last", "project", "with", "python", "big"}
        for reader in (alice, ben):
            own = {word for name, text in await reader.lines() if name == ben.name for word in words(text)}
            assert not secret & own
        await finish(alice)
        coverage = await call.coverage()
        assert_exact(coverage)
        bens = account_of(coverage, ben.name)
        withdrawn = [span for span in bens.intervals if span.kind == CoverageKind.COVERAGE_KIND_WITHDRAWN]
        assert len(withdrawn) == 1
        assert bens.coverage_ms.withdrawn == pytest.approx((CONSENTS - WITHDRAWS) * 1000, abs=2_000)
        assert not account_of(coverage, alice.name).coverage_ms.withdrawn
        report = await call.report()
        assert any("Ben Carter withdrew from the recording" in warning for warning in report.warnings)
        await alice.page.click("#open-report")
        await alice.until("document.body.dataset.coverage === 'true'")
        assert "not recorded by wish" in await alice.page.inner_text("main")
