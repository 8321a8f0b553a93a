"""What programs on the register talk to: a loopback HTTP server and the routes behind it."""
