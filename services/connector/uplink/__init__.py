"""The uplink: audio on its way to ingest's disk, whatever becomes of the connection."""
