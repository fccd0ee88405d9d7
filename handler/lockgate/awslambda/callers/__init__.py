"""Events in, answers out: one module per caller."""
