"""Files turned into text at one request, with the interface that speech tools already know."""
