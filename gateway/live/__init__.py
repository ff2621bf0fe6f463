"""WebSockets for programs: audio in, acknowledgements and live events out."""
