"""The hostile upstream: a loopback server that speaks three wires and misbehaves as the case says."""
