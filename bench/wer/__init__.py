"""Word error rate of a whole call: through the product, and by the bare engine on the same cuts.

The call is made anew on every run from a seed, by espeak-ng, in the words of our own model: two speakers, two tracks.
"""
