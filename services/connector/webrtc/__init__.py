"""WebRTC: connections that carry participants' packets, and what is needed of aiortc beyond its public face."""
