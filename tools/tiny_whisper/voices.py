"""The synthetic speakers: accents with variants, most of them for training, a few kept for evaluation alone."""

from random import Random

from examples.interview.espeak import Voice

ACCENTS = {
    "en": ("en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-029"),
    "ru": ("ru", "ru", "ru", "ru-lv"),
}
"""espeak-ng's voices; one that stands here more often is drawn more often."""

HELD_OUT = ("f3", "m3", "m7", "Andy", "Annie", "Marco", "klatt3", "steph2")
"""Variants that training never hears. Keep them: figures of two models compare only over the same voices."""

TRAINED = tuple(
    """
    f1 f2 f4 f5 m1 m2 m4 m5 m6 m8 klatt klatt2 klatt4 klatt5 klatt6
    Alex Alicia Andrea Denis Diogo Gene Henrique Hugo Jacky Lee Marcelo Mario Michael Mike Nguyen Zac
    adam anika antonio aunty belinda benjamin boris caleb david ed edward edward2 grandma grandpa gustave
    iven iven2 iven3 iven4 john kaukovalta linda max michel miguel norbert pablo paul pedro quincy
    rob robert robosoft robosoft2 robosoft3 robosoft4 robosoft5 robosoft6 robosoft7 robosoft8
    sandro shelby steph steph3 travis victor
    """.split()  # noqa: SIM905 - a name a line is no better to read
)
"""Variants of espeak-ng 1.51 that speak clearly; whispering, croaking and demonic ones are left out."""

_PLAIN_SHARE = 0.08
_WORDS_PER_MINUTE = (130, 230)
_PITCH = (15, 85)


def draw_voice(language: str, draw: Random, *, held_out: bool) -> Voice:
    """Return one speaker of a language, with a rate and a pitch."""
    accent = draw.choice(ACCENTS[language])
    variant = draw.choice(HELD_OUT if held_out else TRAINED)
    plain = draw.random() < _PLAIN_SHARE and not held_out
    return Voice(
        name=accent if plain else f"{accent}+{variant}",
        words_per_minute=draw.randint(*_WORDS_PER_MINUTE),
        pitch=draw.randint(*_PITCH),
    )
