"""How rooms prove to each other that they are rooms: short-lived tokens, signed with a secret that only they hold."""

import secrets
import time
from collections.abc import Sequence

import jwt

from kit.auth.principal import EVERY_SCOPE, Principal
from kit.errors import Unauthenticated

_TYPE = "mesh+jwt"
_ISSUER = "agent-mesh"
_ALGORITHM = "HS256"
_LIFE_SECONDS = 300
_RENEW_SECONDS = 120
"""Time before its end at which a token is no longer used for new calls."""

_LEEWAY_SECONDS = 60


class MeshTokens:
    """Checks tokens of rooms.

    Args:
        secrets: any of them may have signed.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    @staticmethod
    def made(token: str) -> bool:
        """Return whether a token says of itself that it is a room's."""
        try:
            return jwt.get_unverified_header(token).get("typ") == _TYPE
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False

    def verify(self, token: str) -> Principal:
        """Return the room that a token speaks for.

        Raises:
            Unauthenticated: none of ours has signed it, or it is too old.
        """
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    token,
                    secret,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    audience=_ISSUER,
                    leeway=_LEEWAY_SECONDS,
                    options={"require": ["exp", "iat", "sub", "iss", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError:
                raise Unauthenticated("the room's token is too old, or not one") from None
            return Principal(f"service:{claims['sub']}", "service", scopes=EVERY_SCOPE, via="mesh")
        raise Unauthenticated("the room's token is signed with another MESH_SHARED_SECRET")


class MeshCredential:
    """What a room shows to other rooms: calling it gives a token that is good for some minutes.

    Args:
        room: name of the room, for the others' audit.
        secret: signs.
    """

    def __init__(self, room: str, secret: str) -> None:
        self._room = room
        self._secret = secret
        self._token = ""
        self._renew_at = 0.0

    def __call__(self) -> str:
        now = time.time()
        # A clock that was set back must not leave us with a token from the future.
        if not self._renew_at - _LIFE_SECONDS <= now < self._renew_at:
            claims = {
                "iss": _ISSUER,
                "aud": _ISSUER,
                "sub": self._room,
                "jti": secrets.token_hex(8),
                "iat": int(now),
                "exp": int(now) + _LIFE_SECONDS,
            }
            self._token = jwt.encode(claims, self._secret, algorithm=_ALGORITHM, headers={"typ": _TYPE})
            self._renew_at = now + _LIFE_SECONDS - _RENEW_SECONDS
        return self._token
