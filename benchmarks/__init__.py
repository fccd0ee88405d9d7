"""Lockgate against other tools and against the floors, on one server, interleaved: `make bench`."""
