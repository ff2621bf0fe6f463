"""The receive path: a sender's packets as spans of 16 kHz mono on an exact timeline."""
