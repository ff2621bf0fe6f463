"""`agent demo`: the sample interview as a real call, and a check of everything that came of it."""
