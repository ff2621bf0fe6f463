"""The rest of failed jobs."""

from kit.queue.backoff import Backoff


def test_the_rest_doubles_up_to_its_bound_and_is_never_the_same_for_all() -> None:
    backoff = Backoff(first_seconds=2, longest_seconds=60)
    for attempts, whole in ((1, 2), (2, 4), (5, 32), (6, 60), (1000, 60)):
        rests = {backoff.seconds(attempts) for _ in range(50)}
        assert all(whole / 2 <= rest <= whole for rest in rests)
        assert len(rests) > 1
