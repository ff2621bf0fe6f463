"""Tokens of an identity provider, or signed with a shared secret: verified, then handed on as claims."""

import re
from collections.abc import Mapping
from typing import Any, Protocol, cast

import jwt
from jwt.algorithms import AllowedPublicKeys

from kit.errors import Unauthenticated
from kit.ops.sources import Check

_MAX_CHARACTERS = 16 * 1024
_MAX_SUBJECT_CHARACTERS = 255
_SHARED = ("HS256", "HS384", "HS512")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

# What a caller is told. Nothing of the token is in it.
_SENTENCES: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidIssuerError, "the token comes from another issuer"),
    (jwt.InvalidAudienceError, "the token is meant for another audience"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
    (jwt.MissingRequiredClaimError, "the token lacks one of exp, iss, aud, sub"),
)


class Keys(Protocol):
    """Public keys of a provider."""

    async def find(self, key_id: str, algorithm: str) -> AllowedPublicKeys:
        """Return a key; raises Unauthenticated or KeysUnreachable."""

    def check(self) -> Check:
        """Return whether the provider answers."""


class TokenVerifier:
    """Says what a token claims, once its signature, times, issuer and audience are found right.

    Which key fits is decided by the token's algorithm alone: those of `algorithms` only ever meet a public key of the
    provider, HS* only ever the shared secret, and there is no other.

    Args:
        keys: of the provider; None: none is trusted.
        algorithms: signatures that the provider may make.
        secret: of tokens signed with HS256, HS384, HS512; None: they are refused.
        issuers: accepted `iss`; empty: any, as the keys are one issuer's.
        audiences: accepted `aud`; empty: any.
        leeway_seconds: how far clocks may differ.
    """

    def __init__(
        self,
        keys: Keys | None,
        *,
        algorithms: tuple[str, ...] = ("RS256",),
        secret: str | None = None,
        issuers: tuple[str, ...] = (),
        audiences: tuple[str, ...] = (),
        leeway_seconds: float = 30.0,
    ) -> None:
        self._keys = keys
        self._algorithms = frozenset(algorithms)
        self._secret = secret
        self._issuers = issuers
        self._audiences = frozenset(audiences)
        self._leeway_seconds = leeway_seconds

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token.

        Raises:
            Unauthenticated: it is not a token of ours, or not good now.
            KeysUnreachable: nobody can tell yet.
        """
        if len(token) > _MAX_CHARACTERS:
            raise Unauthenticated("the token is too long")
        algorithm, key_id = _header(token)
        key: AllowedPublicKeys | str
        if self._keys is not None and algorithm in self._algorithms:
            key = await self._keys.find(key_id, algorithm)
        elif self._secret is not None and algorithm in _SHARED:
            key = self._secret
        else:
            raise Unauthenticated("the token is signed in a way that is not accepted")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuers or None,
                leeway=self._leeway_seconds,
                options={
                    "require": ["exp", "sub", *(["iss"] if self._issuers else [])],
                    "verify_aud": False,  # it is ours to check, see below
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_sentence(error)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated("the token cannot be read") from None  # claims of absurd types
        self._check_audience(claims)
        _check_subject(claims)
        return claims

    def check(self) -> Check | None:
        """Return whether the provider answers; None without a provider."""
        return self._keys.check() if self._keys is not None else None

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        if not self._audiences:
            return
        meant = claims.get("aud")
        if meant is None and claims.get("token_use") == "access":
            meant = claims.get("client_id")  # Cognito's access tokens have no `aud` and say this instead
        named = (
            {meant} if isinstance(meant, str) else set(filter(_is_text, meant)) if isinstance(meant, list) else set()
        )
        if not named & self._audiences:
            raise Unauthenticated("the token is meant for another audience")


def _header(token: str) -> tuple[str, str]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated("the token cannot be read") from None
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise Unauthenticated("the token cannot be read")
    return algorithm, key_id


def _check_subject(claims: Mapping[str, Any]) -> None:
    subject = cast("str", claims["sub"])  # a string, or it was refused
    if not subject.strip() or len(subject) > _MAX_SUBJECT_CHARACTERS or _UNPRINTABLE.search(subject):
        raise Unauthenticated("the token's sub is empty, too long or not text")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _sentence(error: jwt.PyJWTError) -> str:
    return next((sentence for kind, sentence in _SENTENCES if isinstance(error, kind)), "the token is not a good one")
