"""Sources: where audio comes from; all of it ends in spans on one session's timeline. Only here is aiortc known."""
