"""What is believed of what an engine heard: words that it is not sure of at all were not said.

Silence, noise, hum and nearly all music never get here, because endpointing does not take them for speech.
"""

from dataclasses import replace

from services.stt.engines.engine import Hypothesis


def believed(hypothesis: Hypothesis, least_confidence: float) -> Hypothesis:
    """Return the hypothesis of a final, without its text if that is taken for invention.

    Engines that do not say how sure they are (confidence 0) are believed.
    """
    if 0.0 < hypothesis.confidence < least_confidence:
        return replace(hypothesis, text="", words=())
    return hypothesis
