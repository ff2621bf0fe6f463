"""The rooms that carry a call from its first packet to its report, in flow order: connector, ingest, stt, report."""
