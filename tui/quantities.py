"""Numbers as people read them, short enough for a column."""


def milliseconds(value: int) -> str:
    """`340 ms`, `2.1 s`, `134 s`."""
    if value < 1000:
        return f"{value} ms"
    return f"{value / 1000:.1f} s" if value < 100_000 else f"{value // 1000} s"


def duration(seconds: int) -> str:
    """`37s`, `1m38`, `2h04`, `3d05`."""
    if seconds < 60:
        return f"{max(seconds, 0)}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}"


def count(value: int) -> str:
    """`7,218`, `134k`, `12M`."""
    if value < 100_000:
        return f"{value:,}"
    return f"{value // 1000}k" if value < 10_000_000 else f"{value // 1_000_000}M"


def mebibytes(value: int) -> str:
    """`73 M`, `2.1 G`."""
    return f"{value} M" if value < 1024 else f"{value / 1024:.1f} G"
