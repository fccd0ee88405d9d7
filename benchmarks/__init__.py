"""`make bench`: compares Lockgate with other tools and with minimal scripts, on one server, in turn."""
