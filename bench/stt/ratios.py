"""What the figures of a run say: one over another, and what that means."""

from bench.result import Ratio, Result
from bench.stt.capacity import LATEST_SECONDS


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say."""
    once = result.rounds[0]
    found: dict[str, Ratio] = {}
    if "pool" in once:
        found |= _speed(result)
    if "ours" in once:
        found |= _most(result)
    if "interims" in once:
        hints = once["interims"]
        found |= {
            "interim_lag_s": Ratio(
                hints["firm_lag_p50_s"], "median seconds from the end of a word to its standing firm"
            ),
            "interims_rewritten": Ratio(hints["rewritten_share"], "share of interims that change text that was shown"),
            "finals_contradicted": Ratio(hints["contradicted"], "finals that take back a firm word"),
            "vad_streams_per_core": Ratio(once["vad"]["streams_per_core"], "live tracks that one core endpoints"),
        }
    if "room" in once:
        process = once["room"]
        found |= {
            "memory_per_call_mb": Ratio(process["per_call_mb"], "memory that a call adds to the room"),
            "memory_slope": Ratio(
                process["slope_share_per_minute"],
                f"share by which it grows a minute, over {process['minutes']:g} minutes",
            ),
            "calls_per_core": Ratio(
                process["calls_per_core"],
                "calls to a core as the room's process took it, through gRPC, interims at full",
            ),
        }
    return found


def _speed(result: Result) -> dict[str, Ratio]:
    speed = "speech_seconds_per_s"
    same = "speech per second, the same cuts, of the pool over bare faster-whisper"
    meanings = {
        "one_by_one": f"{same}, one after another",
        "batched": f"{same}, its batched pipeline",
        "in_parallel": f"{same}, called from as many threads as there are cores",
        "whole_tracks": "the same against whole files, thirty seconds of speech to a window: "
        "what a final per utterance costs",
    }
    return {
        f"pool_vs_{name}": result.ratio(("pool", speed), (f"bare_{name}", speed), meaning)
        for name, meaning in meanings.items()
    }


def _most(result: Result) -> dict[str, Ratio]:
    meanings = {
        "peer": f"live calls with 19 of 20 texts within {LATEST_SECONDS:g} s of the end of speech, over a lock per "
        "model and the buffer read again every second; its text counts when it is first shown, ours when it is final",
        "peer_at_once": "the same over reading again at once, as the original does",
        "peer_tuned": "the same over a tuned one",
    }
    return {
        f"calls_vs_{name}": result.ratio(("ours", "calls"), (name, "calls"), meaning)
        for name, meaning in meanings.items()
        if name in result.rounds[0]
    }
